"""Mirroring: a share of the requests also goes to a shadow model. Nobody gets to see its answers.

The caller cannot tell: the copy is a task of its own with a record of its own (its endpoint ends in
`(mirror)`), it is tried once, stores nothing, counts for no caller's limits, and is left out when
too many are under way. A shadow that fails is a line in the log.
"""

import asyncio
import logging
from time import monotonic
from typing import TYPE_CHECKING

from msgspec import Raw, structs

from portico.config.settings import RetrySettings
from portico.dialects.base import Dialect, SpliceRequest
from portico.errors import PorticoError, forget_frames
from portico.gateway.answers import verdict
from portico.gateway.attempts import Once, drive, nobody, pristine
from portico.gateway.call import Call
from portico.gateway.planned import RANDOM, tiers_of
from portico.gateway.planning import Entry
from portico.http.messages import Reply, Request, Source
from portico.model.outcome import Outcome
from portico.routing.attempts import Attempts, Try
from portico.routing.budget import RetryBudget
from portico.routing.health import Cooldown, Health
from portico.routing.plan import Backend, Credential, Tiers

if TYPE_CHECKING:
    from portico.gateway.engine import Gateway

log = logging.getLogger("portico.gateway")

_ONCE = RetrySettings(attempts=0)


class Nowhere:
    """`messages.Reply` of an answer that nobody reads."""

    __slots__ = ("bytes_sent", "gone", "probe", "started")

    def __init__(self) -> None:
        self.started = False
        self.bytes_sent = 0
        self.gone = False
        self.probe = b""

    def send(self, status: int, headers: bytes, body: bytes) -> None:
        """A whole answer."""
        self.started = True
        self.bytes_sent += len(body)

    def start(self, status: int, headers: bytes, length: int | None) -> None:
        """It begins."""
        self.started = True

    def write(self, data: bytes) -> None:
        """More of it."""
        self.bytes_sent += len(data)

    def end(self) -> None:
        """It is whole."""

    def abort(self) -> None:
        """It is cut."""

    def attach(self, source: Source | None) -> None:
        """Nothing is ever slower than the provider."""


class Mirrors:
    """The copies under way in a worker."""

    __slots__ = ("_tasks",)

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def consider(
        self,
        gateway: "Gateway",
        call: Call,
        request: Request,
        dialect: Dialect,
        ask: SpliceRequest,
        once: Once,
    ) -> None:
        """Mirror the request, if its lot falls so. Called before the first attempt."""
        entry = call.entry
        if entry is None or entry.mirror is None or RANDOM.random() >= entry.share:
            return
        if call.endpoint is None or call.endpoint.kind != "generate" or call.warm_up:
            return
        state = ask.state
        if call.session is not None and state is not None and not state.silent:
            return  # what it goes on from may be in the memory of that connection only
        limits = call.snapshot.limits
        held = gateway.inflated + len(ask.body)  # a shadow that hangs must leave room for callers
        if len(self._tasks) >= limits.mirrored_requests or held > limits.buffered_body_bytes // 2:
            gateway.recorder.limit_hit("mirroredRequests")
            return
        now = monotonic()
        if not any(backend.health.available(now) for backend in entry.mirror.backends):
            return
        shadow = _apart(gateway, call, entry.mirror, entry.mirrored_as)
        task = asyncio.ensure_future(
            _run(gateway, shadow, request, dialect, _copy(ask), once, entry.mirror)
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give up what is under way."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)


def _copy(ask: SpliceRequest) -> SpliceRequest:
    """The request, to be stored nowhere."""
    copy = structs.replace(ask)
    if ask.state is not None:
        copy.fields = {**ask.fields, "store": Raw(b"false")}
        copy.fields.pop("background", None)
        copy.changes = ask.changes or {}
        copy.state = structs.replace(ask.state, store=False, background=False)
    return copy


def _apart(gateway: "Gateway", call: Call, entry: Entry, name: str) -> Call:
    seen = call.outcome
    outcome = Outcome(
        gateway.new_id(),
        seen.method,
        seen.peer,
        monotonic(),
        endpoint=f"{seen.endpoint} (mirror)",
        operation=seen.operation,
        dialect=seen.dialect,
        alias=entry.name,
        request_model=name,
        stream=seen.stream,
        caller=seen.caller,
        bytes_in=seen.bytes_in,
    )
    shadow = structs.replace(
        call, outcome=outcome, session=None, machine=None, entry=entry, name=name, inflated=0
    )
    shadow.tell_losses = shadow.shadow = True
    return shadow


def _unjudged(tiers: Tiers) -> Tiers:
    """The same targets, with health and cool-downs of their own: what becomes of a copy must not
    decide about requests that somebody waits for."""
    return tuple(
        tuple([structs.replace(choice, backend=_twin(choice.backend)) for choice in tier])
        for tier in tiers
    )


def _twin(backend: Backend) -> Backend:
    return Backend(
        backend.name,
        backend.key,
        backend.provider,
        [Credential(each.target, each.homes, Cooldown()) for each in backend.credentials],
        Health(backend.health.rules),
        backend.price,
    )


async def _run(
    gateway: "Gateway",
    call: Call,
    request: Request,
    dialect: Dialect,
    ask: SpliceRequest,
    once: Once,
    entry: Entry,
) -> None:
    outcome = call.outcome
    reply: Reply = Nowhere()
    gateway.recorder.begin()
    try:
        gateway.account(call, len(ask.body))
        now = monotonic()
        call.deadline = now + (entry.timeout.request or call.snapshot.deadlines.total)
        tiers = _unjudged(tiers_of(entry, call, request, dialect, ask))
        budget = RetryBudget(0.0, 0.0, now)
        machine = call.machine = Attempts(tiers, _ONCE, budget, call.deadline, RANDOM)
        call.pristine = pristine(ask)
        first = machine.begin(now)
        if not isinstance(first, Try):
            raise nobody(first)
        await drive(gateway, call, request, reply, dialect, ask, machine, first, once)
        outcome.status = outcome.status or 200
    except PorticoError as error:
        forget_frames(error)
        outcome.verdict = verdict(error)
        outcome.status = error.http_status
        outcome.error_code = error.code or f"http_{error.http_status}"
    except asyncio.CancelledError:
        outcome.verdict, outcome.error_code = "truncated", "overloaded"  # the worker stops
    except Exception as error:
        log.exception("defect while mirroring to %s", entry.name)
        outcome.verdict, outcome.error_debug = "internal_error", repr(error)
    finally:
        gateway.inflated -= call.inflated
        outcome.bytes_out = reply.bytes_sent
        outcome.finished = monotonic()
        gateway.recorder.finish(outcome)
