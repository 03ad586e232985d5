"""What the Gemini dialect offers to the translate lane."""

from portico.dialects.gemini.errors import read_error
from portico.dialects.gemini.maps import capabilities, vertex_capabilities
from portico.dialects.gemini.request_out import write
from portico.dialects.gemini.response_in import read
from portico.dialects.gemini.stream_in import stream
from portico.dialects.translate import UpstreamSide
from portico.model.capabilities import Capabilities

UPSTREAM = UpstreamSide(
    name="gemini",
    capabilities=capabilities,
    write=write,
    read=read,
    stream=stream,
    read_error=read_error,
)


def capabilities_for(kind: str, model: str) -> Capabilities:
    """The row of a model at a kind of provider: `vertex`, or any other for the Gemini API."""
    return vertex_capabilities(model) if kind == "vertex" else capabilities(model)
