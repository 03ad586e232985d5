"""The README is true: its snippets run, as they stand, against the gateway it describes."""

import contextlib
import io
import re
import shlex
from http.client import IncompleteRead
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from tests.docs.conftest import DemoGateway

from portico.config.load import loads

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def curls() -> list[str]:
    commands = "\n".join(blocks("sh")).replace("\\\n", " ").splitlines()
    return [line for line in commands if line.startswith("curl")]


def test_the_readme_has_the_snippets_these_tests_are_about() -> None:
    assert len(blocks("python")) == 1
    assert len(blocks("yaml")) == 1
    assert len(curls()) == 3


def test_the_sdk_snippet_runs_and_prints_a_story(demo_gateway: DemoGateway) -> None:
    (code,) = blocks("python")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code.replace("http://127.0.0.1:4000", demo_gateway.url), {})
    assert printed.getvalue().count("demo model of Portico") == 2


def test_the_curl_commands_work_one_after_the_other(demo_gateway: DemoGateway) -> None:
    for command in curls():
        words = shlex.split(command.partition("|")[0])
        url = next(word for word in words if word.startswith("http"))
        url = url.replace("http://127.0.0.1:4000", demo_gateway.url)
        url = url.replace("http://127.0.0.1:15000", demo_gateway.admin_url)
        headers = dict(words[i + 1].split(": ", 1) for i, word in enumerate(words) if word == "-H")
        body = next((words[i + 1] for i, word in enumerate(words) if word == "-d"), None)
        request = Request(url, data=body.encode() if body else None, headers=headers)
        cut = "cut=5" in command
        with urlopen(request, timeout=15) as answer, contextlib.ExitStack() as expected:
            if cut:
                expected.enter_context(pytest.raises(IncompleteRead))
            text = answer.read().decode()
        if not cut:
            assert (command.partition("grep ")[2].strip() or "response.completed") in text


def test_the_configuration_loads() -> None:
    (text,) = blocks("yaml")
    env = {"OPENAI_API_KEY": "sk-openai", "TEAM_A_KEY": "key-a-0123456789", "TEAM_B_KEY": "key-b"}
    settings = loads(text, env, name="README.md")
    assert [model.name for model in settings.listeners[0].routes[0].models] == ["smart", "local/*"]


def test_every_link_inside_the_repository_leads_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
