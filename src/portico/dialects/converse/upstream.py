"""The Converse API as an upstream: its row for the translate lane.

The address is `/model/{id}/converse`, or `/converse-stream` for streams, the id percent-encoded.
"""

from portico.dialects.converse.errors import read_error
from portico.dialects.converse.maps import capabilities
from portico.dialects.converse.request_out import write
from portico.dialects.converse.response_in import read
from portico.dialects.converse.stream_in import StreamIn
from portico.dialects.translate import UpstreamSide

UPSTREAM = UpstreamSide(
    name="converse",
    capabilities=capabilities,
    write=write,
    read=read,
    stream=StreamIn,
    read_error=read_error,
    framing="aws",
)
