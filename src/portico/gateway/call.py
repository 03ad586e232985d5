"""One request on its way through the gateway."""

from msgspec import Struct

from portico.gateway.relay import StreamRelay
from portico.gateway.routes import Endpoint
from portico.gateway.snapshot import Route, Snapshot
from portico.model.outcome import Outcome
from portico.policy.auth import Caller


class Call(Struct, eq=False):
    """What `admit` found out and `handle` goes on with. Pins the snapshot: a reload in the middle
    of a request changes nothing for it.

    `relay` is the stream that a cancellation interrupted, if any; `finished` whether that stream
    had passed its terminal event already. `inflated` is the size of a body that came compressed.
    `tell_losses` says whether the caller hears of what translation changed.
    """

    outcome: Outcome
    snapshot: Snapshot
    route: Route | None = None
    endpoint: Endpoint | None = None
    caller: Caller | None = None
    relay: StreamRelay | None = None
    finished: bool = False
    inflated: int = 0
    tell_losses: bool = True
