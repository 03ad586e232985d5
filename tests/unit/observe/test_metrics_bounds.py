"""Callers choose model names; they must not choose how much memory metrics take."""

from tests.unit.observe.observed import failure, label_values, outcome, recorded, scrape, value

from portico.observe.cells import Retired
from portico.observe.metrics import Metrics


def test_request_models_are_bounded_per_process() -> None:
    metrics = recorded(*[outcome(request_model=f"m{i}", response_model="r") for i in range(1000)])
    samples = scrape(metrics.snapshot())
    models = label_values(samples, "gen_ai_request_model")
    assert len(models) == 201
    assert "other" in models
    name = "gen_ai_client_operation_duration_seconds_count"
    assert value(samples, name, gen_ai_request_model="other") == 800
    assert value(samples, name) == 1000


def test_response_models_are_bounded_per_process() -> None:
    metrics = recorded(*[outcome(response_model=f"r{i}") for i in range(1000)])
    models = label_values(scrape(metrics.snapshot()), "gen_ai_response_model")
    assert len(models) == 201
    assert "other" in models


def test_error_types_are_bounded_per_process() -> None:
    metrics = recorded(*[failure(error_code=f"e{i}") for i in range(1000)])
    kinds = label_values(scrape(metrics.snapshot()), "error_type")
    assert len(kinds) == 201
    assert "_OTHER" in kinds


def test_names_that_never_worked_do_not_use_the_places_up() -> None:
    metrics = Metrics()
    for i in range(1000):
        metrics.record(failure(request_model=f"guess-{i}"))
    metrics.record(outcome(request_model="gpt-5"))
    metrics.record(failure(request_model="gpt-5"))
    models = label_values(scrape(metrics.snapshot()), "gen_ai_request_model")
    assert models == {"other", "gpt-5"}


def test_a_configured_model_is_named_even_if_it_never_works() -> None:
    samples = scrape(recorded(failure(alias="prod", request_model="prod")).snapshot())
    assert label_values(samples, "gen_ai_request_model") == {"prod"}


def test_series_are_bounded_and_nothing_is_lost_past_the_bound() -> None:
    metrics = Metrics(series=50)
    for i in range(100):
        for j in range(5):
            metrics.record(outcome(request_model=f"m{i}", response_model=f"r{j}"))
    samples = scrape(metrics.snapshot())
    name = "gen_ai_client_operation_duration_seconds_count"
    assert len([1 for n, _ in samples if n == name]) <= 51
    assert value(samples, name) == value(samples, "portico_requests_total") == 500


def test_what_record_remembers_is_bounded() -> None:
    metrics = Metrics(series=10)
    for i in range(1000):
        metrics.record(outcome(request_model=f"m{i}"))
    assert len(metrics._cache) <= 20


def test_reasons_and_limits_are_bounded() -> None:
    metrics = Metrics()
    for i in range(1000):
        metrics.limit_hit(f"l{i}")
        metrics.http_rejected(f"r{i}")
    samples = scrape(metrics.snapshot())
    assert len(label_values(samples, "limit")) == len(label_values(samples, "reason")) == 65
    assert value(samples, "portico_limit_hits_total") == 1000


def test_names_that_cannot_be_labels_become_other() -> None:
    names = ["\ud800", "a\nb", "x" * 129, "\x1b[31m"]
    samples = scrape(recorded(*[outcome(request_model=name) for name in names]).snapshot())
    assert label_values(samples, "gen_ai_request_model") == {"other"}


def test_label_values_are_escaped() -> None:
    samples = scrape(recorded(outcome(request_model='a"b\\c')).snapshot())
    assert 'a"b\\c' in label_values(samples, "gen_ai_request_model")


def test_workers_that_die_again_and_again_do_not_add_series_for_ever() -> None:
    retired = Retired(max_series=100)
    for worker in range(20):
        metrics = recorded(*[outcome(request_model=f"w{worker}-{i}") for i in range(50)])
        retired.remember(worker, metrics.snapshot())
        retired.died(worker)
    samples = scrape(*retired.snapshots())
    assert len(label_values(samples, "gen_ai_request_model")) <= 101
    assert value(samples, "portico_requests_total") == 1000
