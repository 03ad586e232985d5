"""Errors of the Gemini API: `{"error": {"code", "message", "status", "details"}}`, also inside an
array, as an HTTP answer or in the middle of a stream.

Source: https://ai.google.dev/gemini-api/docs/troubleshooting, google.rpc.Status (2026-11-21).
"""

import msgspec

from portico.dialects import upstream_error
from portico.dialects.counts import UNREADABLE
from portico.dialects.gemini.maps import STATUS_OF
from portico.errors import UpstreamFault


class _Error(msgspec.Struct):
    code: msgspec.Raw = msgspec.Raw(b"null")
    status: msgspec.Raw = msgspec.Raw(b"null")


_decode = msgspec.json.Decoder(_Error).decode
_code = msgspec.json.Decoder(int).decode
_name = msgspec.json.Decoder(str).decode


def read_error(status: int, headers: dict[bytes, bytes], body: bytes) -> UpstreamFault:
    """A typed error of an answer with an error status; never raises. `headers` names are in lower
    case. A `retry-after` header wins over the delay in the body."""
    fault = upstream_error.read_error(status, body)
    later = headers.get(b"retry-after")
    if later:
        fault.retry_after = later.decode("latin-1")
    return fault


def embedded(error: bytes) -> UpstreamFault:
    """A typed error of an error object that came with status 200; never raises."""
    return upstream_error.read_error(_status(error), error)


def _status(error: bytes) -> int:
    """HTTP status of an error object: its own code, else that of its name, else 500."""
    try:
        found = _decode(error)
    except UNREADABLE:
        return 500
    try:
        code = _code(found.code)
    except UNREADABLE:
        code = 0
    if 400 <= code <= 599:
        return code
    try:
        return STATUS_OF.get(_name(found.status), 500)
    except UNREADABLE:
        return 500
