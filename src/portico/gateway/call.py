"""One request on its way through the gateway."""

from functools import lru_cache

from msgspec import Struct

from portico.gateway.fallback import Fallback
from portico.gateway.relay import StreamRelay
from portico.gateway.routes import Endpoint
from portico.gateway.snapshot import Route, Snapshot
from portico.model.outcome import Outcome
from portico.policy.auth import Caller
from portico.state.recording import Recording
from portico.state.records import tenant_key
from portico.state.session import Session


class Call(Struct, eq=False):
    """What `admit` found out and `handle` goes on with. Pins the snapshot: a reload in the middle
    of a request changes nothing for it.

    `relay` is the stream that a cancellation interrupted, if any; `finished` whether that stream
    had passed its terminal event already. `inflated` is the size of a body that came compressed.
    `tell_losses` says whether the caller hears of what translation changed. `recording` stores the
    response that is made; `session` is the memory of the connection, for WebSockets. `fallback` is
    set while the request counts on what its provider keeps.
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


_key = lru_cache(maxsize=4096)(tenant_key)


def tenant_of(call: Call) -> bytes:
    """The caller's key in the database. Everybody without a key is one tenant."""
    return _key(call.caller.tenant if call.caller is not None else b"")
