"""Outcomes and scrapes for the tests of `portico.observe`."""

from typing import Any

from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics

from portico.model.outcome import Outcome
from portico.model.usage import Usage
from portico.observe.exposition import render
from portico.observe.metrics import Metrics

USAGE = Usage(input_uncached=1000, cache_read=200, cache_write=5, output_text=300, reasoning=50)
OPENMETRICS = "application/openmetrics-text; version=1.0.0"

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def outcome(**changes: Any) -> Outcome:
    """A successful streamed chat completion of 1.25 s, with `changes`."""
    made = Outcome("req_1", "POST", "10.1.2.3:5000", 100.0)
    values: dict[str, Any] = {
        "finished": 101.25,
        "upstream_started": 100.001,
        "upstream_first_byte": 100.5,
        "upstream_finished": 101.249,
        "first_byte": 100.502,
        "endpoint": "chat_completions",
        "operation": "chat",
        "dialect": "chat",
        "lane": "splice",
        "provider": "acme",
        "semconv_provider": "openai",
        "alias": "gpt-*",
        "request_model": "gpt-4o-mini",
        "upstream_model": "gpt-4o-mini",
        "response_model": "gpt-4o-mini-2024-07-18",
        "stream": True,
        "status": 200,
        "attempts": 1,
        "usage": USAGE,
    }
    for name, value in {**values, **changes}.items():
        setattr(made, name, value)
    return made


def failure(**changes: Any) -> Outcome:
    """The provider was unreachable."""
    values: dict[str, Any] = {
        "status": 502,
        "verdict": "upstream_error",
        "error_code": "upstream_unreachable",
        "usage": None,
        "response_model": "",
        "upstream_first_byte": 0.0,
        "upstream_finished": 0.0,
    }
    return outcome(**{**values, **changes})


def scrape(*snapshots: bytes, accept: str = "") -> Samples:
    """Every sample of a page, by name and labels."""
    page = render(snapshots, accept)[0].decode()
    parse = (
        openmetrics.text_string_to_metric_families
        if accept
        else parser.text_string_to_metric_families
    )
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse(page)
        for sample in family.samples
    }


def recorded(*outcomes: Outcome) -> Metrics:
    """Metrics that have seen the outcomes."""
    metrics = Metrics()
    for one in outcomes:
        metrics.record(one)
    return metrics


def value(samples: Samples, name: str, **labels: str) -> float:
    """The sum of the samples of `name` that have at least these labels."""
    wanted = set(labels.items())
    return sum(v for (n, have), v in samples.items() if n == name and wanted <= have)


def label_values(samples: Samples, label: str) -> set[str]:
    """The distinct values of a label."""
    return {v for _, labels in samples for n, v in labels if n == label}
