"""Pages of the documentation as code: their snippets, taken out and run."""

import contextlib
import io
import re
import shlex
from http.client import IncompleteRead
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from tests.docs.conftest import DemoGateway

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def page(name: str) -> str:
    """The text of a page, by its path in the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def all_blocks(text: str) -> list[tuple[str, str]]:
    """Language and content of each fenced block, in order."""
    return [(language, content) for language, content in _BLOCK.findall(text)]


def blocks(text: str, language: str) -> list[str]:
    return [content for found, content in all_blocks(text) if found == language]


def followed(text: str, language: str) -> list[tuple[str, str | None]]:
    """The blocks of a language, each with the `text` block right behind it: what it prints."""
    found = all_blocks(text)
    after = [*found[1:], ("", "")]
    return [
        (content, after[i][1] if after[i][0] == "text" else None)
        for i, (name, content) in enumerate(found)
        if name == language
    ]


def curls(shell: str) -> list[str]:
    """The curl commands of a shell block, each in one line."""
    lines = shell.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith("curl")]


def run_python(code: str, gateway: DemoGateway, names: dict[str, Any] | None = None) -> str:
    """Run a snippet against the gateway; returns what it printed. `names` outlive it."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code.replace("http://127.0.0.1:4000", gateway.url), {} if names is None else names)
    return printed.getvalue()


def run_curl(command: str, gateway: DemoGateway, *, cut: bool = False) -> str:
    """Do what a curl command does: the lines `grep` lets through, head included with `-i`.

    `cut`: the answer's body has to end before its end.
    """
    command, _, pattern = command.partition(" | grep ")
    words = shlex.split(command)
    url = next(word for word in words if word.startswith("http"))
    url = url.replace("http://127.0.0.1:4000", gateway.url)
    url = url.replace("http://127.0.0.1:15000", gateway.admin_url)
    headers = dict(words[i + 1].split(": ", 1) for i, word in enumerate(words) if word == "-H")
    body = next((words[i + 1] for i, word in enumerate(words) if word == "-d"), None)
    request = Request(url, data=body.encode() if body else None, headers=headers)
    with urlopen(request, timeout=15) as answer:
        head = "".join(f"{name}: {value}\n" for name, value in answer.headers.items())
        text = _read_cut(answer) if cut else answer.read().decode()
    told = (head if "-i" in words else "") + text
    wanted = shlex.split(pattern)[0] if pattern else ""
    return "\n".join(line for line in told.splitlines() if wanted in line)


def _read_cut(answer: Any) -> str:
    with pytest.raises(IncompleteRead) as found:
        answer.read()
    text: str = found.value.partial.decode()
    return text
