"""One request on its way through the gateway."""

from functools import lru_cache
from math import inf
from time import monotonic, time
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Raw, Struct

from portico.errors import PorticoError, forget_frames
from portico.gateway.fallback import Fallback
from portico.gateway.planning import Entry
from portico.gateway.relay import StreamRelay
from portico.gateway.routes import Endpoint
from portico.gateway.snapshot import Route, Snapshot
from portico.gateway.target import Patience, Target
from portico.model.outcome import Outcome
from portico.policy.auth import Caller
from portico.routing.attempts import Attempts
from portico.routing.failures import failure_of
from portico.state.recording import Recording
from portico.state.records import tenant_key
from portico.state.session import Session

if TYPE_CHECKING:
    from portico.gateway.generate import Generated
    from portico.wire.header_rules import ResponseRules

Pristine: TypeAlias = tuple[
    dict[str, Raw], bytes, dict[str, bytes] | None, dict[str, Raw] | None, bool, int
]
"""`fields`, `body`, `changes`, `told`, `hides_usage` and `choices` of a `SpliceRequest`."""


class Call(Struct, eq=False):
    """What `admit` found out and `handle` goes on with. Pins the snapshot: a reload in the middle
    of a request changes nothing for it.

    `relay` is the stream that a cancellation interrupted, if any; `finished` whether that stream
    had passed its terminal event already. `inflated` is the size of a body that came compressed.
    `tell_losses` says whether the caller hears of what translation changed. `recording` stores the
    response that is made; `session` is the memory of the connection, for WebSockets. `fallback` is
    set while the request counts on what its provider keeps. `summary` is what a compaction was made
    with.

    `entry` is what was asked for, by `name`, and `provider` whom it was asked of, if anybody.
    `machine` is the attempt loop, `pristine` the request's own members as they were before the
    first attempt. `deadline` is when the request has to be over (monotonic seconds), `patience` has
    the deadlines of an attempt, `first_bytes` the caller's own for the first byte, by provider.
    `fault` is how an answer broke or failed that the client has seen the beginning of; `shadow`:
    the copy of a request that is mirrored.
    `meta` are the header lines that say who was asked, `rules` what the operator changes about the
    answer's head.
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
    recording: Recording | None = None
    session: Session | None = None
    warm_up: bool = False
    fallback: Fallback | None = None
    summary: "Generated | None" = None
    deadline: float = inf
    patience: Target | Patience | None = None
    first_bytes: dict[str, float] | None = None
    machine: Attempts | None = None
    fault: PorticoError | None = None
    shadow: bool = False
    meta: bytes = b""
    rules: "ResponseRules | None" = None
    entry: Entry | None = None
    name: str = ""
    provider: str = ""
    pristine: Pristine | None = None

    def may_retry(self, error: PorticoError) -> bool:
        """Whether another attempt would follow this error, as long as the client has nothing. If
        not, it is noted as how the attempt ended."""
        machine = self.machine
        if machine is not None and machine.would_go_on(monotonic(), failure_of(error, time())):
            return True
        forget_frames(error)
        self.fault = error
        return False


_key = lru_cache(maxsize=4096)(tenant_key)


def tenant_of(call: Call) -> bytes:
    """The caller's key in the database. Everybody without a key is one tenant."""
    return _key(call.caller.tenant if call.caller is not None else b"")
