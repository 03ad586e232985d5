"""Names and ids that a target takes, and the way back.

A name that has to change gets a suffix computed from the name itself, so the same tool has the same
name in every turn and in every worker, and prompt caches stay warm.
"""

import hashlib
import re

from portico.model.capabilities import Capabilities, Naming
from portico.model.items import ToolKind
from portico.model.tools import ToolRef

_LEGAL = {
    "openai": re.compile(r"[a-zA-Z0-9_-]+").fullmatch,
    "gemini": re.compile(r"[a-zA-Z_][a-zA-Z0-9_.-]*").fullmatch,
}
_FOREIGN = {
    "openai": re.compile(r"[^a-zA-Z0-9_-]").sub,
    "gemini": re.compile(r"[^a-zA-Z0-9_.-]").sub,
}
_MARK = 8


class ToolNames:
    """Client tool -> upstream name, and back. Filled as tools are met, definitions first."""

    __slots__ = ("_back", "_longest", "_naming", "_there")

    def __init__(self, can: Capabilities) -> None:
        self._naming: Naming = can.naming
        self._longest = can.name_characters
        self._there: dict[tuple[str, str | None], str] = {}
        self._back: dict[str, ToolRef] = {}

    def wire(self, kind: ToolKind, name: str, namespace: str | None) -> str:
        """The name the upstream gets; the same one each time it is asked for."""
        known = self._there.get((name, namespace))
        if known is not None:
            return known
        whole = name if namespace is None else f"{namespace}__{name}"
        wire = whole
        if len(whole) > self._longest or not _LEGAL[self._naming](whole) or wire in self._back:
            wire = self._legal(whole, f"{namespace}\0{name}")
        self._there[name, namespace] = wire
        self._back[wire] = ToolRef(kind, name, namespace)
        return wire

    def back(self, wire: str) -> ToolRef | None:
        """Whom an upstream name means; None for one that was never offered."""
        return self._back.get(wire)

    def changed(self) -> bool:
        """Whether any name is not what the client wrote."""
        for wire, ref in self._back.items():
            if wire != ref.name or ref.namespace is not None:
                return True
        return False

    def _legal(self, whole: str, identity: str) -> str:
        clean = _FOREIGN[self._naming]("_", whole)
        if self._naming == "gemini" and not (clean[:1].isalpha() or clean[:1] == "_"):
            clean = f"_{clean}"
        digest = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:_MARK]
        return f"{clean[: self._longest - _MARK - 1]}_{digest}"


def call_id(pattern: str, given: str) -> str:
    """`given` if it matches `pattern` in full, else nine letters and digits computed from it:
    Mistral takes exactly nine, everyone else takes them too."""
    if not pattern or re.fullmatch(pattern, given):
        return given
    return hashlib.sha256(given.encode("utf-8", "surrogatepass")).hexdigest()[:9]
