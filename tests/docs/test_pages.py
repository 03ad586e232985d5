"""What holds for every page and example: links lead somewhere, examples load."""

import re
from pathlib import Path

import pytest
from tests.docs.pages import ROOT, blocks, page

from portico.cli.check import OK, check
from portico.config.load import loads

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
KEYS = {
    name: f"{name}-a-value-of-more-than-32-characters"
    for name in re.findall(
        r"\$([A-Z][A-Z0-9_]+)",
        "".join(path.read_text() for path in (ROOT / "examples").iterdir())
        + page("docs/translation.md"),
    )
}


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_link_inside_the_repository_leads_somewhere(path: Path) -> None:
    for target, anchor in re.findall(
        r"\]\(([^)#:]*)(?:#([^)]*))?\)", path.read_text(encoding="utf-8")
    ):
        there = path.parent / target if target else path
        assert there.exists(), f"{path.name} links to {target}"
        if anchor:
            assert anchor in anchors(there), f"{path.name} links to {target}#{anchor}"


@pytest.mark.parametrize(
    "path", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.name
)
def test_every_example_passes_portico_check(path: Path) -> None:
    assert check(str(path), KEYS) == OK


def test_the_configurations_about_translation_load() -> None:
    found = blocks(page("docs/translation.md"), "yaml")
    assert len(found) == 2
    for text in found:
        loads(text, KEYS, name="docs/translation.md")
