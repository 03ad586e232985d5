"""Driving the attempt loop: the machine of `routing.attempts` decides, a lane is run, the machine
is told what came of it.

A request costs one machine and one `try`; everything else here happens to requests that name
several targets, and to those that fail.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from time import monotonic, time
from typing import TYPE_CHECKING, TypeAlias

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

Once: TypeAlias = Callable[[Call, Request, Reply, Dialect, Target, SpliceRequest], Awaitable[None]]
"""One attempt at one target."""

_ONE = b"x-portico-attempts: 1\r\n"


async def serve(
    gateway: "Gateway",
    call: Call,
    request: Request,
    reply: Reply,
    dialect: Dialect,
    ask: SpliceRequest,
    once: Once,
) -> None:
    """Ask the targets of the request until one answers. Raises the `PorticoError` of the last."""
    entry = call.entry
    if entry is None:
        raise InternalError("Internal error.", debug="served without an entry")
    now = monotonic()
    call.deadline = now + (entry.timeout.request or call.snapshot.deadlines.total)
    decided = entry.decided
    if (
        decided is not None
        and ask.fields.keys().isdisjoint(CONTROL_FIELDS)
        and request.headers.keys().isdisjoint(CONTROL_HEADERS)
        and (entry.single or not (call.provider or goes_on(ask)))
    ):
        machine = Attempts(
            decided,
            entry.retry,
            entry.budget,
            call.deadline,
            RANDOM,
            entry.wishes,
            (),
            entry.larger,
        )
    else:
        machine = await planned(gateway, call, request, dialect, ask)
    if call.caller is not None and call.caller.allowed_models is not None:
        refuse_further_models(ask.fields, call.caller)
    call.machine = machine
    call.pristine = pristine(ask)
    if entry.mirror is not None:
        gateway.mirrors.consider(gateway, call, request, dialect, ask, once)
    command = machine.begin(now)
    if type(command) is not Try:
        raise nobody(command)
    await drive(gateway, call, request, reply, dialect, ask, machine, command, once)


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
            following = machine.failed(monotonic(), failure_of(error, time()))
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
            _finish(machine, outcome)
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
    call.meta = target.meta(model) + (_ONE if count == 1 else b"x-portico-attempts: %d\r\n" % count)
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
        machine.count = outcome.attempts
    call.meta = target.meta(outcome.upstream_model)
    call.meta += b"x-portico-attempts: %d\r\n" % outcome.attempts


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
    call.recording = call.fallback = call.relay = None
    call.tell_losses = True
    reply.attach(None)
    outcome = call.outcome
    outcome.losses = outcome.usage = None
    outcome.stream = ask.stream
    outcome.response_model = outcome.upstream_request_id = outcome.lane = ""
    outcome.upstream_started = outcome.upstream_first_byte = outcome.upstream_finished = 0.0
    outcome.upstream_spoke = 0.0
    outcome.error_code, outcome.error_debug, outcome.verdict = None, "", "ok"


_BROKEN = frozenset(("upstream_truncated", "upstream_timeout", "upstream_protocol_error"))
"""Errors in the middle of an answer that are the target's doing."""


def _finish(machine: Attempts, outcome: Outcome) -> None:
    """Tell the machine how the last attempt went."""
    started = outcome.upstream_started
    if started == 0.0 or outcome.verdict == "upstream_error":
        # Nobody was asked: the gateway could answer itself. Or the answer says that it failed,
        # which may be the request's doing as well as the target's.
        machine.gone()
        return
    first = outcome.upstream_first_byte
    error = ""
    if outcome.verdict != "ok" and outcome.error_code in _BROKEN:
        error = outcome.error_code
    machine.finished(outcome.upstream_finished or monotonic(), first - started, error)
    usage = outcome.usage
    if machine.measured and usage is not None and not error and outcome.upstream_finished > first:
        spent = outcome.upstream_finished - (first if outcome.stream else started)
        machine.measure((usage.output_text + usage.reasoning) / spent)
