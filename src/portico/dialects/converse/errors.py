"""Errors of Bedrock, in answers and inside streams.

The name is in the header `x-amzn-errortype` (`ThrottlingException:http://...`), or in the body as
`__type` (`com.amazon.coral.service#UnrecognizedClientException`); the text is `message` or
`Message`. Sources (2026-11-21): the service model `bedrock-runtime`,
https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html and
https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html.
"""

from msgspec import json

from portico.dialects.converse.wire import Fault, decode_fault
from portico.dialects.counts import UNREADABLE
from portico.dialects.upstream_error import MESSAGE_CHARACTERS
from portico.dialects.upstream_error import read_error as read_any
from portico.errors import UpstreamAuth, UpstreamFault, UpstreamRejected
from portico.wire.text import plain, scrub

AUTH = frozenset((
    "AccessDeniedException", "AccessDenied", "UnrecognizedClientException", "ExpiredToken",
    "ExpiredTokenException", "InvalidSignatureException", "IncompleteSignature",
    "IncompleteSignatureException", "InvalidClientTokenId", "MissingAuthenticationToken",
    "MissingAuthenticationTokenException", "SignatureDoesNotMatch", "NotAuthorized",
    "NotAuthorizedException", "OptInRequired", "RequestExpired", "UnauthorizedException",
))  # fmt: skip
"""They concern the operator's credential or account, whatever the status."""

STATUS = {
    "ThrottlingException": 429,
    "TooManyRequestsException": 429,
    "ServiceQuotaExceededException": 429,  # sent with 400; another try later may succeed
    "ModelNotReadyException": 429,
    "ServiceUnavailableException": 503,
    "InternalServerException": 500,
    "InternalFailure": 500,
    "ModelTimeoutException": 408,
    "ModelErrorException": 424,
    "ModelStreamErrorException": 424,
    "ValidationException": 400,
    "ConflictException": 400,
    "ResourceNotFoundException": 404,
    "UnknownOperationException": 404,
}
"""Status by name; the status of an answer is kept where its name is not here."""

_AGAIN = frozenset((408, 424))
"""Failures of the model: the same request may succeed. Everything else goes by its status."""

_TOO_LONG = ("input is too long", "prompt is too long", "exceeds the maximum number of tokens",
             "maximum context length", "too many input tokens")  # fmt: skip


def read_error(status: int, headers: dict[bytes, bytes], body: bytes) -> UpstreamFault:
    """A typed error from an answer with an error status; never raises."""
    name = _name(headers, body)
    if not name:
        return read_any(status, body)
    fault = _fault(body)
    message = plain(scrub(fault.message or fault.capital or ""), MESSAGE_CHARACTERS)
    if name in AUTH or status == 401 or (status == 403 and name not in STATUS):
        return UpstreamAuth(
            "The provider refused the gateway's credential.", debug=f"{status} {name}: {message}"
        )
    return _rejected(name, STATUS.get(name, status), message, fault)


def stream_fault(name: str, payload: bytes, told: str = "") -> UpstreamFault:
    """A typed error from an exception message inside a stream. Names begin with a small letter
    there: `throttlingException`."""
    known = name[:1].upper() + name[1:]
    fault = _fault(payload)
    text = fault.original_message or fault.message or fault.capital or told
    message = plain(scrub(text), MESSAGE_CHARACTERS)
    if known in AUTH:
        return UpstreamAuth("The provider refused the gateway's credential.", debug=known)
    return _rejected(known, STATUS.get(known, 500), message, fault)


def _rejected(name: str, status: int, message: str, fault: Fault) -> UpstreamRejected:
    code = name[:64] or None
    if status == 400 and any(mark in message.lower() for mark in _TOO_LONG):
        code = "context_length_exceeded"
    rejected = UpstreamRejected(
        message or "The provider answered with an error.",
        status=status,
        code=code,
        debug=f"upstream status {status}"
        + (f", the model's {fault.original_status_code}" if fault.original_status_code else ""),
    )
    if status in _AGAIN:
        rejected.retryable = True
    return rejected


def _name(headers: dict[bytes, bytes], body: bytes) -> str:
    raw = headers.get(b"x-amzn-errortype", b"")
    if raw:
        return _bare(raw.decode("latin-1"))
    try:
        value = json.decode(body)
    except UNREADABLE:
        return ""
    for _ in range(2):
        if not isinstance(value, dict):
            return ""
        for key in ("__type", "code"):
            found = value.get(key)
            if isinstance(found, str) and found:
                return _bare(found)
        value = value.get("Output")
    return ""


def _bare(name: str) -> str:
    """The name without namespace and address."""
    bare = name.partition(":")[0].rpartition("#")[2].strip()
    return plain(bare, 64) if bare.isascii() else ""


def _fault(body: bytes) -> Fault:
    try:
        return decode_fault(body)
    except UNREADABLE:
        return Fault()
