"""docs/capabilities.md is what the tables say, and the tables of the page leave nothing out."""

import subprocess
import sys
from pathlib import Path

from tests.docs.pages import page

from portico.cli import capabilities, matrix
from portico.dialects.chat import maps as chat
from portico.dialects.converse import maps as converse
from portico.dialects.gemini import maps as gemini
from portico.dialects.messages import maps as messages
from portico.dialects.responses import maps as responses
from portico.dialects.translators import CLIENTS, UPSTREAMS
from portico.providers.table import PROVIDERS

PAGE = "docs/capabilities.md"


def test_the_page_is_up_to_date() -> None:
    text = page(PAGE)
    assert capabilities.spliced(text, matrix.page()) == text, f"{PAGE} is stale: run `make docs`"


def test_every_dialect_and_provider_is_on_the_page() -> None:
    assert {*CLIENTS, *UPSTREAMS} == matrix.NAMES.keys()
    assert {*matrix.KINDS, "chat"} == UPSTREAMS.keys()
    assert all(f"`{kind}`" in matrix.providers() for kind in PROVIDERS)


def test_every_row_of_the_tables_has_an_example_on_the_page() -> None:
    tables = {
        "responses": ({*responses.FAMILIES, responses.UNKNOWN}, responses.family),
        "messages": ({*messages._FAMILIES, messages._NEWER, messages._OTHER}, messages.family),
        "gemini": ({*gemini.FAMILIES, gemini.OTHER}, gemini.family),
        "converse": ({*converse.FAMILIES, converse.UNKNOWN}, converse.family),
    }
    for dialect, (rows, find) in tables.items():
        shown = {find(model) for model in matrix.MODELS[dialect]}
        missing = [row for row in rows if row not in shown]
        assert not missing, f"cli/matrix.py: add a model of {missing} to MODELS[{dialect!r}]"


def test_every_refinement_of_a_chat_provider_has_an_example_on_the_page() -> None:
    for kind in chat.providers():
        models = matrix.CHAT_MODELS.get(kind, ())
        found = {id(chat._find(kind, model)[1]) for model in models}
        missing = [row.pattern.pattern for row in chat._ROWS[kind].models if id(row) not in found]
        assert not missing, f"cli/matrix.py: add a model of {missing} to CHAT_MODELS[{kind!r}]"


def test_the_command_prints_the_tables_and_writes_them_between_markers(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "portico", "capabilities"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed == matrix.page()
    copy = tmp_path / "copy.md"
    copy.write_text(f"before\n{capabilities.BEGIN}\nold\n{capabilities.END}\nafter\n")
    assert capabilities.capabilities(str(copy)) == 0
    assert copy.read_text().startswith(f"before\n{capabilities.BEGIN}\n\n## Providers")
    assert copy.read_text().endswith(f"{capabilities.END}\nafter\n")
    assert "old" not in copy.read_text()
    bare = tmp_path / "bare.md"
    bare.write_text("no markers\n")
    assert capabilities.capabilities(str(bare)) == 2
    assert bare.read_text() == "no markers\n"
    assert capabilities.capabilities(str(tmp_path / "missing.md")) == 2
