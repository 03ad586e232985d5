"""Region, project, resource: what the clouds need to be told, from the document or from the
variables that their own SDKs read.

Sources (2026-11-21): https://docs.aws.amazon.com/sdkref/latest/guide/feature-region.html,
https://googleapis.github.io/python-genai/, https://github.com/openai/openai-python#microsoft-azure-openai
"""

import re
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from portico.config.errors import Path, Report
from portico.config.references import Env

Role = Literal["region", "project", "resource", "resource type", "api version", "project name"]

_REGION = re.compile(r"[a-z]{2,}(-[a-z0-9]+)*|global", re.ASCII)
_PROJECT = re.compile(r"([a-z0-9.-]+:)?[a-z0-9][a-z0-9-]*", re.ASCII)
_RESOURCE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,62}[A-Za-z0-9])?", re.ASCII)
_PROJECT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
_API_VERSION = re.compile(r"v1|preview|\d{4}-\d{2}-\d{2}(-preview)?", re.ASCII)

_FORMS: dict[Role, tuple[re.Pattern[str], str]] = {
    "region": (_REGION, "not a region, such as us-east-1"),
    "project": (_PROJECT, "not a project id"),
    "resource": (_RESOURCE, "not a resource name: the first label of its host, without dots"),
    "api version": (_API_VERSION, "expected v1, preview, or a date such as 2024-10-21"),
    "project name": (_PROJECT_NAME, "not a project name"),
}


class CloudKey(Struct, frozen=True):
    """One key that some kinds have: where it may stand, what it says there."""

    role: Role
    kinds: tuple[str, ...]
    path: Path
    value: str | None


class Cloud(Struct, frozen=True, kw_only=True):
    """What came of the keys. `base_url` only where they name the host."""

    base_url: str | None = None
    region: str | None = None
    project: str | None = None
    api_version: str | None = None


class CloudKeys:
    """The keys as one document has them; `env` answers for those that it does not."""

    def __init__(self, kind: str, keys: Iterable[CloudKey], env: Env, report: Report) -> None:
        self._env = env
        self._report = report
        self._keys: dict[str, CloudKey] = {}
        for key in keys:
            if kind in key.kinds:
                self._keys[key.role] = key
                form = _FORMS.get(key.role)
                if key.value is not None and form is not None and not form[0].fullmatch(key.value):
                    report.add(key.path, form[1])
            elif key.value is not None:
                report.add(key.path, f"belongs to {' and '.join(key.kinds)}")

    def written(self, role: Role) -> str | None:
        """What the document says."""
        key = self._keys.get(role)
        return None if key is None else key.value

    def found(self, role: Role, *variables: str) -> str | None:
        """What the document says, else the first of the variables that is set."""
        written = self.written(role)
        if written is not None:
            return written
        name = next((name for name in variables if self._env.get(name)), None)
        if name is None:
            return None
        value = self._env[name]
        if not _FORMS[role][0].fullmatch(value):
            self.complain(role, f"the environment variable {name}: {_FORMS[role][1]}")
        return value

    def complain(self, role: Role, message: str) -> None:
        """Report `message` where the key of that role is, or would be."""
        self._report.add(self._keys[role].path, message)

    def name(self, role: Role) -> str:
        """The key's name in this form of the document."""
        return str(self._keys[role].path[-1])


def bedrock(keys: CloudKeys, region: str | None, *, signed: bool, addressed: bool) -> Cloud:
    """`region` is that of a credential block; `addressed`: the host is given otherwise."""
    found = keys.written("region") or region or keys.found(
        "region", "AWS_REGION", "AWS_DEFAULT_REGION"
    )  # fmt: skip
    if found is None and (signed or not addressed):
        name = keys.name("region")
        keys.complain("region", f"bedrock needs a region: write {name}, or set AWS_REGION")
    return Cloud(region=found)


def vertex(keys: CloudKeys, *, keyed: bool) -> Cloud:
    """With a key and no project written, the express mode, whose keys imply the project."""
    project = keys.written("project")
    if keyed and project is None:
        if keys.written("region") is not None:
            keys.complain("region", f"has no effect without {keys.name('project')}")
        return Cloud()
    project = project or keys.found("project", "GOOGLE_CLOUD_PROJECT")
    if project is None:
        name = keys.name("project")
        keys.complain(
            "project", f"vertex needs a project: write {name}, or set GOOGLE_CLOUD_PROJECT"
        )
    region = keys.found("region", "GOOGLE_CLOUD_LOCATION") or "global"
    return Cloud(region=region, project=project)


def azure(keys: CloudKeys, *, addressed: bool) -> Cloud:
    """The host comes from the resource's name, unless it is given otherwise."""
    name, project = keys.written("resource"), keys.written("project name")
    kind = keys.written("resource type")
    foundry = kind in ("foundry", "aiServices")
    if project is not None and not foundry and (name is not None or kind is not None):
        keys.complain("project name", f"needs {keys.name('resource type')}: foundry")
    if project is not None and keys.written("api version") is not None:
        keys.complain("api version", "has no effect with a project, whose API is v1")
    if name is not None and addressed:
        keys.complain("resource", "baseUrl takes its place")
    if name is None and kind is not None:
        keys.complain("resource type", f"has no effect without {keys.name('resource')}")
    if name is None and not addressed:
        keys.complain(
            "resource",
            f"azure needs a resource: write {keys.name('resource')} or baseUrl, "
            "or set AZURE_OPENAI_ENDPOINT",
        )
    version = None
    if project is None:
        version = keys.found("api version", "OPENAI_API_VERSION")
    domain = "services.ai.azure.com" if foundry else "openai.azure.com"
    return Cloud(
        base_url=None if name is None else f"https://{name.lower()}.{domain}",
        project=project,
        api_version=None if version == "v1" else version,
    )
