"""What the tests of requests share."""

from typing import Any

from msgspec import Raw

from portico.model.items import Message
from portico.model.parts import Text
from portico.model.tools import FunctionTool

OLD, NEW, ALWAYS = "claude-sonnet-4-5", "claude-opus-4-8", "claude-opus-5-5"
TOOL = FunctionTool(name="f", parameters=Raw(b'{"type":"object","properties":{}}'))


def assistant(text: str = "Hello") -> Message:
    return Message("assistant", (Text(text),))


def paths(losses: list[Any]) -> set[tuple[str, str]]:
    return {(loss.path, loss.how) for loss in losses}
