"""Reading the answers of AWS credential services, strictly: what is not there is an error."""

import re
from datetime import UTC, datetime
from xml.sax.saxutils import unescape

import msgspec
from msgspec import Struct

from portico.errors import UpstreamAuth
from portico.providers.signing.sigv4 import Keys

_CREDENTIALS = re.compile(r"<Credentials>(.*?)</Credentials>", re.DOTALL)
_MEMBER = re.compile(r"<(AccessKeyId|SecretAccessKey|SessionToken|Expiration)>([^<>]*)</\1>")
_CODE = re.compile(rb"<Code>([A-Za-z.]{1,64})</Code>|\"[Cc]ode\"\s*:\s*\"([A-Za-z.]{1,64})\"")
_MEMBERS = {"AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"}


class _Answer(Struct, gc=False):
    access: str = msgspec.field(name="AccessKeyId")
    secret: str = msgspec.field(name="SecretAccessKey")
    token: str = msgspec.field(name="Token", default="")
    expiration: str | None = msgspec.field(name="Expiration", default=None)
    code: str = msgspec.field(name="Code", default="Success")


_decode = msgspec.json.Decoder(_Answer).decode


def keys_of_json(answer: bytes, name: str) -> Keys:
    """Keys from `{"AccessKeyId", "SecretAccessKey", "Token", "Expiration"}` (containers, instance
    metadata). Raises `UpstreamAuth`."""
    try:
        found = _decode(answer)
    except (ValueError, RecursionError):
        raise _unreadable(name) from None
    if found.code != "Success":
        raise _unreadable(name)
    return _keys(found.access, found.secret, found.token, found.expiration, name)


def keys_of_sts(answer: bytes, name: str) -> Keys:
    """Keys from the XML of AssumeRole and AssumeRoleWithWebIdentity. Raises `UpstreamAuth`."""
    if b"<!" in answer:  # no entities, no comments: STS sends none
        raise _unreadable(name)
    try:
        blocks = _CREDENTIALS.findall(answer.decode())
    except ValueError:
        raise _unreadable(name) from None
    members = _MEMBER.findall(blocks[0]) if len(blocks) == 1 else []
    found = {tag: unescape(text.strip()) for tag, text in members}
    if len(members) != 4 or set(found) != _MEMBERS:
        raise _unreadable(name)
    return _keys(
        found["AccessKeyId"],
        found["SecretAccessKey"],
        found["SessionToken"],
        found["Expiration"],
        name,
    )


def sts_error(answer: bytes) -> str:
    """The error code of an answer, `""` if it has none. The message is not told: it may quote."""
    found = _CODE.search(answer)
    if found is None:
        return ""
    return (found[1] or found[2]).decode("ascii")


def _keys(access: str, secret: str, token: str, expiration: str | None, name: str) -> Keys:
    for text in (access, secret, token):
        if not text.isascii() or not text.isprintable():
            raise _unreadable(name)
    if not access or not secret:
        raise _unreadable(name)
    if expiration is None:
        return Keys(access, secret, token)
    try:
        moment = datetime.fromisoformat(expiration)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        ends = moment.timestamp()
    except (ValueError, OverflowError):
        raise _unreadable(name) from None
    return Keys(access, secret, token, ends)


def _unreadable(name: str) -> UpstreamAuth:
    return UpstreamAuth(
        "The gateway could not get its AWS credentials.",
        debug=f"{name}: an answer that cannot be read",
    )
