"""docs/translation.md is true: its snippets run in order and print what the page says."""

from typing import Any

import pytest
from tests.docs.conftest import DemoGateway
from tests.docs.pages import curls, followed, page, run_curl, run_python

PAGE = page("docs/translation.md")


def test_the_python_snippets_print_what_the_page_says(demo_gateway: DemoGateway) -> None:
    """In one interpreter: later snippets use the clients of the first."""
    names: dict[str, Any] = {}
    snippets = followed(PAGE, "python")
    assert len(snippets) == 6
    for code, printed in snippets:
        assert printed is not None
        assert run_python(code, demo_gateway, names) == printed


def test_the_curl_commands_print_what_the_page_says(demo_gateway: DemoGateway) -> None:
    snippets = followed(PAGE, "sh")
    assert len(snippets) == 2
    for shell, printed in snippets:
        (command,) = curls(shell)
        found = run_curl(command, demo_gateway, cut="cut=6" in command)
        assert found == printed.rstrip("\n") if printed is not None else found


@pytest.mark.parametrize("model", ["demo-claude", "demo-gemini-3", "demo-bedrock", "demo-chat"])
def test_the_demo_models_of_the_page_stream_in_every_dialect(
    demo_gateway: DemoGateway, model: str
) -> None:
    command = (
        "curl -N http://127.0.0.1:4000/v1/responses -H 'content-type: application/json' "
        f'-d \'{{"model": "{model}", "input": "Hello", "stream": true}}\''
    )
    assert "response.completed" in run_curl(command, demo_gateway)
