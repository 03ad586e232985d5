"""When a provider has the response no more that a request goes on from."""

from collections.abc import Awaitable, Callable

from msgspec import Struct

from portico.errors import PorticoError, UpstreamRejected

CODE = "previous_response_not_found"
PARAM = "previous_response_id"


class Fallback(Struct, eq=False, gc=False):
    """How to do without the provider's own copy of `parent`: `expand` makes the request say
    everything itself. It raises `PorticoError` where that is not possible."""

    parent: str
    expand: Callable[[], Awaitable[None]]

    def helps(self, error: PorticoError) -> bool:
        """Whether the provider said that it does not know the parent. OpenAI and Azure have a code
        for it; others a sentence with the id."""
        return (
            isinstance(error, UpstreamRejected)
            and error.http_status in (400, 404)
            and (error.code == CODE or error.param == PARAM or self.parent in error.message)
        )
