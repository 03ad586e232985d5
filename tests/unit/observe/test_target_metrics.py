"""Targets in `/metrics`: what one worker knows of them, and what all know together."""

from typing import Any

import pytest
from tests.unit.observe.observed import Samples, scrape, value

from portico.model.targets import CredentialView, TargetView
from portico.observe.cells import Retired
from portico.observe.metrics import Metrics


def view(**changes: Any) -> TargetView:
    """A target that is well, with one key."""
    values: dict[str, Any] = {
        "name": "fast", "provider": "acme", "model": "acme-1", "state": "closed", "open_for": 0.0,
        "in_flight": 2, "latency": 0.25, "tokens_per_second": 80.0, "calls": 10, "failures": 0,
        "successes_total": 10, "failures_total": 0, "opened_total": 0, "last_error": "",
        "credentials": (CredentialView(number=1, cooling_for=0.0, cooled=0),),
    }  # fmt: skip
    return TargetView(**{**values, **changes})


def watching(*views: TargetView) -> Metrics:
    """The metrics of a worker that has these targets."""
    metrics = Metrics()
    metrics.watch_targets(lambda: list(views))
    return metrics


def states(samples: Samples, target: str) -> dict[str, float]:
    """How many workers see the target in each state."""
    return {
        state: value(samples, "portico_target_state", target=target, state=state)
        for state in ("closed", "half_open", "open")
    }


def test_a_state_is_a_series_of_its_own_that_counts_workers() -> None:
    workers = [watching(view()), watching(view(state="open")), watching(view(state="open"))]
    samples = scrape(*[worker.snapshot() for worker in workers])
    assert states(samples, "fast") == {"closed": 1, "half_open": 0, "open": 2}
    labels = {
        "target": "fast",
        "provider": "acme",
        "upstream_model": "acme-1",
        "state": "half_open",
    }
    assert ("portico_target_state", frozenset(labels.items())) in samples, "zeros are shown"


def test_load_and_openings_are_sums_and_latency_is_the_mean_of_those_who_know() -> None:
    workers = [
        watching(view(latency=0.2, opened_total=1)),
        watching(view(latency=0.4, opened_total=2)),
        watching(view(latency=0.0)),
    ]
    samples = scrape(*[worker.snapshot() for worker in workers])
    assert value(samples, "portico_target_in_flight", target="fast") == 6
    assert value(samples, "portico_target_opened_total", target="fast") == 3
    assert value(samples, "portico_target_latency_seconds") == pytest.approx(0.3)


def test_a_latency_that_nobody_knows_is_absent() -> None:
    samples = scrape(watching(view(latency=0.0)).snapshot())
    assert not [name for name, _ in samples if name == "portico_target_latency_seconds"]


def test_credentials_are_numbers() -> None:
    keys = tuple(CredentialView(number=n, cooling_for=1.0, cooled=n * 3) for n in (1, 2))
    samples = scrape(watching(view(credentials=keys)).snapshot())
    name = "portico_credential_cooldowns_total"
    assert value(samples, name, credential="1", target="fast") == 3
    assert value(samples, name, credential="2", target="fast") == 6


def test_a_dead_worker_leaves_its_counts_and_takes_its_states_along() -> None:
    retired = Retired()
    retired.remember(0, watching(view(state="open", opened_total=4)).snapshot())
    retired.remember(1, watching(view(opened_total=1)).snapshot())
    retired.died(0)
    samples = scrape(*retired.snapshots())
    assert states(samples, "fast") == {"closed": 1, "half_open": 0, "open": 0}
    assert value(samples, "portico_target_opened_total") == 5
    assert value(samples, "portico_target_in_flight") == 2
    assert value(samples, "portico_target_latency_seconds") == 0.25


def test_targets_that_come_and_go_with_dying_workers_stay_bounded() -> None:
    retired = Retired(max_series=20)
    for number in range(50):
        retired.remember(number, watching(view(name=f"target-{number}")).snapshot())
        retired.died(number)
    assert len(scrape(*retired.snapshots())) < 1000
    assert len([1 for name, _ in scrape(*retired.snapshots()) if "target_opened" in name]) == 20


def test_targets_that_share_every_label_are_told_as_one() -> None:
    samples = scrape(watching(view(), view(state="open", opened_total=1)).snapshot())
    assert states(samples, "fast") == {"closed": 1, "half_open": 0, "open": 1}
    assert value(samples, "portico_target_opened_total") == 1
