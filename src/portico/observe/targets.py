"""The targets of a worker as numbers for `/metrics`, in a form that adds up over workers."""

from collections.abc import Iterable

from msgspec import Struct

from portico.model.targets import State, TargetView
from portico.observe import semconv
from portico.observe.cells import Values

STATES: tuple[State, ...] = ("closed", "half_open", "open")


class TargetCells(Struct, frozen=True):
    """Family -> values of its labels -> number. `counts` and `levels` add up; `means` are a sum and
    how many it is of."""

    counts: dict[str, dict[Values, float]]
    levels: dict[str, dict[Values, float]]
    means: dict[str, dict[Values, tuple[float, float]]]


def target_cells(views: Iterable[TargetView]) -> TargetCells:
    """One worker's numbers. Targets that have every label in common are told as one."""
    opened: dict[Values, float] = {}
    cooled: dict[Values, float] = {}
    states: dict[Values, float] = {}
    in_flight: dict[Values, float] = {}
    latency: dict[Values, tuple[float, float]] = {}
    for view in views:
        key: Values = (view.name, view.provider, view.model)
        opened[key] = opened.get(key, 0) + view.opened_total
        in_flight[key] = in_flight.get(key, 0) + view.in_flight
        for state in STATES:
            there = (*key, state)
            states[there] = states.get(there, 0) + (state == view.state)
        for credential in view.credentials:
            which = (*key, str(credential.number))
            cooled[which] = cooled.get(which, 0) + credential.cooled
        if view.latency:
            total, count = latency.get(key, (0.0, 0.0))
            latency[key] = (total + view.latency, count + 1)
    return TargetCells(
        counts={semconv.TARGET_OPENED.name: opened, semconv.CREDENTIAL_COOLDOWNS.name: cooled},
        levels={semconv.TARGET_STATE.name: states, semconv.TARGET_IN_FLIGHT.name: in_flight},
        means={semconv.TARGET_LATENCY.name: latency},
    )
