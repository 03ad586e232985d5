"""docs/state.md is true: its snippets run in order and print what the page says."""

from typing import Any

import pytest
from tests.docs.conftest import DemoGateway
from tests.docs.pages import blocks, followed, page, run_python

from portico.config.load import loads

PAGE = page("docs/state.md")


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore:connect.. must be used:DeprecationWarning")  # the SDK does not
@pytest.mark.filterwarnings(
    "ignore:Pydantic serializer warnings"
)  # of the SDK, about its own types
def test_the_snippets_print_what_the_page_says(demo_gateway: DemoGateway) -> None:
    """In one interpreter: later snippets use the client of the first."""
    names: dict[str, Any] = {}
    snippets = followed(PAGE, "python")
    assert len(snippets) == 5
    for code, printed in snippets:
        assert printed is not None
        assert run_python(code, demo_gateway, names) == printed


def test_the_configuration_of_the_page_loads() -> None:
    (text,) = blocks(PAGE, "yaml")
    settings = loads(text, {"OPENAI_API_KEY": "sk-x"}, name="docs/state.md")
    assert settings.listeners[0].routes[0].models[0].state == "provider"
