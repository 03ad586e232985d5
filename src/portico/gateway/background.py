"""Beginning, following and cancelling background responses."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw, Struct, structs

from portico.dialects.base import Dialect, SpliceRequest
from portico.dialects.registry import DIALECTS
from portico.dialects.responses.stored_snapshot import cancelled, frame, queued
from portico.errors import BadRequest, InternalError, NotFound, PorticoError, forget_frames
from portico.gateway.answers import JSON, request_id_header, verdict
from portico.gateway.attempts import drive
from portico.gateway.call import Call
from portico.gateway.pace import Pace
from portico.gateway.planned import RANDOM
from portico.gateway.relay import PROBE
from portico.gateway.run import Run, RunReply
from portico.gateway.runs import Runs, ended_as, is_live
from portico.gateway.stateful import prepare
from portico.gateway.target import Target
from portico.http.messages import Reply, Request
from portico.ids import new_base
from portico.routing.attempts import Attempts, Try
from portico.state.recording import Turn, record_of
from portico.state.records import LIVE, Logged, Record
from portico.wire.json import encode, quote
from portico.wire.sse import KEEP_ALIVE

if TYPE_CHECKING:
    from portico.gateway.engine import Gateway

log = logging.getLogger("portico.state")

Lane = Callable[[Call, Request, Reply, Dialect, Target, SpliceRequest], Coroutine[Any, Any, None]]

DONE = b"data: [DONE]\n\n"
EVENT_STREAM = b"content-type: text/event-stream\r\ncache-control: no-cache\r\n"
BRIEFLY = 600.0
"""Seconds that a background response which is not to be stored is kept for polling, as OpenAI does:
https://platform.openai.com/docs/guides/background (2026-11-21)."""
POLL_SECONDS = 0.25
REASONING = "reasoning.encrypted_content"
EVENTS_AT_ONCE = 500


async def begin(
    gateway: "Gateway",
    call: Call,
    request: Request,
    reply: Reply,
    dialect: Dialect,
    target: Target,
    ask: SpliceRequest,
    turn: Turn,
    lane: Lane,
) -> None:
    """Start a run and answer with its queued response, or its stream. Raises `PorticoError`."""
    base = new_base()
    created = int(gateway.now())
    told = {**(ask.told or ask.fields), "store": Raw(b"true" if turn.store else b"false")}
    response = queued(told, base, created, ask.model)
    stream = ask.stream
    retention = gateway.state.retention if turn.store else BRIEFLY
    turn = structs.replace(turn, store=True, keeps=False, retention=retention)
    record = structs.replace(
        record_of(turn, response),
        background=True,
        streamed=stream,
        names=(),
        expires_at=_latest(created, call.snapshot.deadlines.total, retention),
    )
    events = _first_events(response) if stream else []
    caller = call.caller
    limits = call.snapshot.limits
    if caller is not None:
        caller.enter(limits.in_flight_per_key)
    try:
        run = await gateway.state.runs.begin(
            record, turn, _changes(turn, created, told), events, limits
        )
    except BaseException:
        if caller is not None:
            caller.leave()
        raise
    apart = _apart(gateway, call)
    _streamed(ask, turn)
    run.task = asyncio.ensure_future(
        _work(gateway, run, apart, call.machine, request, dialect, ask, lane)
    )
    if call.machine is not None:
        call.machine.gone()  # the run has a try of its own there; this one would count twice
    call.outcome.status = 200
    call.outcome.first_byte = monotonic()
    if stream:
        await follow(gateway, call, reply, record, -1)
    else:
        headers = JSON + request_id_header(dialect, call.outcome.request_id)
        reply.send(200, headers, response)


def _streamed(ask: SpliceRequest, turn: Turn) -> None:
    """Runs are streams, whether anybody follows or not."""
    ask.stream = True
    ask.fields = {**ask.fields, "stream": Raw(b"true")}
    if turn.native:
        _keep_nothing(ask)
    ask.body = encode(ask.fields)


def _latest(created: int, longest: float, retention: float | None) -> int | None:
    """Its time begins when it ends; if nobody sees that, then when it must have."""
    return None if retention is None else created + int(longest + retention)


def _keep_nothing(ask: SpliceRequest) -> None:
    """The provider would keep the response under an id that nobody knows. Its reasoning has to come
    along then: what is asked with `store: false` is not found by its id later."""
    try:
        include = _decode_include(ask.fields.get("include", Raw(b"null"))) or []
    except ValueError:
        include = []  # the provider says what is wrong with it
    if REASONING not in include:
        include.append(REASONING)
    ask.fields["include"] = Raw(encode(include))
    ask.fields["store"] = Raw(b"false")


def _first_events(response: bytes) -> list[Logged]:
    """That it was created, and that it is queued."""
    form = b'{"type":"%b","sequence_number":%d,"response":%b}'
    return [
        Logged(number, form % (kind, number, response))
        for number, kind in enumerate((b"response.created", b"response.queued"))
    ]


def _changes(turn: Turn, created: int, told: Mapping[str, Raw]) -> dict[str, bytes]:
    """What every response object of the run says, whoever made it."""
    changes = {
        **turn.changes,
        "background": b"true",
        "created_at": b"%d" % created,
        "store": bytes(told["store"]),
        "previous_response_id": quote(turn.parent) if turn.parent is not None else b"null",
    }
    if turn.conversation is not None:
        changes["conversation"] = b'{"id":%b}' % quote(turn.conversation)
    return changes


def _apart(gateway: "Gateway", call: Call) -> Call:
    """The run's own call: it has its own record, because it outlives the request."""
    outcome = structs.replace(
        call.outcome,
        request_id=gateway.new_id(),
        started=monotonic(),
        endpoint=f"{call.outcome.endpoint} (background)",
        failed=None,
        stream=True,
    )
    return structs.replace(
        call, outcome=outcome, recording=None, session=None, relay=None, machine=None
    )


async def _work(
    gateway: "Gateway",
    run: Run,
    call: Call,
    at: Attempts | None,
    request: Request,
    dialect: Dialect,
    ask: SpliceRequest,
    lane: Lane,
) -> None:
    """One run from its start to its record. `at` is where the request would have been served."""
    outcome = call.outcome
    reply = RunReply(run)
    gateway.recorder.begin()
    try:
        await _attempts(gateway, run, call, at, request, reply, dialect, ask, lane)
        if run.outcome is None:
            raise InternalError("Internal error.", debug="a run ended without an end")
    except PorticoError as error:
        forget_frames(error)
        outcome.verdict = verdict(error)
        outcome.error_code = error.code
        outcome.error_debug = error.debug
        if error.limit:
            gateway.recorder.limit_hit(error.limit)
        if error.verbatim is not None:
            run.refuse(error.verbatim[1])
        else:
            run.fail(error)
    except asyncio.CancelledError:
        # Cancelled, lost, the worker stops, or a provider lingers after the end. Never passed on.
        if run.outcome is None or run.outcome.status == "cancelled":
            outcome.verdict = "client_cancelled" if run.why is None else "truncated"
            outcome.error_code = "cancelled"
        run.fail(run.why or InternalError("This response was given up."))
    except Exception as error:
        log.exception("defect in the background run %s", run.record.id)
        outcome.verdict = "internal_error"
        outcome.error_debug = repr(error)
        run.fail(InternalError("Internal error."))
    finally:
        try:
            await gateway.state.runs.end(run)
        finally:
            if call.caller is not None:
                call.caller.leave()
            outcome.status = outcome.status or 200
            outcome.bytes_out = reply.bytes_sent
            outcome.finished = monotonic()
            gateway.recorder.finish(outcome)


async def _attempts(
    gateway: "Gateway",
    run: Run,
    call: Call,
    at: Attempts | None,
    request: Request,
    reply: Reply,
    dialect: Dialect,
    ask: SpliceRequest,
    lane: Lane,
) -> None:
    """The attempts of a run: the first at the target that it was prepared for. Raises like
    `attempts.serve`."""
    if at is None or at.current is None:
        raise InternalError("Internal error.", debug="a run without a target")
    prepared = at.current

    async def once(
        call: Call, request: Request, reply: Reply, dialect: Dialect, target: Target,
        ask: SpliceRequest,
    ) -> None:  # fmt: skip
        if machine.current is not prepared or machine.count > 1:
            spliced = dialect.name in target.spoken(call.outcome.upstream_model)
            turn = await prepare(gateway, call, target, ask, spliced=spliced)
            if turn is not None:
                run.move(turn)
                _streamed(ask, turn)
        await lane(call, request, reply, dialect, target, ask)

    machine = call.machine = at.again(RANDOM)
    now = monotonic()
    call.deadline = now + (call.deadline - call.outcome.started)
    first = machine.begin(now, prepared)
    held = call.inflated
    try:
        if isinstance(first, Try):
            await drive(gateway, call, request, reply, dialect, ask, machine, first, once)
    finally:
        gateway.inflated -= call.inflated - held


# following


class Follower:
    """Reads a run from an event number on, here or wherever it runs."""

    __slots__ = ("_last", "_runs", "_store", "record")

    def __init__(self, gateway: "Gateway", record: Record, after: int) -> None:
        self._runs: Runs = gateway.state.runs
        self._store = gateway.state.store
        self._last = after
        self.record = record

    async def more(self, wait: float) -> list[Logged]:
        """Events behind the last ones; empty when none came within `wait` seconds."""
        tenant, id = self.record.tenant, self.record.id
        run = self._runs.find(tenant, id)
        if run is None or run.ended:
            found = await self._elsewhere(tenant, id, wait)
        else:
            if len(run.events) <= self._last + 1:
                await run.wait(wait)
            found = run.events[self._last + 1 : self._last + 1 + EVENTS_AT_ONCE]
        if found:
            self._last = found[-1].number
        return found

    async def end(self, now: float) -> bytes | None:
        """What is left to send when the run is over and everything else was: the terminal event, or
        nothing for a client that has it. None while there is more to wait for. Raises `NotFound`
        when the response is gone."""
        tenant, id = self.record.tenant, self.record.id
        run = self._runs.find(tenant, id)
        if run is not None and not run.ended:
            return None
        standing = await self._store.standing(tenant, id, now)
        if standing is None:
            raise NotFound("The response was deleted.", code="response_not_found")
        status, last = standing
        if status in LIVE or last > self._last:
            return None
        if self._last > last:
            return b""
        record = await self._store.get(tenant, id, now)
        if record is None:
            raise NotFound("The response was deleted.", code="response_not_found")
        kind = f"response.{record.status if record.status != 'cancelled' else 'incomplete'}"
        data = b'{"type":"%b","sequence_number":%d,"response":%b}' % (
            kind.encode(),
            last + 1,
            record.response,
        )
        return frame(kind, data)

    async def _elsewhere(self, tenant: bytes, id: str, wait: float) -> list[Logged]:
        found = await self._store.events(tenant, id, self._last, EVENTS_AT_ONCE)
        if found or wait <= 0:
            return found
        tail = self._runs.tail
        if tail is not None:
            return await tail.follow(tenant, id, self._last, min(wait, POLL_SECONDS))
        await asyncio.sleep(min(wait, POLL_SECONDS))
        return []


async def follow(gateway: "Gateway", call: Call, reply: Reply, record: Record, after: int) -> None:
    """Stream a run from the event after `after` on, until it is over."""
    outcome = call.outcome
    outcome.stream = True
    outcome.status = 200
    outcome.first_byte = monotonic()
    dialect = DIALECTS["responses"]
    follower = Follower(gateway, record, after)
    every = call.snapshot.deadlines.sse_keep_alive
    reply.start(200, EVENT_STREAM + request_id_header(dialect, outcome.request_id), None)
    reply.probe = PROBE
    pace = Pace()
    reply.attach(pace)
    told = monotonic()
    wait = 0.0
    while True:
        await pace.ready()
        events = await follower.more(wait)
        wait = 0.0
        if events:
            reply.write(b"".join([_framed(event) for event in events]))
            told = monotonic()
            continue
        try:
            last = await follower.end(gateway.now())
        except NotFound:  # nobody can say any more how it ended
            outcome.verdict = "truncated"
            reply.abort()
            return
        if last is not None:
            break
        wait = 1.0
        if every and monotonic() - told >= every:
            reply.write(KEEP_ALIVE)
            told = monotonic()
    reply.write(last + DONE)
    reply.end()


def _framed(event: Logged) -> bytes:
    return frame(_decode_type(event.data).type, event.data)


class _Typed(Struct, gc=False):
    type: str


_decode_type = msgspec.json.Decoder(_Typed).decode
_decode_include = msgspec.json.Decoder(list[str] | None).decode


# cancelling


async def cancel(gateway: "Gateway", record: Record) -> Record:
    """End a run for good; how it ended, also when it had before. Raises `BadRequest` for a response
    that nobody can cancel."""
    if not record.background:
        raise BadRequest(
            "Cannot cancel a synchronous response.", code="invalid_value", param="response_id"
        )
    tenant, id = record.tenant, record.id
    if not is_live(record):
        return record
    run = gateway.state.runs.find(tenant, id)
    if run is not None:
        run.cancel()
        if run.task is not None:
            await asyncio.wait({run.task})
    else:
        await gateway.state.store.finish_run(ended_as(record, cancelled(record.response)), ())
    return await gateway.state.store.get(tenant, id, gateway.now()) or record
