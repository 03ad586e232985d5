"""The table in docs/observability.md and `/metrics` are the same list."""

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from tests.unit.observe.observed import OPENMETRICS, failure, outcome, recorded
from tests.unit.observe.test_target_metrics import view

from portico.model.losses import Loss
from portico.observe import semconv
from portico.observe.exposition import render

DOCS = Path(__file__).parents[3] / "docs" / "observability.md"
ROW = re.compile(r"^\| `([a-z_]+)` \| (counter|gauge|histogram|info) \| ([^|]*)\|", re.MULTILINE)


def exposed() -> bytes:
    """A page on which every family has a sample."""
    metrics = recorded(
        outcome(),
        failure(),
        outcome(verdict="truncated", losses=[Loss("stop", "dropped", "none here")]),
        outcome(status=499, verdict="client_cancelled"),
        outcome(endpoint="chat_completions (mirror)"),
    )
    metrics.watch_targets(lambda: [view()])
    metrics.retry_refused("gpt-*")
    metrics.limit_hit("body_bytes")
    metrics.http_rejected("bad_framing")
    metrics.watch_log("access", lambda: 0)
    return metrics.snapshot()


def test_every_metric_in_the_table_is_exposed_and_every_exposed_one_is_in_the_table() -> None:
    documented = {name for name, _, _ in ROW.findall(DOCS.read_text())}
    page = render([exposed()])[0].decode()
    shown = set(re.findall(r"^# TYPE (\S+)", page, re.MULTILINE))
    assert shown == documented == {family.name for family in semconv.FAMILIES}


def test_types_and_labels_in_the_table_are_true() -> None:
    described = {
        name: (kind, set(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels in ROW.findall(DOCS.read_text())
    }
    declared = {f.name: (f.kind, set(f.labels)) for f in semconv.FAMILIES if f.kind != "info"}
    build = described.pop(semconv.BUILD_INFO.name)
    assert build == ("info", {"version", "python"})
    assert described == declared


def test_samples_have_the_labels_their_family_declares() -> None:
    page = render([exposed()])[0].decode()
    seen: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            seen.setdefault(family.name, set()).update(set(sample.labels) - {"le"})
    for family in semconv.FAMILIES:
        shown = seen[family.name.removesuffix("_total" if family.kind == "counter" else "")]
        assert shown == set(family.labels) or family is semconv.BUILD_INFO, family.name


def test_openmetrics_families_do_not_clash() -> None:
    page, kind = render([exposed()], OPENMETRICS)
    names = re.findall(r"^# TYPE (\S+)", page.decode(), re.MULTILINE)
    assert len(names) == len(set(names)) == len(semconv.FAMILIES)
    assert kind.startswith("application/openmetrics-text")
    assert page.endswith(b"# EOF\n")


def test_every_name_has_a_source() -> None:
    for family in semconv.FAMILIES:
        assert family.source
        assert family.help
        assert family.name.startswith(("portico_", "gen_ai_", "process_"))
    assert set(semconv.FIRST_TOKEN_BUCKETS) < set(semconv.TTFT_BUCKETS)
