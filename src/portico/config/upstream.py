"""One provider, however the document wrote it -> `ProviderSettings`.

Both forms fill in an `Upstream`; credentials, base URL and formats are decided here, once.
"""

from collections.abc import Mapping

from msgspec import Struct, structs

from portico.config import clouds, values
from portico.config.clouds import Cloud, CloudKey, CloudKeys
from portico.config.errors import Path, Report
from portico.config.kinds import COUNTED, CUSTOM_PATHS, CUSTOM_VERSIONS, KINDS
from portico.config.references import Env
from portico.config.schema import AwsAuth, ClientTls, CustomFormat
from portico.config.secret import Secret
from portico.config.settings import AwsKeys, ProviderSettings, UpstreamTls

_ENDPOINTS = ("/chat/completions", "/responses", "/messages")


class Upstream(Struct, frozen=True, kw_only=True):
    """A provider as written. The paths say where a problem with each part is to be reported."""

    kind: str
    name: str
    path: Path
    key_path: Path
    api_key: Secret | None = None
    api_keys: tuple[Secret, ...] | None = None
    keys_path: Path = ()
    base_url: str | None = None
    host_override: str | None = None
    path_override: str | None = None
    path_prefix: str | None = None
    formats: tuple[CustomFormat, ...] | None = None
    formats_path: Path = ()
    tls: ClientTls | None = None
    tls_path: Path = ()
    cloud: tuple[CloudKey, ...] = ()
    ambient: bool = False
    """Whether the document asks for the credentials around the process."""
    aws: AwsAuth | None = None


def provider(up: Upstream, env: Env, report: Report) -> ProviderSettings:
    """The settings of `up`. Problems go to `report`; what is returned then is not to be used."""
    base = _base_url(up, env, report)
    key, further = _keys(up, env, report)
    aws = _aws_keys(up, report)
    cloud = _cloud(up, base, key, env, report)
    if up.kind == "custom" and base is None:
        report.add(up.path, "a custom provider needs baseUrl")
    tls = up.tls
    if tls is not None and (tls.cert is None) != (tls.key is None):
        report.add(up.tls_path, "cert and key go together")
    return ProviderSettings(
        kind=up.kind,
        name=up.name,
        base_url=cloud.base_url or base,
        api_key=key,
        formats=_formats(up, base, report),
        region=cloud.region,
        project=cloud.project,
        api_version=cloud.api_version,
        aws=aws,
        further_keys=further,
        tls=None
        if tls is None
        else UpstreamTls(
            root=tls.root,
            cert=tls.cert,
            key=tls.key,
            hostname=tls.hostname,
            insecure=tls.insecure,
        ),
    )


def _cloud(up: Upstream, base: str | None, key: Secret | None, env: Env, report: Report) -> Cloud:
    keys = CloudKeys(up.kind, up.cloud, env, report)
    if up.kind == "bedrock":
        region = up.aws.region if up.aws is not None else None
        return clouds.bedrock(keys, region, signed=key is None, addressed=base is not None)
    if up.kind == "vertex":
        return clouds.vertex(keys, keyed=key is not None)
    if up.kind == "azure":
        written = up.base_url is not None or up.host_override is not None
        named = keys.written("resource") is not None
        found = clouds.azure(keys, addressed=written or (base is not None and not named))
        if found.base_url is None and base is not None:
            # Its SDK has base URLs that go on where the endpoint of the portal ends.
            endpoint = base.removesuffix("/v1").removesuffix("/openai")
            return structs.replace(found, base_url=endpoint)
        return found
    return Cloud()


def _aws_keys(up: Upstream, report: Report) -> AwsKeys | None:
    """The pair, if one is written."""
    aws = up.aws
    if aws is None or (aws.access_key_id is None and aws.secret_access_key is None):
        if aws is not None and aws.session_token is not None:
            report.add((*up.key_path, "aws"), "a session token goes with the two keys")
        return None
    if aws.access_key_id is None or aws.secret_access_key is None:
        report.add((*up.key_path, "aws"), "accessKeyId and secretAccessKey go together")
        return None
    try:
        values.credential(aws.access_key_id)
    except ValueError as error:
        report.add((*up.key_path, "aws", "accessKeyId"), str(error))
    return AwsKeys(
        access_key_id=aws.access_key_id,
        secret_access_key=aws.secret_access_key,
        session_token=aws.session_token,
    )


def sdk_key(kind: str, env: Mapping[str, str]) -> str | None:
    """The key the provider's own SDK would take from the environment."""
    return next((env[name] for name in KINDS[kind].key_env if env.get(name)), None)


def sdk_base_url(kind: str, env: Mapping[str, str], path: Path, report: Report) -> str | None:
    """The base URL the provider's own SDK would take from the environment."""
    name = KINDS[kind].base_env
    written = env.get(name) if name else None
    if not name or not written:
        return None
    try:
        return values.base_url(written)
    except ValueError as error:
        report.add(path, f"the environment variable {name}: {error}")
        return None


def _keys(up: Upstream, env: Env, report: Report) -> tuple[Secret | None, tuple[Secret, ...]]:
    """The first key, and the others."""
    if up.api_keys is None:
        return _api_key(up, env, report), ()
    if up.api_key is not None:
        report.add(up.keys_path, "one key, or several; not both")
    if not up.api_keys:
        report.add(up.keys_path, "list at least one key")
        return None, ()
    for i, key in enumerate(up.api_keys):
        if key in up.api_keys[:i]:
            report.add((*up.keys_path, i), "another entry has this key")
    return up.api_keys[0], up.api_keys[1:]


def _api_key(up: Upstream, env: Env, report: Report) -> Secret | None:
    if up.api_key is not None:
        return up.api_key
    if up.ambient:
        return None
    key = sdk_key(up.kind, env)
    names = KINDS[up.kind].key_env
    if key is None and names and not KINDS[up.kind].signs:
        report.add(up.key_path, f"no key: set {' or '.join(names)}, or write one here")
        return None
    if key is None:
        return None
    try:
        return Secret(values.credential(key))
    except ValueError as error:
        report.add(up.key_path, f"the environment variable {' or '.join(names)}: {error}")
        return None


def _base_url(up: Upstream, env: Env, report: Report) -> str | None:
    overrides = (up.host_override, up.path_override, up.path_prefix)
    if up.base_url is not None:
        if any(part is not None for part in overrides):
            report.add(up.path, "baseUrl takes the place of hostOverride, pathOverride, pathPrefix")
        try:
            return values.base_url(up.base_url)
        except ValueError as error:
            report.add((*up.path, "baseUrl"), str(error))
            return None
    if up.host_override is None:
        if any(part is not None for part in overrides):
            report.add(
                up.path, "pathOverride and pathPrefix need hostOverride; better, use baseUrl"
            )
        return sdk_base_url(up.kind, env, up.path, report)
    return _overridden(up, up.host_override, report)


def _overridden(up: Upstream, host: str, report: Report) -> str | None:
    """The base URL that the deprecated trio stands for.

    As in agentgateway, an overridden host is reached without TLS unless a (possibly empty) tls
    block says so; port 443 says so too.
    """
    try:
        authority, port = values.host_port(host)
    except ValueError as error:
        report.add((*up.path, "hostOverride"), str(error))
        return None
    scheme = "https" if up.tls is not None or port == 443 else "http"
    try:
        return values.base_url(f"{scheme}://{authority}{_overridden_path(up)}")
    except ValueError as error:
        at = "pathOverride" if up.path_override is not None else "pathPrefix"
        report.add((*up.path, at), str(error))
        return None


def _overridden_path(up: Upstream) -> str:
    facts = KINDS[up.kind]
    if up.path_override is not None and up.path_prefix is not None:
        raise ValueError("pathOverride and pathPrefix exclude each other")
    if up.path_override is not None:
        path = values.url_path(up.path_override)
        ending = next((e for e in _ENDPOINTS if path.endswith(facts.version + e)), None)
        if ending is None:
            raise ValueError("the path does not end in an API's own path; use baseUrl")
        return path.removesuffix(facts.version + ending)
    if up.path_prefix is not None:
        path = values.url_path(up.path_prefix.rstrip("/"))
        if not path.endswith(facts.version):
            raise ValueError(f"for this provider the prefix has to end in {facts.version}")
        return path.removesuffix(facts.version)
    return facts.base_path


def _formats(up: Upstream, base: str | None, report: Report) -> dict[str, str] | None:
    if up.kind != "custom":
        return None
    out: dict[str, str] = {}
    has_path = base is not None and "/" in base.partition("://")[2]
    for i, entry in enumerate(up.formats or ()):
        path = entry.path
        if path is None:
            version = CUSTOM_VERSIONS.get(entry.type, "/v1")
            path = ("" if has_path else version) + CUSTOM_PATHS[entry.type]
        where = (*up.formats_path, i)
        if entry.type in out:
            report.add((*where, "type"), "this API is listed twice")
        _check_path(entry.type, path, (*where, "path"), report)
        out[entry.type] = path
    for counting, counted in COUNTED.items():
        if counting in out and counted not in out:
            report.add(up.formats_path, f"{counting} counts for {counted}, which is not listed")
    if not out:
        report.add(up.formats_path, "list at least one API")
    return out


_ENDS = {"generateContent": ":generateContent", "converse": "/converse"}
"""How such a path ends: that of streamed answers is made from it."""


def _check_path(kind: str, path: str, where: Path, report: Report) -> None:
    try:
        if not values.url_path(path.replace("{model}", "model")):
            raise ValueError("not a URL path")
        if not path.endswith(_ENDS.get(kind, "")):
            raise ValueError(f"the path has to end in {_ENDS[kind]}")
        if kind in _ENDS and path.count("{model}") != 1:
            raise ValueError("the path has to hold {model} once")
    except ValueError as error:
        report.add(where, str(error))
