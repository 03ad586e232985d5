"""The README is true: its snippets run, as they stand, against the gateway it describes."""

from typing import Any

from tests.docs.conftest import DemoGateway
from tests.docs.pages import blocks, curls, followed, page, run_curl, run_python

from portico.config.load import loads

README = page("README.md")
CURLS = [line for shell in blocks(README, "sh") for line in curls(shell)]


def test_the_readme_has_the_snippets_these_tests_are_about() -> None:
    assert len(blocks(README, "python")) == 3
    assert len(blocks(README, "yaml")) == 1
    assert len(CURLS) == 4


def test_the_sdk_snippet_runs_and_prints_a_story(demo_gateway: DemoGateway) -> None:
    code = blocks(README, "python")[0]
    assert run_python(code, demo_gateway).count("demo model of Portico") == 2


def test_one_sdk_reaches_the_others_models(demo_gateway: DemoGateway) -> None:
    code, printed = followed(README, "python")[1]
    assert printed is not None
    names: dict[str, Any] = {}
    assert run_python(code, demo_gateway, names) == printed
    code, printed = followed(README, "python")[2]
    assert run_python(code, demo_gateway, names) == printed


def test_the_curl_commands_work_one_after_the_other(demo_gateway: DemoGateway) -> None:
    for command in CURLS:
        cut = "cut=5" in command
        text = run_curl(command, demo_gateway, cut=cut)
        if cut:
            assert '"error"' in text
            assert "[DONE]" not in text
        else:
            assert (command.partition("grep ")[2].strip() or "response.completed") in text


def test_the_configuration_loads() -> None:
    (text,) = blocks(README, "yaml")
    env = {
        "ANTHROPIC_API_KEY": "sk-ant",
        "TEAM_A_KEY": "key-a-0123456789",
        "TEAM_B_KEY": "key-b",
    }
    settings = loads(text, env, name="README.md")
    assert [model.name for model in settings.listeners[0].routes[0].models] == ["smart", "local/*"]
