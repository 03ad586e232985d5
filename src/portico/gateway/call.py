"""One request on its way through the gateway."""

from portico.gateway.relay import StreamRelay
from portico.gateway.routes import Endpoint
from portico.gateway.snapshot import Route, Snapshot
from portico.model.outcome import Outcome
from portico.policy.auth import Caller


class Call:
    """What `admit` found out and `handle` goes on with. Pins the snapshot: a reload in the middle
    of a request changes nothing for it."""

    __slots__ = ("caller", "endpoint", "finished", "outcome", "relay", "route", "snapshot")

    def __init__(self, outcome: Outcome, snapshot: Snapshot) -> None:
        self.outcome = outcome
        self.snapshot = snapshot
        self.route: Route | None = None
        self.endpoint: Endpoint | None = None
        self.caller: Caller | None = None
        self.relay: StreamRelay | None = None
        """The stream that a cancellation interrupted, if any."""
        self.finished = False
        """Whether that stream had passed its terminal event already."""
