"""Chat Completions as a provider's dialect."""

import re

from portico.dialects.chat import response_in
from portico.dialects.chat.maps import capabilities_for
from portico.dialects.chat.request_out import write
from portico.dialects.chat.stream_in import ChatStreamIn
from portico.dialects.translate import UpstreamSide
from portico.dialects.upstream_error import read_error as _read_error
from portico.errors import UpstreamFault
from portico.model.capabilities import Capabilities

__all__ = ["UPSTREAM", "capabilities_for"]

_SECONDS = re.compile(rb"[0-9]{1,9}\Z")


def capabilities(model: str) -> Capabilities:
    """The row of a server that nothing is known of; `capabilities_for` also takes its kind."""
    return capabilities_for("custom", model)


def read_error(status: int, headers: dict[bytes, bytes], body: bytes) -> UpstreamFault:
    """A typed error from an error answer, with the `retry-after` of its head; never raises."""
    fault = _read_error(status, body)
    after = headers.get(b"retry-after", b"").strip()
    if fault.retry_after is None and _SECONDS.match(after):
        fault.retry_after = after.decode("ascii")
    return fault


UPSTREAM = UpstreamSide(
    name="chat",
    capabilities=capabilities,
    write=write,
    read=response_in.read,
    stream=ChatStreamIn,
    read_error=read_error,
)
