"""Driving the attempt loop: the machine of `routing.attempts` decides, a lane is run, the machine
is told what came of it.

A request costs one machine and one `try`; everything else here happens to requests that name
several targets, and to those that fail.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine
from time import monotonic, time
from typing import TYPE_CHECKING, Any, TypeAlias

from portico.dialects.base import Dialect, SpliceRequest
from portico.errors import (
    BadRequest,
    InternalError,
    PorticoError,
    UpstreamRejected,
    UpstreamUnavailable,
    forget_frames,
)
from portico.gateway.call import Call, Pristine
from portico.gateway.controls import CONTROL_FIELDS, CONTROL_HEADERS
from portico.gateway.further_models import refuse_further_models
from portico.gateway.planned import RANDOM, goes_on, planned
from portico.gateway.target import Target
from portico.http.messages import Reply, Request
from portico.model.outcome import Attempt, Outcome
from portico.routing.attempts import Attempts, Command, GiveUp, Try, Wait
from portico.routing.failures import failure_of

if TYPE_CHECKING:
    from portico.gateway.engine import Gateway

log = logging.getLogger("portico.gateway")

Once: TypeAlias = Callable[
    [Call, Request, Reply, Dialect, Target, SpliceRequest], Coroutine[Any, Any, None]
]
"""One attempt at one target."""


def serve(
    gateway: "Gateway",
    call: Call,
    request: Request,
    reply: Reply,
    dialect: Dialect,
    ask: SpliceRequest,
    once: Once,
) -> Coroutine[Any, Any, None]:
    """Ask the targets of the request until one answers. Raises the `PorticoError` of the last."""
    entry = call.entry
    if entry is None:
        raise InternalError("Internal error.", debug="served without an entry")
    now = monotonic()
    call.deadline = deadline = now + (entry.timeout.request or call.snapshot.deadlines.total)
    decided = entry.decided
    if (
        decided is None
        or not ask.fields.keys().isdisjoint(CONTROL_FIELDS)
        or not request.headers.keys().isdisjoint(CONTROL_HEADERS)
        or (not entry.single and (call.provider or goes_on(ask)))
    ):
        return _planned(gateway, call, request, reply, dialect, ask, once)
    machine = Attempts(
        decided, entry.retry, entry.budget, deadline, RANDOM, entry.wishes, (), entry.larger
    )
    only = entry.only
    if only is not None and not only.choice.backend.health.available(now):
        only = None
    first = _begin(gateway, call, request, dialect, ask, machine, once, now, only)
    return drive(gateway, call, request, reply, dialect, ask, machine, first, once)


async def _planned(
    gateway: "Gateway",
    call: Call,
    request: Request,
    reply: Reply,
    dialect: Dialect,
    ask: SpliceRequest,
    once: Once,
) -> None:
    """The same for a request that leaves a choice."""
    machine = await planned(gateway, call, request, dialect, ask)
    first = _begin(gateway, call, request, dialect, ask, machine, once, monotonic())
    await drive(gateway, call, request, reply, dialect, ask, machine, first, once)


def _begin(
    gateway: "Gateway",
    call: Call,
    request: Request,
    dialect: Dialect,
    ask: SpliceRequest,
    machine: Attempts,
    once: Once,
    now: float,
    at: Try | None = None,
) -> Try:
    """Have the machine begin. Raises `PorticoError` where nobody may be asked."""
    if call.caller is not None and call.caller.allowed_models is not None:
        refuse_further_models(ask.fields, call.caller)
    if call.endpoint is not None and call.endpoint.kind == "count":
        machine.quiet = True  # whether it counts does not say whether it answers
    call.machine = machine
    call.pristine = pristine(ask)
    if call.entry is not None and call.entry.mirror is not None:
        gateway.mirrors.consider(gateway, call, request, dialect, ask, once)
    command = machine.begin(now, at)
    if type(command) is not Try:
        raise nobody(command)
    return command


async def drive(
    gateway: "Gateway",
    call: Call,
    request: Request,
    reply: Reply,
    dialect: Dialect,
    ask: SpliceRequest,
    machine: Attempts,
    command: Try,
    once: Once,
) -> None:
    """Carry out what the machine says, from its first `Try` on. Raises like `serve`."""
    outcome = call.outcome
    held = call.inflated
    while True:
        try:
            target = aim(call, command, machine.count)
            await once(call, request, reply, dialect, target, ask)
        except PorticoError as error:
            if reply.started:
                machine.first_byte()
            following = _failed(machine, error)
            if type(following) is GiveUp:
                if following.reason == "budget":
                    gateway.recorder.retry_refused(outcome.alias)
                raise
            note(outcome, error)
            if error.limit:
                gateway.recorder.limit_hit(error.limit)
            forget_frames(error)
            _rewind(gateway, call, reply, ask, held)
            if type(following) is Wait:
                try:
                    await asyncio.sleep(following.seconds)
                except BaseException:
                    machine.gone()
                    raise
                following = machine.resumed(monotonic())
            if type(following) is not Try:
                outcome.attempts = machine.count
                error.limit = ""  # it was counted
                raise
            command = following
        except BaseException:
            machine.gone()
            raise
        else:
            _finish(call, machine)
            return


def pristine(ask: SpliceRequest) -> Pristine:
    """What an attempt may change about the request. No value is changed in place."""
    return (ask.fields, ask.body, ask.changes, ask.told, ask.hides_usage, ask.choices)


def aim(call: Call, command: Try, count: int) -> Target:
    """Put into the call and its record who is asked now."""
    target: Target = command.credential.target
    outcome = call.outcome
    outcome.provider = target.label
    outcome.semconv_provider = target.semconv
    outcome.upstream_model = model = target.upstream_model(command.choice.asked or call.name)
    outcome.attempts = count
    call.meta = target.meta(model) if count == 1 else target.meta(model, count)
    call.rules = target.response_rules
    entry = call.entry
    call.patience = entry.patience.get(target, target) if entry and entry.patience else target
    return target


def once_more(call: Call, target: Target, error: PorticoError) -> None:
    """The same try asks the same target for the same, in other words: count it as another."""
    outcome, machine = call.outcome, call.machine
    note(outcome, error)
    outcome.upstream_started = outcome.upstream_first_byte = outcome.upstream_finished = 0.0
    outcome.upstream_request_id = ""
    outcome.attempts += 1
    if machine is not None:
        machine.repeated()
    call.meta = target.meta(outcome.upstream_model, outcome.attempts)


def nobody(command: Command) -> PorticoError:
    """Why no target can be asked."""
    if isinstance(command, GiveUp) and command.reason == "open":
        return UpstreamUnavailable(
            "Every provider of this model is failing. Try again later.",
            retry_after=str(max(1, math.ceil(command.seconds))),
        )
    return BadRequest(
        "No provider of this model is among those that the request allows.",
        code="no_matching_provider",
        param="model",
    )


def note(outcome: Outcome, error: PorticoError) -> None:
    """Put the attempt that failed into the record."""
    if outcome.failed is None:
        outcome.failed = []
    status = error.upstream_status
    if status == 0 and isinstance(error, UpstreamRejected) and outcome.upstream_first_byte:
        status = 200  # it said so inside of an answer
    outcome.failed.append(
        Attempt(
            provider=outcome.provider,
            model=outcome.upstream_model,
            started=outcome.upstream_started,
            finished=monotonic(),
            first_byte=outcome.upstream_first_byte,
            status=status,
            error=error.code or f"http_{error.http_status}",
            upstream_request_id=outcome.upstream_request_id,
        )
    )


def _rewind(gateway: "Gateway", call: Call, reply: Reply, ask: SpliceRequest, held: int) -> None:
    """Make everything as it was before the attempt."""
    if call.pristine is not None:
        (ask.fields, ask.body, ask.changes, ask.told, ask.hides_usage, ask.choices) = call.pristine
    gateway.inflated -= call.inflated - held
    call.inflated = held
    call.recording = call.fallback = call.relay = call.fault = None
    call.tell_losses = True
    reply.attach(None)
    outcome = call.outcome
    outcome.losses = outcome.usage = None
    outcome.stream = ask.stream
    outcome.response_model = outcome.upstream_request_id = outcome.lane = ""
    outcome.upstream_started = outcome.upstream_first_byte = outcome.upstream_finished = 0.0
    outcome.upstream_spoke = 0.0
    outcome.error_code, outcome.error_debug, outcome.verdict = None, "", "ok"


def _failed(machine: Attempts, error: PorticoError) -> Command:
    """Tell the machine, and the operator if a target is left alone from now on."""
    now, failure = monotonic(), failure_of(error, time())
    if machine.current is None:
        return machine.failed(now, failure)
    backend = machine.current.choice.backend
    health = backend.health
    opened = health.opened
    command = machine.failed(now, failure)
    if health.opened != opened:
        log.warning(
            "%s at %s is left alone for %g s: %s %s",
            backend.name, backend.provider, health.rules.open_for, health.last_error, error.debug,
        )  # fmt: skip
    return command


def _finish(call: Call, machine: Attempts) -> None:
    """Tell the machine how the last attempt went."""
    outcome, fault = call.outcome, call.fault
    started = outcome.upstream_started
    if fault is not None:  # after the client saw the beginning of the answer, or of the error
        machine.first_byte()
        _failed(machine, fault)
        call.fault = None
        if outcome.verdict == "ok":
            outcome.verdict, outcome.error_code = "upstream_error", fault.code
        return
    if started == 0.0 or outcome.verdict == "upstream_error":
        # Nobody was asked: the gateway could answer itself. Or the answer says that it failed,
        # which may be the request's doing as well as the target's.
        machine.gone()
        return
    finished = outcome.upstream_finished or monotonic()
    stream = outcome.stream
    said = outcome.upstream_spoke if stream else finished
    current = machine.current
    rested = current is not None and _rests(current, finished)
    machine.finished(finished, said - started if said else 0.0, "", stream)
    if rested and current is not None and not _rests(current, finished):
        log.warning("%s at %s answers again", current.choice.backend.name, outcome.provider)
    if call.entry is not None and call.entry.single:
        return
    usage = outcome.usage
    spent = finished - (said if stream else started)
    if usage is not None and spent > 0.0 and machine.measured:
        machine.measure((usage.output_text + usage.reasoning) / spent)


def _rests(current: Try, now: float) -> bool:
    """Whether its target is left alone, or one request finds out."""
    health = current.choice.backend.health
    return health.opened > 0 and health.state(now) != "closed"
