"""The Responses API as what a provider speaks."""

from portico.dialects.responses.maps import capabilities
from portico.dialects.responses.request_out import write
from portico.dialects.responses.response_in import read
from portico.dialects.responses.stream_in import Reader
from portico.dialects.responses.upstream_errors import read_error
from portico.dialects.translate import UpstreamSide

UPSTREAM = UpstreamSide(
    name="responses",
    capabilities=capabilities,
    write=write,
    read=read,
    stream=Reader,
    read_error=read_error,
)
