"""One scrape equals the sum over workers, whatever happens to them."""

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.observe.observed import Samples, failure, outcome, recorded, scrape, value

from portico.observe.cells import Retired
from portico.observe.metrics import Metrics

KINDS = (
    lambda: outcome(alias="a", request_model="a"),
    lambda: outcome(alias="b", request_model="b", response_model="gpt-5"),
    lambda: outcome(alias="a", request_model="a", status=499, verdict="client_cancelled"),
    lambda: failure(alias="a", request_model="a", attempts=2),
)
NOT_SUMS = (
    "portico_config_last_reload_successful",
    "portico_config_revision",
    "portico_config_last_reload_timestamp_seconds",
    "portico_build_info",
    "portico_workers",
)


def additive(samples: Samples) -> Samples:
    """Without the samples that do not add up, and those that time changes."""
    return {
        (name, labels): v
        for (name, labels), v in samples.items()
        if name not in NOT_SUMS and not name.startswith("process_")
    }


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(st.sampled_from(range(4)), max_size=6), min_size=1, max_size=4))
def test_one_scrape_equals_the_sum_over_workers(plan: list[list[int]]) -> None:
    together = Metrics()
    apart = []
    for kinds in plan:
        worker = Metrics()
        for kind in kinds:
            for metrics in (worker, together):
                metrics.started += 1
                metrics.record(KINDS[kind]())
                metrics.limit_hit(f"limit{kind}")
                metrics.loop_lag(kind / 100)
        apart.append(worker.snapshot())
    summed, alone = additive(scrape(*apart)), additive(scrape(together.snapshot()))
    assert summed.keys() == alone.keys()
    for key, expected in alone.items():
        assert abs(summed[key] - expected) < 1e-6, key


def test_configuration_gauges_show_the_worker_that_is_behind() -> None:
    new, old = Metrics(wall=lambda: 2000.0), Metrics(wall=lambda: 1000.0)
    old.config_reload(True, 1)
    old.config_reload(False, 2)
    new.config_reload(True, 2)
    samples = scrape(new.snapshot(), old.snapshot())
    assert value(samples, "portico_config_last_reload_successful") == 0
    assert value(samples, "portico_config_revision") == 1
    assert value(samples, "portico_config_last_reload_timestamp_seconds") == 1000
    assert value(samples, "portico_workers") == 2


def test_counters_never_go_down_when_a_worker_dies() -> None:
    retired = Retired()
    first, second = recorded(outcome(), failure()), recorded(outcome())
    for metrics in (first, second):
        metrics.config_reload(True, 3)
        metrics.started += 1
        metrics.connections_opened()
    retired.remember(1, first.snapshot())
    retired.remember(2, second.snapshot())
    before = scrape(*retired.snapshots())
    retired.died(1)
    after = scrape(*retired.snapshots())
    counters = [k for k in before if k[0].endswith(("_total", "_count", "_sum", "_bucket"))]
    assert len(counters) > 100
    assert all(after[key] >= before[key] for key in counters)
    assert value(after, "portico_requests_total") == 3


def test_the_gauges_of_a_dead_worker_are_gone() -> None:
    retired = Retired()
    behind, current = Metrics(), Metrics()
    behind.config_reload(False, 1)
    behind.started += 1
    current.config_reload(True, 2)
    retired.remember(1, behind.snapshot())
    retired.remember(2, current.snapshot())
    retired.died(1)
    samples = scrape(*retired.snapshots())
    assert value(samples, "portico_in_flight") == 0
    assert value(samples, "portico_workers") == 1
    assert value(samples, "portico_config_revision") == 2
    assert value(samples, "portico_config_last_reload_successful") == 1


def test_a_worker_too_busy_to_answer_keeps_its_last_numbers() -> None:
    retired = Retired()
    metrics = recorded(outcome())
    retired.remember(1, metrics.snapshot())
    first = scrape(*retired.snapshots())
    metrics.record(outcome())
    assert scrape(*retired.snapshots()) == first
    retired.remember(1, metrics.snapshot())
    assert value(scrape(*retired.snapshots()), "portico_requests_total") == 2


def test_many_deaths_add_up() -> None:
    retired = Retired()
    for worker in range(10):
        retired.remember(worker, recorded(outcome(), outcome()).snapshot())
        retired.died(worker)
        retired.died(worker)
    assert value(scrape(*retired.snapshots()), "portico_requests_total") == 20


def test_no_worker_at_all_still_makes_a_page() -> None:
    samples = scrape()
    assert value(samples, "portico_workers") == 0
    assert value(samples, "portico_build_info") == 1
