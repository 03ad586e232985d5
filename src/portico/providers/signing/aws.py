"""Where AWS credentials come from, and how they stay fresh.

The order is that of the AWS SDKs, as far as it concerns a gateway: keys given in the configuration,
a Bedrock API key, keys of the environment, web identity, container credentials, and the instance
metadata service if it was asked for. A role named without a token file is assumed with the keys
that were found. HTTP goes through `fetch`, so that this module opens no sockets.

Sources (2026-11-21): https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html,
https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html,
https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html,
https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys-use.html.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol, TypeAlias
from urllib.parse import urlencode, urlsplit

from msgspec import Struct

from portico.errors import PorticoError, UpstreamAuth
from portico.providers.signing.aws_answers import keys_of_json, keys_of_sts, sts_error
from portico.providers.signing.sigv4 import Keys, sign

EARLY = 300.0
"""Seconds before their end in which keys are renewed."""
LAST = 15.0
"""Seconds before their end from which keys are not used any more."""
HOLD = 5.0
"""Seconds for which a renewal that failed is not tried again."""
ANSWER_BYTES = 64 * 1024

Fetch: TypeAlias = Callable[
    [str, str, dict[str, str], bytes | None], Awaitable[tuple[int, dict[str, str], bytes]]
]
"""`fetch(method, url, headers, body) -> (status, headers, body)`; header names in lower case."""

_CONTAINER = "http://169.254.170.2"
_CONTAINER_HOSTS = frozenset(("169.254.170.2", "169.254.170.23", "fd00:ec2::23", "localhost"))
_INSTANCE = "http://169.254.169.254/latest"
_ROLES = "/meta-data/iam/security-credentials/"


class Source(Protocol):
    """Something that gives new keys. Raises `UpstreamAuth` and nothing else."""

    async def load(self) -> Keys: ...


class Fixed(Struct, frozen=True):
    """Keys that are simply there."""

    keys: Keys

    async def load(self) -> Keys:
        return self.keys


class WebIdentity(Struct, frozen=True, kw_only=True):
    """A token file (Kubernetes, CI) exchanged for the keys of a role."""

    fetch: Fetch
    role: str
    session: str
    token_file: str
    endpoint: str
    read_file: Callable[[str], str]

    async def load(self) -> Keys:
        token = _file(self.read_file, self.token_file, "the web identity token")
        form = {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": self.role,
            "RoleSessionName": self.session,
            "WebIdentityToken": token,
        }
        return await _ask_sts(self.fetch, self.endpoint, form, None)


class AssumedRole(Struct, frozen=True, kw_only=True):
    """A role assumed with other keys."""

    fetch: Fetch
    base: "AwsCredential"
    role: str
    session: str
    endpoint: str
    region: str
    clock: Callable[[], float]
    external_id: str = ""

    async def load(self) -> Keys:
        form = {
            "Action": "AssumeRole",
            "Version": "2011-06-15",
            "RoleArn": self.role,
            "RoleSessionName": self.session,
        }
        if self.external_id:
            form["ExternalId"] = self.external_id
        keys = await self.base.keys()

        def signed(body: bytes) -> dict[str, str]:
            where = urlsplit(self.endpoint)
            lines = sign(
                method="POST",
                path=where.path or "/",
                headers=[("host", where.netloc), ("content-type", _FORM)],
                body=body,
                credential=keys,
                region=self.region,
                service="sts",
                now=self.clock(),
            )
            pairs = [line.partition(": ") for line in lines.decode("latin-1").splitlines()]
            return {name: value for name, _, value in pairs}

        return await _ask_sts(self.fetch, self.endpoint, form, signed)


class Container(Struct, frozen=True, kw_only=True):
    """The credential endpoint of ECS and EKS."""

    fetch: Fetch
    url: str
    token: str = ""
    token_file: str = ""
    read_file: Callable[[str], str]

    async def load(self) -> Keys:
        token = self.token
        if self.token_file:
            token = _file(self.read_file, self.token_file, "the container authorization token")
        if not token.isprintable():
            raise _failed("the container authorization token holds a control character")
        headers = {"accept": "application/json"}
        if token:
            headers["authorization"] = token
        answer = await _call(self.fetch, "GET", self.url, headers, None, "container endpoint")
        return keys_of_json(answer, "container endpoint")


class Instance(Struct, frozen=True, kw_only=True):
    """The instance metadata service, version 2 only."""

    fetch: Fetch
    base: str = _INSTANCE

    async def load(self) -> Keys:
        name = "instance metadata"
        ttl = {"x-aws-ec2-metadata-token-ttl-seconds": "21600"}
        token = await _call(self.fetch, "PUT", f"{self.base}/api/token", ttl, None, name)
        headers = {"x-aws-ec2-metadata-token": _word(token, name)}
        listed = await _call(self.fetch, "GET", self.base + _ROLES, headers, None, name)
        role = _word(listed.partition(b"\n")[0], name)
        if not all(character.isalnum() or character in "+=,.@-_" for character in role):
            raise _failed(f"{name}: the role has a name that cannot be")
        url = f"{self.base}{_ROLES}{role}"
        return keys_of_json(await _call(self.fetch, "GET", url, headers, None, name), name)


class AwsCredential:
    """Keys that are renewed before they end.

    `current()` never waits and is what the hot path asks; `keys()` waits for new ones if it must.
    However many ask at once, one renewal is under way at a time.
    """

    __slots__ = ("_clock", "_error", "_flight", "_hold", "_keys", "_source")

    def __init__(self, source: Source, *, clock: Callable[[], float] = time.time) -> None:
        self._source = source
        self._clock = clock
        self._keys: Keys | None = source.keys if isinstance(source, Fixed) else None
        self._flight: asyncio.Task[Keys] | None = None
        self._hold = 0.0
        self._error: UpstreamAuth | None = None

    def __repr__(self) -> str:
        return f"AwsCredential({type(self._source).__name__})"

    def current(self) -> Keys | None:
        """Keys to use now, or None: then await `keys()`."""
        keys = self._keys
        if keys is None or keys.expires is None:
            return keys
        now = self._clock()
        left = keys.expires - now
        if left > EARLY or (left > LAST and now < self._hold):
            return keys
        return None

    async def keys(self) -> Keys:
        """Keys to use now. Raises `UpstreamAuth` when there are none to be had."""
        keys = self.current()
        if keys is not None:
            return keys
        if self._error is not None and self._clock() < self._hold:
            raise UpstreamAuth(self._error.message, debug=self._error.debug)
        if self._flight is None:
            self._flight = asyncio.create_task(self._renew())
            self._flight.add_done_callback(self._landed)
        # Whoever gives up does not take the renewal away from the others.
        try:
            return await asyncio.shield(self._flight)
        except UpstreamAuth as error:
            raise UpstreamAuth(error.message, debug=error.debug) from None

    async def _renew(self) -> Keys:
        try:
            keys = await self._source.load()
            if keys.expires is not None and keys.expires - self._clock() <= LAST:
                raise _failed("the keys had ended when they arrived")
        except UpstreamAuth as error:
            self._hold = self._clock() + HOLD
            old = self._keys
            if old is not None and (old.expires or 0.0) - self._clock() > LAST:
                return old
            self._keys = None
            self._error = error
            raise
        self._keys, self._error, self._hold = keys, None, 0.0
        if keys.expires is not None and keys.expires - self._clock() <= EARLY:
            # Short-lived keys: do not ask again for every request.
            self._hold = keys.expires - LAST
        return keys

    def _landed(self, flight: "asyncio.Task[Keys]") -> None:
        self._flight = None
        if not flight.cancelled():
            flight.exception()  # seen, even when everybody who waited has gone


def find(
    env: Mapping[str, str],
    fetch: Fetch,
    *,
    region: str,
    explicit: Keys | None = None,
    role: str = "",
    external_id: str = "",
    instance: bool = False,
    clock: Callable[[], float] = time.time,
    read_file: Callable[[str], str] = lambda path: Path(path).read_text(),
) -> AwsCredential:
    """The first source that is configured. Nothing is fetched yet.

    `explicit` are keys of the configuration, `role` a role to assume with whatever was found;
    `instance` allows the instance metadata service. Raises `UpstreamAuth` when there is no source,
    and for a container endpoint that is not allowed.
    """
    session = env.get("AWS_ROLE_SESSION_NAME") or "portico"
    endpoint = env.get("AWS_ENDPOINT_URL_STS") or sts_endpoint(region)
    base = _given(env, explicit)
    role = role or ("" if explicit is not None else _own_role(env))
    if base is None:
        base = _web_identity(env, fetch, session, endpoint, read_file)
        role = "" if base is not None and base.role == role else role
    base = base or _ambient(env, fetch, instance, read_file)
    if base is None:
        raise UpstreamAuth(
            "No AWS credentials are configured for this provider.",
            debug="no keys, AWS_BEARER_TOKEN_BEDROCK, web identity or container credentials",
        )
    found = AwsCredential(base, clock=clock)
    if not role or (isinstance(base, Fixed) and base.keys.bearer):
        return found
    assumed = AssumedRole(
        fetch=fetch,
        base=found,
        role=role,
        session=session,
        endpoint=endpoint,
        region=region,
        clock=clock,
        external_id=external_id,
    )
    return AwsCredential(assumed, clock=clock)


def sts_endpoint(region: str) -> str:
    """The regional endpoint of STS. China has a domain of its own."""
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://sts.{region}.{domain}/"


_FORM = "application/x-www-form-urlencoded; charset=utf-8"


def _given(env: Mapping[str, str], explicit: Keys | None) -> Source | None:
    """Sources that come before web identity."""
    if explicit is not None:
        return Fixed(explicit)
    bearer = env.get("AWS_BEARER_TOKEN_BEDROCK")
    if bearer:
        return Fixed(bearer_keys(bearer))
    access, secret = env.get("AWS_ACCESS_KEY_ID"), env.get("AWS_SECRET_ACCESS_KEY")
    if access and secret:
        return Fixed(Keys(access, secret, env.get("AWS_SESSION_TOKEN", "")))
    return None


def _own_role(env: Mapping[str, str]) -> str:
    """The role to assume with keys: one with a token file is for web identity."""
    return "" if env.get("AWS_WEB_IDENTITY_TOKEN_FILE") else env.get("AWS_ROLE_ARN", "")


def _web_identity(
    env: Mapping[str, str],
    fetch: Fetch,
    session: str,
    endpoint: str,
    read_file: Callable[[str], str],
) -> WebIdentity | None:
    role, token_file = env.get("AWS_ROLE_ARN"), env.get("AWS_WEB_IDENTITY_TOKEN_FILE")
    if not role or not token_file:
        return None
    return WebIdentity(
        fetch=fetch,
        role=role,
        session=session,
        token_file=token_file,
        endpoint=endpoint,
        read_file=read_file,
    )


def bearer_keys(token: str) -> Keys:
    """A Bedrock API key as a credential. Raises `UpstreamAuth` for what no header can hold."""
    if not token.isascii() or not token.isprintable():
        raise _failed("the Bedrock API key holds a character that no header can")
    return Keys("", "", bearer=token)


def _ambient(
    env: Mapping[str, str], fetch: Fetch, instance: bool, read_file: Callable[[str], str]
) -> Source | None:
    """Sources that the machine offers."""
    relative = env.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    full = env.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    if relative or full:
        url = _CONTAINER + relative if relative else full or ""
        _check_container(url, relative is not None and relative.startswith("/"))
        return Container(
            fetch=fetch,
            url=url,
            token=env.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", ""),
            token_file=env.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", ""),
            read_file=read_file,
        )
    return Instance(fetch=fetch) if instance else None


def _check_container(url: str, relative: bool) -> None:
    """Only HTTPS, loopback and the link-local addresses of ECS and EKS may see the token."""
    try:
        where = urlsplit(url)
        host = where.hostname or ""
    except ValueError:
        raise _failed("the container credentials URI cannot be read") from None
    if relative and host == "169.254.170.2" and where.scheme == "http":
        return
    if where.scheme == "https" and host:
        return
    if where.scheme == "http" and host in _CONTAINER_HOSTS:
        return
    try:
        if where.scheme == "http" and ip_address(host).is_loopback:
            return
    except ValueError:
        pass
    raise _failed("the container credentials URI has a host that is not allowed")


async def _ask_sts(
    fetch: Fetch,
    endpoint: str,
    form: dict[str, str],
    signed: Callable[[bytes], dict[str, str]] | None,
) -> Keys:
    body = urlencode(form).encode()
    headers = {"content-type": _FORM, "accept": "text/xml"}
    if signed is not None:
        headers |= signed(body)
    answer = await _call(fetch, "POST", endpoint, headers, body, form["Action"])
    return keys_of_sts(answer, form["Action"])


async def _call(
    fetch: Fetch, method: str, url: str, headers: dict[str, str], body: bytes | None, name: str
) -> bytes:
    """The body of a 200 answer. One more try after a failure of the other side."""
    status, answer = 0, b""
    for _ in range(2):
        try:
            status, _, answer = await fetch(method, url, headers, body)
        except (OSError, PorticoError, ValueError) as error:
            # The text of the error may name hosts or hold the request: its type is enough.
            raise _failed(f"{name}: {type(error).__name__}") from None
        if status < 500:
            break
    if len(answer) > ANSWER_BYTES:
        raise _failed(f"{name}: an answer of {len(answer)} bytes")
    if status != 200:
        raise _failed(f"{name}: status {status} {sts_error(answer)}".rstrip())
    return answer


def _file(read_file: Callable[[str], str], path: str, name: str) -> str:
    try:
        text = read_file(path).strip()
    except (OSError, ValueError) as error:
        raise _failed(f"{name} cannot be read: {type(error).__name__}") from None
    if not text:
        raise _failed(f"{name} is empty")
    return text


def _word(raw: bytes, name: str) -> str:
    text = raw.decode("ascii", "replace").strip()
    if not text or not text.isascii() or not text.isprintable():
        raise _failed(f"{name}: an answer that cannot be read")
    return text


def _failed(debug: str) -> UpstreamAuth:
    return UpstreamAuth("The gateway could not get its AWS credentials.", debug=debug)
