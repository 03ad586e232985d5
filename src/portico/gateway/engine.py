"""The orchestrator: one request from its head to its record.

`Gateway` holds the current snapshot and what outlives it. `Door` is the `Application` of one
listener. Every path out of here, including refusals, cancelled calls and defects, ends in exactly
one `Outcome` handed to the recorder.
"""

import asyncio
import logging
from collections.abc import Coroutine
from functools import partial
from time import monotonic, time
from typing import Any, Protocol

from portico.dialects.base import Dialect, SpliceRequest
from portico.dialects.registry import DIALECTS
from portico.dialects.translators import CLIENTS
from portico.errors import (
    Forbidden,
    InternalError,
    Overloaded,
    PorticoError,
    forget_frames,
)
from portico.gateway import attempts
from portico.gateway.answers import send_error, verdict
from portico.gateway.background import begin
from portico.gateway.call import Call
from portico.gateway.compact import compact, restate_summaries
from portico.gateway.conversations import serve_conversations
from portico.gateway.count import count
from portico.gateway.mirror import Mirrors
from portico.gateway.models import ModelList
from portico.gateway.planned import entry_of
from portico.gateway.planning import view
from portico.gateway.routes import Endpoint, check_method, unknown_path
from portico.gateway.shaping import check_required
from portico.gateway.snapshot import Route, Snapshot, Target
from portico.gateway.splice import shape, splice, splice_native, strip_ours
from portico.gateway.state import State
from portico.gateway.stateful import prepare, record
from portico.gateway.stored import serve_stored
from portico.gateway.translate import Tools, translate
from portico.gateway.warm_up import warm_up
from portico.gateway.websocket import serve
from portico.http.body import decoded
from portico.http.client import HttpClient
from portico.http.messages import Reply, Request, Socket
from portico.http.remote import RemoteDoor
from portico.ids import IdSource
from portico.model.outcome import Outcome
from portico.model.targets import TargetView
from portico.policy.auth import from_here
from portico.policy.sealing import Sealer, TenantSealer
from portico.routing.health import Board
from portico.state.session import Memory
from portico.store.opening import MEMORY, open_store

log = logging.getLogger("portico.gateway")

_LANES = {"count": count, "compact": compact}
CLIENT_CLOSED = 499
"""What the record says when the caller left before a status was sent (nginx's number)."""


class Recorder(Protocol):
    """Where finished requests are told."""

    def begin(self) -> None:
        """A request is in flight."""

    def finish(self, outcome: Outcome) -> None:
        """It is over; the record is complete."""

    def limit_hit(self, limit: str) -> None:
        """A named limit was hit."""

    def retry_refused(self, model: str) -> None:
        """No further attempt was made, because the retry budget was used up."""


class Gateway:
    """The running gateway of one worker."""

    def __init__(
        self,
        snapshot: Snapshot,
        client: HttpClient,
        recorder: Recorder,
        sealing_secret: str | None = None,
        state: State | None = None,
        board: Board | None = None,
    ) -> None:
        self.snapshot = snapshot
        self.client = client
        self.recorder = recorder
        self.model_list = ModelList(client)
        self.tools = Tools(client, RemoteDoor(client))
        self._sealing_secret = sealing_secret
        self.sealer = Sealer(_secret(snapshot) or sealing_secret)
        self.board = board or Board()
        self.mirrors = Mirrors()
        self.new_id = IdSource("req")
        self.state = state or State(open_store(MEMORY), snapshot.settings.state_retention)
        self.remembered = Memory(partial(recorder.limit_hit, "bufferedBodyBytes"))
        self.inflated = 0
        """Bytes of inflated bodies being served."""

    async def start(self) -> None:
        """Open the database. What is sealed from now on opens as long as that is kept. Raises
        `StoreUnavailable`."""
        await self.state.start()
        if _secret(self.snapshot) is None and self.state.secret not in (None, self._sealing_secret):
            self._sealing_secret = self.state.secret
            self.sealer = Sealer(self._sealing_secret)

    def now(self) -> float:
        """Unix seconds, for what is stored."""
        return time()

    def account(self, call: Call, size: int) -> None:
        """Count bytes that a call holds until it ends. Raises `Overloaded`."""
        call.inflated += size
        self.inflated += size
        if self.inflated > call.snapshot.limits.buffered_body_bytes:
            raise Overloaded("Too many large requests at once.", limit="bufferedBodyBytes")

    def targets(self) -> list[TargetView]:
        """How every target is, for operators."""
        now = monotonic()
        return [view(backend, now) for backend in self.snapshot.backends]

    def sealer_of(self, call: Call) -> TenantSealer:
        """The sealer of the caller's tenant."""
        return self.sealer.tenant(call.caller.tenant if call.caller is not None else b"")

    def door(self, index: int) -> "Door":
        """The application of listener `index`."""
        return Door(self, index)

    def swap(self, snapshot: Snapshot) -> None:
        """Serve new requests from another snapshot; those in flight keep theirs."""
        if _secret(snapshot) != _secret(self.snapshot):
            self.sealer = Sealer(_secret(snapshot) or self._sealing_secret)
        self.snapshot = snapshot
        snapshot.settle(self.board)
        self.client.limits = snapshot.limits
        self.state.retention = snapshot.settings.state_retention
        self.client.deadlines = snapshot.deadlines
        self.model_list = ModelList(self.client)


class Door:
    """`messages.Application` for one listener."""

    __slots__ = ("_gateway", "_index")

    def __init__(self, gateway: Gateway, index: int) -> None:
        self._gateway = gateway
        self._index = index

    def admit(self, request: Request) -> PorticoError | None:
        """Route and authenticate by the head alone."""
        gateway = self._gateway
        snapshot = gateway.snapshot
        outcome = Outcome(
            gateway.new_id(), request.method.decode("latin-1"), request.peer, request.received
        )
        request.context = call = Call(outcome, snapshot)
        route = snapshot.fronts[self._index].route(request)
        if route is None:
            return unknown_path(request)
        call.route = route
        # Located first, so that a refusal speaks the endpoint's dialect; unknown paths need a key
        # like any other, and only then are said to be unknown.
        endpoint = _locate(call, route, request)
        if route.keys is not None and (endpoint is None or endpoint.auth == "caller"):
            try:
                call.caller = caller = route.keys.identify(request.headers, request.memory)
            except PorticoError as error:
                return error
            if caller is not None:
                outcome.caller = caller.metadata
        else:
            fault = _cross_site(request)
            if fault is not None:
                return fault
        if endpoint is None:
            return unknown_path(request)
        if not endpoint.takes(request.method):
            fault = check_method(endpoint, request)
            if fault is None and call.caller is None:  # keys may be optional here
                fault = _cross_site(request)
            return fault
        return None

    def refuse(self, request: Request | None, reply: Reply, error: PorticoError) -> None:
        """Answer an error that came up before the request could be served."""
        gateway = self._gateway
        call = request.context if request is not None else None
        if call is None:
            outcome = Outcome(gateway.new_id(), "", "", monotonic())
            if request is not None:
                outcome.peer = request.peer
            call = Call(outcome, gateway.snapshot)
        gateway.recorder.begin()
        self._answer_error(call, request, reply, error)
        self._finish(call, reply)

    async def handle(self, request: Request, reply: Reply) -> None:
        """Serve one admitted request."""
        call: Call = request.context
        outcome = call.outcome
        outcome.bytes_in = len(request.body)
        caller = call.caller
        entered = False
        self._gateway.recorder.begin()
        try:
            if caller is not None:
                caller.enter(call.snapshot.limits.in_flight_per_key)
                entered = True
            kind = call.endpoint.kind if call.endpoint is not None else "generate"
            if kind == "models":
                await self._models(call, request, reply)
            elif kind == "stored":
                await serve_stored(self._gateway, call, request, reply)
            elif kind == "conversations":
                await serve_conversations(self._gateway, call, request, reply)
            else:
                await self._generate(call, request, reply)
        except PorticoError as error:
            self._answer_error(call, request, reply, error)
        except asyncio.CancelledError:
            self._interrupted(call, request, reply)
            raise
        except Exception as error:
            log.exception("defect while serving %s", outcome.request_id)
            fault = InternalError("Internal error.", debug=repr(error))
            self._answer_error(call, request, reply, fault)
        finally:
            if entered and caller is not None:
                caller.leave()
            self._gateway.inflated -= call.inflated
            self._finish(call, reply)

    def converse(self, request: Request, socket: Socket) -> Coroutine[Any, Any, None]:
        """Serve one admitted WebSocket. The requests on it have a record each, it has none."""
        return serve(self, request, socket, self._gateway.remembered)

    def _generate(self, call: Call, request: Request, reply: Reply) -> Coroutine[Any, Any, None]:
        """Check the body, find the target, and hand over to its lane."""
        endpoint, route = call.endpoint, call.route
        if endpoint is None or route is None:
            raise InternalError("Internal error.", debug="handled without being admitted")
        dialect = DIALECTS[endpoint.route_type]
        limits = call.snapshot.limits
        outcome = call.outcome
        outcome.operation = dialect.operation
        body = request.body
        coding = request.headers.get(b"content-encoding")
        if coding is not None:
            body = self._inflate(call, coding, body)
        ask = dialect.read(body, limits)
        outcome.request_model = ask.model
        outcome.stream = ask.stream
        call.entry, call.name, call.provider = entry_of(route, call, ask.model)
        outcome.alias = call.entry.name
        return attempts.serve(self._gateway, call, request, reply, dialect, ask, self._once)

    def _once(
        self,
        call: Call,
        request: Request,
        reply: Reply,
        dialect: Dialect,
        target: Target,
        ask: SpliceRequest,
    ) -> Coroutine[Any, Any, None]:
        """One attempt at one target."""
        state, endpoint = ask.state, call.endpoint
        if state is None or (
            state.store is False
            and state.silent
            and not state.ids
            and target.state == "gateway"  # elsewhere more than a quick look is needed
            and call.session is None
            and endpoint is not None
            and endpoint.kind == "generate"
        ):
            return self._lane(call, request, reply, dialect, target, ask)
        return self._stateful(call, request, reply, dialect, target, ask)

    async def _stateful(
        self,
        call: Call,
        request: Request,
        reply: Reply,
        dialect: Dialect,
        target: Target,
        ask: SpliceRequest,
    ) -> None:
        """Put in what is remembered; have what is made remembered."""
        gateway = self._gateway
        state = ask.state
        kind = call.endpoint.kind if call.endpoint is not None else "generate"
        spliced = kind != "compact" and _is_spliced(dialect, target, call.outcome.upstream_model)
        turn = await prepare(gateway, call, target, ask, spliced=spliced)
        if kind == "generate" and turn is not None and not call.shadow:
            if turn.store:
                await gateway.state.check()
            if state is not None and state.background and not turn.pointer:
                if not spliced:  # what is wrong with it is said now, not by a failed run
                    limits, unseal = call.snapshot.limits, gateway.sealer_of(call).unseal
                    CLIENTS[dialect.name].read(ask.fields, ask.body, limits, unseal)
                await begin(gateway, call, request, reply, dialect, target, ask, turn, self._lane)
                return
            record(gateway, call, turn, background=state is not None and state.background)
        if call.warm_up:
            await warm_up(call, reply, ask, int(gateway.now()))
        else:
            await self._lane(call, request, reply, dialect, target, ask)

    def _lane(
        self,
        call: Call,
        request: Request,
        reply: Reply,
        dialect: Dialect,
        target: Target,
        ask: SpliceRequest,
    ) -> Coroutine[Any, Any, None]:
        """What serves a request that says everything itself."""
        gateway = self._gateway
        tools = gateway.tools
        kind = call.endpoint.kind if call.endpoint is not None else "generate"
        if target.shaper is not None and call.fallback is None:
            shape(call, target, dialect, ask, kind)
        if dialect.name == "messages" and kind == "generate":
            check_required(ask, dialect.name)
        if kind == "generate" and _is_spliced(dialect, target, call.outcome.upstream_model):
            if call.fallback is not None:
                return splice_native(tools.client, call, request, reply, dialect, target, ask)
            restate_summaries(ask, dialect, gateway.sealer_of(call))
            strip_ours(call, dialect, target, ask)
            return splice(tools.client, call, request, reply, dialect, target, ask)
        lane = _LANES.get(kind, translate)
        return lane(tools, call, request, reply, dialect, target, ask, gateway.sealer_of(call))

    def _inflate(self, call: Call, coding: bytes, body: bytes) -> bytes:
        """The plain body, counted until the request ends: compressed ones were counted small."""
        limits = call.snapshot.limits
        plain = decoded(coding, body, limits)
        self._gateway.account(call, len(plain))
        return plain

    async def _models(self, call: Call, request: Request, reply: Reply) -> None:
        if call.route is None:
            raise InternalError("Internal error.", debug="handled without being admitted")
        call.outcome.operation = "models"
        await self._gateway.model_list.answer(call, request, reply)

    def _answer_error(
        self, call: Call, request: Request | None, reply: Reply, error: PorticoError
    ) -> None:
        outcome = call.outcome
        forget_frames(error)
        outcome.error_code = error.code or f"http_{error.http_status}"
        outcome.error_debug = error.debug
        if error.limit:
            self._gateway.recorder.limit_hit(error.limit)
        if reply.started:
            # Too late for a status. A truncated body was cut already by whoever met the error.
            if outcome.verdict == "ok":
                outcome.verdict = verdict(error)
            reply.abort()
            return
        outcome.verdict = verdict(error)
        outcome.status = error.http_status
        send_error(reply, _dialect(call, request), error, outcome.request_id, call.meta, call.rules)

    def _interrupted(self, call: Call, request: Request, reply: Reply) -> None:
        """The task was cancelled: the client left, or the worker goes down."""
        outcome = call.outcome
        if call.finished:
            return
        if reply.gone:
            outcome.verdict = "client_cancelled"
            outcome.error_code = "client_cancelled"
            outcome.status = outcome.status or CLIENT_CLOSED
            return
        fault = Overloaded("This gateway is restarting; send the request again.")
        if reply.started:
            outcome.verdict = "truncated"
            outcome.error_code = fault.code
            if call.relay is not None:
                call.relay.cut(fault)
            else:
                reply.abort()
        else:
            self._answer_error(call, request, reply, fault)

    def _finish(self, call: Call, reply: Reply) -> None:
        outcome = call.outcome
        outcome.finished = monotonic()
        outcome.bytes_out = reply.bytes_sent
        self._gateway.recorder.finish(outcome)


def _cross_site(request: Request) -> PorticoError | None:
    """403 for a page of another site: browsers let it send, and open WebSockets, without asking."""
    if b"origin" in request.headers and not from_here(request.headers[b"origin"]):
        return Forbidden(
            "Without API keys, pages of other sites are not served.", code="cross_site"
        )
    return None


def _is_spliced(dialect: Dialect, target: Target, model: str) -> bool:
    """Whether the provider speaks the client's dialect."""
    return dialect.name in target.heads or dialect.name in target.spoken(model)


def _secret(snapshot: Snapshot) -> str | None:
    key = snapshot.settings.sealing_key
    return key.reveal() if key is not None else None


def _locate(call: Call, route: Route, request: Request) -> Endpoint | None:
    """Find the endpoint of the path and note it in the record."""
    call.endpoint = endpoint = route.paths.find(request.target)
    if endpoint is not None:
        call.outcome.endpoint = endpoint.label
        call.outcome.dialect = endpoint.dialect
    return endpoint


def _dialect(call: Call, request: Request | None) -> Dialect:
    """Whose error envelope to use: the endpoint's, or a guess for paths that are none."""
    if call.endpoint is not None:
        if call.endpoint.kind == "models" and request and b"anthropic-version" in request.headers:
            return DIALECTS["messages"]
        return DIALECTS[
            call.endpoint.route_type if call.endpoint.kind != "models" else "completions"
        ]
    if request is not None and b"/messages" in request.target:
        return DIALECTS["messages"]
    return DIALECTS["completions"]
