"""What a finished request becomes in `/metrics`."""

import pytest
from tests.unit.observe.observed import (
    OPENMETRICS,
    failure,
    label_values,
    outcome,
    recorded,
    scrape,
    value,
)

from portico.model.usage import Usage
from portico.observe.metrics import Metrics
from portico.observe.times import overhead

GENAI = {
    "gen_ai_operation_name": "chat",
    "gen_ai_provider_name": "openai",
    "gen_ai_request_model": "gpt-4o-mini",
    "gen_ai_response_model": "gpt-4o-mini-2024-07-18",
}


def test_a_request_is_counted_once_with_all_its_labels() -> None:
    samples = scrape(recorded(outcome()).snapshot())
    labels = {
        "endpoint": "chat_completions",
        "dialect": "chat",
        "provider": "acme",
        "model": "gpt-*",
        "status": "2xx",
        "lane": "splice",
    }
    assert samples["portico_requests_total", frozenset(labels.items())] == 1
    assert value(samples, "portico_requests_total") == 1


@pytest.mark.parametrize(
    ("status", "shown"), [(200, "2xx"), (404, "4xx"), (429, "4xx"), (499, "499"), (503, "5xx")]
)
def test_status_is_a_class_except_for_clients_that_left(status: int, shown: str) -> None:
    samples = scrape(recorded(outcome(status=status)).snapshot())
    assert value(samples, "portico_requests_total", status=shown) == 1


def test_a_status_that_never_was_does_not_raise() -> None:
    samples = scrape(recorded(outcome(status=0), outcome(status=999)).snapshot())
    assert value(samples, "portico_requests_total", status="unknown") == 2


def test_durations_land_in_the_bucket_whose_bound_they_equal() -> None:
    metrics = recorded(outcome(finished=101.0), outcome(finished=100.5), outcome(finished=700.1))
    samples = scrape(metrics.snapshot())
    name = "portico_request_duration_seconds_bucket"
    assert value(samples, name, le="0.25") == 0
    assert value(samples, name, le="0.5") == 1
    assert value(samples, name, le="1.0") == 2
    assert value(samples, name, le="600.0") == 2
    assert value(samples, name, le="+Inf") == 3
    assert value(samples, "portico_request_duration_seconds_sum") == pytest.approx(601.6)


def test_genai_usage_is_served_under_both_names_with_equal_numbers() -> None:
    samples = scrape(recorded(outcome()).snapshot())
    tokens = {
        "input": 1205,
        "output": 350,
        "input_cache_read": 200,
        "input_cache_write": 5,
        "output_reasoning": 50,
    }
    for name in ("gen_ai_client_token_usage", "portico_gen_ai_client_token_usage"):
        for kind, count in tokens.items():
            labels = frozenset({**GENAI, "gen_ai_token_type": kind}.items())
            assert samples[f"{name}_sum", labels] == count
            assert samples[f"{name}_count", labels] == 1


def test_genai_buckets_are_those_of_the_conventions() -> None:
    def bounds(name: str) -> list[float]:
        found = {float(dict(ls)["le"]) for n, ls in samples if n == f"{name}_bucket"}
        return sorted(found)[:-1]

    samples = scrape(recorded(outcome()).snapshot())
    seconds = [
        0.01,
        0.02,
        0.04,
        0.08,
        0.16,
        0.32,
        0.64,
        1.28,
        2.56,
        5.12,
        10.24,
        20.48,
        40.96,
        81.92,
    ]
    assert bounds("gen_ai_client_operation_duration_seconds") == seconds
    assert bounds("gen_ai_client_operation_time_to_first_chunk_seconds") == seconds
    assert bounds("gen_ai_client_token_usage") == [
        1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864,
    ]  # fmt: skip
    assert bounds("gen_ai_server_time_to_first_token_seconds") == [
        0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
    ]  # fmt: skip


def test_first_chunk_and_first_token_are_for_answered_streams_only() -> None:
    refused = outcome(status=429, verdict="upstream_error", error_code="rate_limit")
    samples = scrape(recorded(outcome(), outcome(stream=False), refused).snapshot())
    chunk = "gen_ai_client_operation_time_to_first_chunk_seconds"
    assert value(samples, f"{chunk}_count") == 1
    assert value(samples, f"{chunk}_sum") == pytest.approx(0.499)
    for name in ("portico_ttft_seconds", "gen_ai_server_time_to_first_token_seconds"):
        assert value(samples, f"{name}_count") == 1
        assert value(samples, f"{name}_sum") == pytest.approx(0.502)


def test_a_slow_first_token_is_beyond_the_conventions_buckets_but_counted() -> None:
    samples = scrape(recorded(outcome(first_byte=130.0, finished=131.0)).snapshot())
    name = "gen_ai_server_time_to_first_token_seconds_bucket"
    assert value(samples, name, le="10.0") == 0
    assert value(samples, name, le="+Inf") == 1
    assert value(samples, "portico_ttft_seconds_bucket", le="40.0") == 1


def test_error_type_is_on_failures_only() -> None:
    samples = scrape(recorded(outcome(), failure()).snapshot())
    name = "gen_ai_client_operation_duration_seconds_count"
    assert samples[name, frozenset(GENAI.items())] == 1
    assert value(samples, name, error_type="upstream_unreachable") == 1
    assert value(samples, name) == 2


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"verdict": "truncated"}, "truncated"),
        ({"status": 499, "verdict": "client_cancelled"}, "client_cancelled"),
        ({"status": 503, "verdict": "upstream_error"}, "503"),
    ],
)
def test_a_failure_without_a_code_is_named_by_how_it_ended(
    changes: dict[str, object], shown: str
) -> None:
    samples = scrape(recorded(outcome(**changes)).snapshot())
    assert label_values(samples, "error_type") == {shown}


def test_tokens_are_counted_in_disjoint_buckets() -> None:
    samples = scrape(recorded(outcome(), outcome()).snapshot())
    counts = {
        kind: value(samples, "portico_tokens_total", type=kind, estimated="false")
        for kind in ("input_uncached", "cache_read", "cache_write", "output_text", "reasoning")
    }
    assert counts == {
        "input_uncached": 2000,
        "cache_read": 400,
        "cache_write": 10,
        "output_text": 600,
        "reasoning": 100,
    }
    assert value(samples, "portico_tokens_total") == sum(counts.values())


def test_estimated_tokens_stay_out_of_the_genai_histogram() -> None:
    guess = Usage(input_uncached=10, output_text=7, estimated=True)
    samples = scrape(recorded(outcome(usage=guess)).snapshot())
    assert value(samples, "portico_tokens_total", estimated="true") == 17
    assert value(samples, "gen_ai_client_token_usage_count") == 0


def test_attempts_tell_retries_from_endings() -> None:
    metrics = recorded(
        outcome(attempts=3),
        failure(attempts=2),
        outcome(verdict="truncated"),
        outcome(upstream_started=0.0, attempts=0, status=401, verdict="denied", provider=""),
    )
    samples = scrape(metrics.snapshot())
    counted = {
        kind: value(samples, "portico_attempts_total", outcome=kind)
        for kind in label_values(samples, "outcome")
    }
    assert counted == {"ok": 1, "error": 1, "retried": 3, "truncated": 1}


def test_cancelled_and_truncated_requests_have_counters_of_their_own() -> None:
    left = outcome(status=499, verdict="client_cancelled")
    samples = scrape(recorded(left, outcome(verdict="truncated"), outcome()).snapshot())
    assert value(samples, "portico_client_cancelled_total", endpoint="chat_completions") == 1
    assert value(samples, "portico_stream_truncated_total", provider="acme") == 1


def test_requests_that_reach_no_provider_are_not_genai_operations() -> None:
    refused = outcome(
        upstream_started=0.0, provider="", alias="", usage=None, status=404, verdict="client_error"
    )
    samples = scrape(recorded(refused).snapshot())
    assert value(samples, "portico_requests_total") == 1
    assert not [name for name, _ in samples if name.startswith("gen_ai_")]


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({}, 0.003),  # relayed as it came: 1 ms before, 2 ms after the first byte
        ({"stream": False, "first_byte": 101.25}, 0.002),  # held: 1 ms before, 1 ms after the end
        ({"first_byte": 101.25, "upstream_finished": 0.0}, 0.751),  # the end is not known
        ({"first_byte": 0.0}, 0.001),  # the client left while waiting
        ({"upstream_started": 0.0}, 1.25),  # no provider was asked
    ],
)
def test_overhead_is_what_the_gateway_added(changes: dict[str, object], seconds: float) -> None:
    one = outcome(**changes)
    assert overhead(one) == pytest.approx(seconds)
    samples = scrape(recorded(one).snapshot())
    assert value(samples, "portico_overhead_seconds_sum") == pytest.approx(seconds)


def test_plain_counters_and_gauges_are_exposed() -> None:
    metrics = Metrics(wall=lambda: 1_700_000_000.0)
    metrics.started += 1
    metrics.started += 1
    metrics.ended += 1
    metrics.connections_opened()
    metrics.connections_opened()
    metrics.connections_closed()
    metrics.limit_hit("body_bytes")
    metrics.http_rejected("bad_framing")
    metrics.loop_lag(0.03)
    metrics.watch_log("access", lambda: 7)
    metrics.config_reload(True, 4)
    samples = scrape(metrics.snapshot())
    assert value(samples, "portico_in_flight") == metrics.in_flight == 1
    assert value(samples, "portico_requests_started_total") == 2
    assert value(samples, "portico_connections_open") == 1
    assert value(samples, "portico_connections_total") == 2
    assert value(samples, "portico_limit_hits_total", limit="body_bytes") == 1
    assert value(samples, "portico_http_rejected_total", reason="bad_framing") == 1
    assert value(samples, "portico_event_loop_lag_seconds_bucket", le="0.025") == 0
    assert value(samples, "portico_event_loop_lag_seconds_bucket", le="0.05") == 1
    assert value(samples, "portico_log_dropped_total", log="access") == 7
    assert value(samples, "portico_config_revision") == 4
    assert value(samples, "portico_config_last_reload_timestamp_seconds") == 1_700_000_000
    assert value(samples, "portico_build_info") == 1
    assert value(samples, "process_resident_memory_bytes") > 1_000_000
    assert value(samples, "process_open_fds") > 2
    assert value(samples, "process_cpu_seconds_total") > 0


def test_a_refused_configuration_shows_and_keeps_the_revision() -> None:
    metrics = Metrics()
    metrics.config_reload(True, 1)
    metrics.config_reload(False, 2)
    samples = scrape(metrics.snapshot())
    assert value(samples, "portico_config_last_reload_successful") == 0
    assert value(samples, "portico_config_revision") == 1
    assert value(samples, "portico_config_reload_total", result="failure") == 1


def test_text_and_openmetrics_say_the_same() -> None:
    metrics = recorded(outcome(), failure())
    metrics.limit_hit("body_bytes")
    snapshot = metrics.snapshot()
    text, open_metrics = scrape(snapshot), scrape(snapshot, accept=OPENMETRICS)
    assert text == open_metrics
    assert len(text) > 100
