"""A whole answer of Gemini as events. It is read as a stream of one chunk."""

from portico.dialects.gemini.stream_in import Reader
from portico.dialects.translate import Upstream
from portico.errors import UpstreamProtocol, UpstreamTruncated
from portico.model.events import Event


def read(body: bytes, upstream: Upstream) -> list[Event]:
    """The events of a whole answer (or of the array that `streamGenerateContent` gives without
    `alt=sse`). An answer that does not say how it ended has failed. Raises `UpstreamProtocol` for
    what is not JSON objects."""
    reader = Reader(upstream)
    events: list[Event] = []
    if not reader.chunk(body, events):
        raise UpstreamProtocol(
            "The provider's answer could not be read.", debug="not a GenerateContentResponse"
        )
    events += reader.end()
    if not reader.ended:
        events += reader.fail(UpstreamTruncated("The provider's answer does not say how it ended."))
    return events
