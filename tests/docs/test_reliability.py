"""docs/reliability.md is true: its snippets run in order and print what the page says, with two
providers of which one dies; its configurations pass `portico check`."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from msgspec import Raw
from tests.cli.conftest import clean_env
from tests.docs.conftest import DemoGateway
from tests.docs.pages import blocks, curls, followed, page, run_curl, run_python

from portico.cli.check import OK, check
from portico.config.settings import RETRIED, HealthSettings, RetrySettings
from portico.errors import BadRequest
from portico.gateway.controls import CONTROL_FIELDS, CONTROL_HEADERS, read_controls
from portico.routing.attempts import Attempts, Command, GiveUp, Try, Wait
from portico.routing.budget import RetryBudget
from portico.routing.failures import Failure
from portico.routing.health import Cooldown, Health
from portico.routing.plan import Backend, Choice, Credential

PAGE = page("docs/reliability.md")
ENV = {name: f"sk-{name}-0123456789" for name in re.findall(r"\$([A-Z][A-Z_]+)", PAGE)}
SERVE = [sys.executable, "-m", "portico", "serve", "--port", "0", "--log-level", "error"]


class Processes:
    """A provider that can be killed, and a gateway in front of it and of one that lives."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[str]] = []

    def serve(self, *arguments: str) -> DemoGateway:
        """Start `portico serve`; its addresses."""
        process = subprocess.Popen(
            [*SERVE, *arguments], stdout=subprocess.PIPE, text=True, env=clean_env()
        )
        self._started.append(process)
        assert process.stdout is not None
        said = ""
        while "database  " not in said:
            line = process.stdout.readline()
            assert line, f"the gateway ended: {said}"
            said += line
        urls = re.findall(r"http://[0-9.:]+", said)
        return DemoGateway(urls[0], urls[1] if len(urls) > 1 else "")

    def kill(self, number: int) -> None:
        """`kill -9 %n`."""
        process = self._started[number - 1]
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def stop(self) -> None:
        for number in range(len(self._started)):
            self.kill(number + 1)


@pytest.fixture
def processes() -> Iterator[Processes]:
    running = Processes()
    yield running
    running.stop()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_snippets_survive_a_provider_that_dies_and_print_what_the_page_says(
    processes: Processes, demo_gateway: DemoGateway, tmp_path: Path
) -> None:
    one = processes.serve("--demo", "--admin", "off")
    (tmp_path / "two.yaml").write_text(
        blocks(PAGE, "yaml")[0]
        .replace("http://127.0.0.1:4001", one.url)
        .replace("http://127.0.0.1:4002", demo_gateway.url)
    )
    gateway = processes.serve("--config", f"{tmp_path}/two.yaml", "--admin", "127.0.0.1:0")
    (before, printed), (after, printed_after) = followed(PAGE, "python")
    names: dict[str, Any] = {}
    assert run_python(before, gateway, names) == printed
    shells = followed(PAGE, "sh")[1:]
    (peeked, controls), pages = (shells[0], shells[2]), curls(shells[1][0])
    assert run_curl(curls(peeked[0])[0], gateway) == (peeked[1] or "").rstrip()
    processes.kill(1)
    assert run_python(after, gateway, names) == printed_after
    targets, requests = [run_curl(command, gateway) for command in pages]
    assert '"state":"open"' in targets.replace(" ", "")
    assert '"smart"' in requests
    assert run_curl(curls(controls[0])[0], gateway) == (controls[1] or "").rstrip()


@pytest.mark.parametrize("text", blocks(PAGE, "yaml"), ids=lambda text: str(len(text)))
def test_every_configuration_of_the_page_passes_portico_check(text: str, tmp_path: Path) -> None:
    (tmp_path / "page.yaml").write_text(text)
    assert check(str(tmp_path / "page.yaml"), ENV) == OK


def test_the_page_has_every_control_there_is() -> None:
    for header in CONTROL_HEADERS:
        assert f"`{header.decode()}" in PAGE
    for field in CONTROL_FIELDS - {"provider_options"}:  # another spelling of providerOptions
        assert f"`{field}" in PAGE


def test_what_the_page_calls_refused_is_refused() -> None:
    (refused,) = re.findall(r"\*\*Refused\*\*(.*?); whatever else", PAGE, re.DOTALL)
    theirs, _, vercels = refused.partition("of OpenRouter's `provider`")
    names = re.findall(r"`([a-z_]+|[a-zA-Z]+)(?:: deny)?`", theirs)
    assert len(names) == 8
    for name in names:
        value = b'"deny"' if name == "data_collection" else b"1"
        _is_refused("provider", b'{"%b":%b}' % (name.encode(), value))
    names = [name for name in re.findall(r"`([a-zA-Z]+)`", vercels) if name != "gateway"]
    assert len(names) == 8
    for name in names:
        _is_refused("providerOptions", b'{"gateway":{"%b":["x"]}}' % name.encode())


@pytest.mark.parametrize(
    ("row", "failure"),
    [
        ("no connection", Failure("connect")),
        ("no first byte", Failure("timeout")),
        ("a shorter deadline", Failure("late")),
        ("the answer ends", Failure("truncated")),
        ("no valid answer", Failure("protocol")),
        ("408, 409, 5xx", Failure("status", 529)),
        ("429", Failure("limited", 429)),
        ("the key is refused", Failure("auth", 401)),
        ("the conversation", Failure("context", 400)),
        ("the provider does not have", Failure("missing", 404)),
        ("other 4xx", Failure("status", 422)),
        ("other 4xx", Failure("status", 402)),
        ("other 4xx", Failure("status", 403)),
        ("too many connections", Failure("full")),
        ("a loss", Failure("unfit")),
        ("what this gateway refuses", Failure("final", 400)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_table_says_what_the_machine_does(row: str, failure: Failure) -> None:
    (line,) = re.findall(rf"^\| {row}.*$", PAGE, re.MULTILINE)
    _, again, counts, _ = [cell.strip() for cell in line.strip("|").split("|")]
    alone = _after(failure, 1)[0]
    elsewhere, health = _after(failure, 2)
    assert (type(elsewhere) is Try) == again.startswith(("yes", "at other targets"))
    assert (type(alone) is Wait) == again.startswith("yes")
    assert (health.failures > 0) == counts.startswith(("yes", "5xx"))
    assert health.successes == 0  # "neither bad nor good"
    if "`codes`" in again:
        assert type(_after(failure, 2, frozenset((failure.status,)))[0]) is Try


def test_the_budget_is_for_asking_again_and_not_for_moving_on() -> None:
    spent = RetryBudget(0.0, 0.0, 0.0)
    assert type(_after(Failure("truncated"), 2, budget=spent)[0]) is Try
    alone, _ = _after(Failure("truncated"), 1, budget=spent)
    assert type(alone) is GiveUp
    assert alone.reason == "budget"
    assert spent.refused == 1


def _after(
    failure: Failure,
    targets: int,
    codes: frozenset[int] = RETRIED,
    budget: RetryBudget | None = None,
) -> tuple[Command, Health]:
    """What follows a first try that failed, and its target's health."""
    healths = [Health(HealthSettings()) for _ in range(targets)]
    tiers = tuple(
        (Choice(Backend(str(i), str(i), "", [Credential(None, (), Cooldown())], health, float)),)
        for i, health in enumerate(healths)
    )
    budget = budget or RetryBudget(0.2, 3.0, 0.0)
    machine = Attempts(tiers, RetrySettings(codes=codes), budget, 3600.0, Random(1))
    machine.begin(1.0)
    return machine.failed(2.0, failure), healths[0]


def _is_refused(field: str, value: bytes) -> None:
    with pytest.raises(BadRequest) as found:
        read_controls({field: Raw(value)}, {})
    assert found.value.code == "unsupported_parameter"
