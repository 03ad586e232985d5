"""Blocks about choosing a target and getting over one that fails: both forms use them.

Everything in `retry`, `timeout` and `health` is optional and None where it is not written: blocks
further out fill it in, key by key.
"""

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, field

from portico.config.blocks import (
    Amount,
    Block,
    Code,
    Number,
    Scalar,
    Seconds,
    Share,
    Status,
    Text,
    about,
)

MAX_ATTEMPTS = 20

# --- retry, timeout, health ---------------------------------------------------------------------


class RetryBudget(Block, frozen=True):
    """How many retries there may be at most, whatever fails."""

    share: Annotated[
        Share | None, about("Of the requests of the last ten seconds. Default: 0.2.")
    ] = None
    per_second: Annotated[Amount | None, about("And this many besides. Default: 3.")] = None


class Retry(Block, frozen=True):
    """When a request that failed before its first byte is sent again."""

    attempts: Annotated[
        Annotated[int, Meta(ge=0, le=MAX_ATTEMPTS)] | None,
        about("How often at most, after the first time. 0: never. Default: 2."),
    ] = None
    codes: Annotated[
        tuple[Status, ...] | None,
        about("Statuses that are worth it, 5xx for all of 500 to 599. Default: 408, 409, 429, 5xx"),
    ] = None
    backoff: Annotated[
        Seconds | None,
        about("The first pause is a random time up to it; doubled each time. Default: 250ms."),
    ] = None
    max_backoff: Annotated[Seconds | None, about("(Portico) The longest pause. Default: 8s.")] = (
        None
    )
    budget: Annotated[RetryBudget | None, about("(Portico) A bound on all retries.")] = None


class Timeout(Block, frozen=True):
    """Deadlines; seconds or durations such as 30s."""

    request_timeout: Annotated[
        Seconds | None, about("Everything, retries included. Default: config.deadlines.total.")
    ] = None
    backend_request_timeout: Annotated[
        Seconds | None, about("One try, to its last byte. Default: config.deadlines.total.")
    ] = None
    connect_timeout: Annotated[
        Seconds | None, about("(Portico) To connect. Default: config.deadlines.connect.")
    ] = None
    first_byte_timeout: Annotated[
        Seconds | None,
        about("(Portico) Sent, to the first byte. Default: config.deadlines.firstByte."),
    ] = None
    first_token_timeout: Annotated[
        Seconds | None, about("(Portico) Start, to the first event that says something.")
    ] = None
    idle_timeout: Annotated[
        Seconds | None, about("(Portico) Between two reads. Default: config.deadlines.idle.")
    ] = None


class Eviction(Block, frozen=True):
    """When a target that fails is left alone."""

    duration: Annotated[Seconds | None, about("For how long. Default: 15s.")] = None
    consecutive_failures: Annotated[
        Annotated[int, Meta(ge=1, le=10_000)] | None,
        about("After so many in a row. Default: no such rule."),
    ] = None
    failures: Annotated[
        Annotated[int, Meta(ge=1, le=10_000)] | None,
        about("(Portico) After so many within `window`. Default: 5."),
    ] = None
    window: Annotated[Seconds | None, about("(Portico) The time for `failures`. Default: 10s.")] = (
        None
    )
    share: Annotated[
        Share | None, about("(Portico) If they are this part of the calls. Default: 0.25.")
    ] = None


class Cooldown(Block, frozen=True):
    """How long a credential rests after a 429 that does not say it."""

    duration: Annotated[Seconds | None, about("The first time; then doubled. Default: 1s.")] = None
    max: Annotated[Seconds | None, about("At most. Default: 60s.")] = None


class ActiveHealth(Block, frozen=True):
    """Asking a provider that nobody asks."""

    interval: Annotated[Annotated[float, Meta(ge=1)] | None, about("How often. Default: 30s.")] = (
        None
    )
    timeout: Annotated[Seconds | None, about("For how long. Default: 5s.")] = None
    kind: Annotated[
        Literal["models", "connect"] | None,
        about("Read its list of models, or only connect. Default: models."),
    ] = None


class Health(Block, frozen=True):
    """What a failure is, and what comes of it."""

    eviction: Annotated[Eviction | None, about("When a target is left alone.")] = None
    unhealthy_expression: Annotated[
        Code | None, about("CEL over response.code: a failure? Default: response.code >= 500.")
    ] = None
    cooldown: Annotated[Cooldown | None, about("(Portico) What a 429 does to a credential.")] = None
    when_all_unhealthy: Annotated[
        Literal["fail", "try"] | None,
        about("(Portico) With every target left alone: fail at once, or try one. Default: fail."),
    ] = None
    active: Annotated[
        ActiveHealth | None, about("(Portico) Ask what nobody asks. Default: no.")
    ] = None


class Resilience(Block, frozen=True):
    """What to do about failures."""

    retry: Annotated[Retry | None, about("When a failed request is sent again.")] = None
    timeout: Annotated[Timeout | None, about("Deadlines.")] = None
    health: Annotated[Health | None, about("When a target is left alone.")] = None


# --- conditions ---------------------------------------------------------------------------------


class ValueRule(Block, frozen=True):
    """A test of one value; all that is given has to hold."""

    equals: Annotated[Scalar | None, about("The value itself.")] = None
    one_of: Annotated[tuple[Scalar, ...] | None, about("One of these.")] = field(
        default=None, name="in"
    )
    prefix: Annotated[Text | None, about("How its text begins.")] = None
    suffix: Annotated[Text | None, about("How its text ends.")] = None
    contains: Annotated[Text | None, about("What is in its text, or in its list.")] = None
    present: Annotated[bool | None, about("Whether there is one.")] = None
    lt: Annotated[Number | None, about("Less than.")] = None
    lte: Annotated[Number | None, about("Less than or equal to.")] = None
    gt: Annotated[Number | None, about("Greater than.")] = None
    gte: Annotated[Number | None, about("Greater than or equal to.")] = None


class Matcher(Block, frozen=True):
    """(Portico) A condition on a request; all that is given has to hold."""

    headers: Annotated[dict[str, Scalar | ValueRule], about("By name of the header.")] = field(
        default_factory=dict
    )
    caller: Annotated[
        dict[str, Scalar | ValueRule], about("By name in the metadata of the key.")
    ] = field(default_factory=dict)
    request: Annotated[
        dict[str, Scalar | ValueRule], about("By path into the body, e.g. reasoning.effort.")
    ] = field(default_factory=dict)
    any: Annotated[tuple["Matcher", ...] | None, about("One of these holds, at least.")] = None
    none: Annotated[tuple["Matcher", ...] | None, about("Not one of these holds.")] = None


# --- virtual models -----------------------------------------------------------------------------

Sort: TypeAlias = Literal["cost", "ttft", "throughput"]
Weight: TypeAlias = Annotated[int, Meta(ge=0, le=1_000_000)]

_SORT = about("(Portico) What comes first within a group. Default: by latency and health.")


class WeightedTarget(Block, frozen=True):
    """A share of the requests."""

    model: Annotated[Text, about("Name of a model, or of a virtual one.")]
    weight: Annotated[Weight, about("Its part of the sum of all weights.")] = 1


class Weighted(Block, frozen=True):
    """Each target in its share."""

    targets: Annotated[tuple[WeightedTarget, ...], about("The choices.")]


class FailoverTarget(Block, frozen=True):
    """One of a priority group."""

    model: Annotated[Text, about("Name of a model, or of a virtual one.")]
    priority: Annotated[Weight, about("Lower first; equal ones form a group.")] = 0


class Failover(Block, frozen=True):
    """The group of the lowest priority that is well."""

    targets: Annotated[tuple[FailoverTarget, ...], about("The choices.")]
    sort: Annotated[Sort | None, _SORT] = None


class ConditionalTarget(Block, frozen=True):
    """A choice for some requests."""

    model: Annotated[Text, about("Name of a model, or of a virtual one.")]
    when: Annotated[
        Code | Matcher | None, about("CEL, or (Portico) a mapping. Only the last may be without.")
    ] = None


class Conditional(Block, frozen=True):
    """The first target whose condition holds."""

    targets: Annotated[tuple[ConditionalTarget, ...], about("The choices, in order.")]


class Routing(Block, frozen=True):
    """How a virtual model chooses: exactly one of these."""

    weighted: Annotated[Weighted | None, about("Each target in its share.")] = None
    failover: Annotated[Failover | None, about("By priority.")] = None
    conditional: Annotated[Conditional | None, about("By conditions.")] = None


class RequestMirror(Block, frozen=True):
    """A copy of some requests, whose answers nobody sees."""

    model: Annotated[Text, about("Name of the model that gets it.")]
    percentage: Annotated[Share, about("Part of the requests, 0 to 1.")] = 1.0


class VirtualModel(Block, frozen=True):
    """A name that stands for several models."""

    name: Annotated[Text, about("What callers ask for; without *.")]
    routing: Annotated[Routing, about("How it chooses.")]
    visibility: Annotated[
        Literal["public", "internal"], about("(Portico) internal: only for other virtual models.")
    ] = "public"
    retry: Annotated[
        Retry | None, about("(Portico) In place of that of the model chosen first.")
    ] = None
    timeout: Annotated[
        Timeout | None, about("(Portico) In place of that of the model chosen first.")
    ] = None
    request_mirror: Annotated[RequestMirror | None, about("(Portico) Copy requests.")] = None
