"""The Messages dialect of providers: Anthropic, and everybody who speaks it."""

from portico.dialects.messages.maps import capabilities
from portico.dialects.messages.request_out import write
from portico.dialects.messages.response_in import read
from portico.dialects.messages.stream_in import MessagesStream
from portico.dialects.messages.tools_out import betas
from portico.dialects.messages.upstream_errors import read_error
from portico.dialects.translate import UpstreamSide

__all__ = ["UPSTREAM", "betas"]

UPSTREAM = UpstreamSide(
    name="messages",
    capabilities=capabilities,
    write=write,
    read=read,
    stream=MessagesStream,
    read_error=read_error,
)
