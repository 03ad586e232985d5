"""Rules of the house that a machine can check (docs/architecture.md)."""

import re
import subprocess
from pathlib import Path

import pytest

from portico.limits import Deadlines, Limits

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "portico"
MOST_LINES = 600


def test_no_file_is_longer_than_600_lines() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "*.py"],
        cwd=ROOT, capture_output=True, check=False,
    )  # fmt: skip
    if listed.returncode:
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    long = {
        str(path.relative_to(ROOT)): lines
        for path in files
        if path.exists() and (lines := len(path.read_bytes().splitlines())) > MOST_LINES
    }
    assert long == {}


def _read_names() -> set[str]:
    """Every attribute that some file reads, apart from those that only carry configuration."""
    names: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        if path != SOURCE / "limits.py" and SOURCE / "config" not in path.parents:
            names.update(re.findall(r"\.([a-z_]+)\b(?!\s*=[^=])", path.read_text()))
    return names


@pytest.mark.parametrize("table", [Limits, Deadlines])
def test_every_limit_and_deadline_is_read_somewhere(table: type[Limits | Deadlines]) -> None:
    assert set(table.__struct_fields__) - _read_names() == set()
