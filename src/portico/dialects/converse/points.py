"""Cache points: at most four, where the client put its marks and, if asked, at the usual places."""

from typing import Any

from portico.dialects.converse.maps import Family
from portico.model.items import Message, ToolCall, ToolResult
from portico.model.losses import Loss, Losses
from portico.model.parts import CacheMark
from portico.model.passes.paths import path
from portico.model.request import GenerateRequest

MOST = 4
"""https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html, 2026-11-21"""


class Points:
    """Gives out cache points in the order of the prefix: tools, system, messages.

    `automatic` says how many places without a mark may have one.
    """

    __slots__ = ("_left", "_losses", "_row", "_told", "_ttl", "_where", "automatic")

    def __init__(self, request: GenerateRequest, row: Family, losses: Losses) -> None:
        self._row = row
        self._losses = losses
        self._left = MOST
        self._told: set[str] = set()
        self._where = path(request.dialect, "caching")
        self._ttl = request.caching_ttl
        marks = _marks(request) if row.cache else 0
        self.automatic = max(MOST - marks, 0) if request.caching and row.cache else 0
        if request.caching and not row.cache:
            self._lose("dropped", "this model has no explicit prompt cache")

    def after(self, mark: CacheMark | None, *, tool: bool = False) -> dict[str, Any] | None:
        """The block that stands for this mark, None for none."""
        if mark is None:
            return None
        if not self._row.cache or (tool and not self._row.cache_tools):
            self._lose("dropped", "this model does not cache this part of a prompt")
            return None
        if self._left <= 0:
            self._lose("dropped", f"a request has {MOST} cache points at most")
            return None
        self._left -= 1
        point = {"type": "default"}
        if mark.ttl == "1h":
            if self._row.cache_ttl:
                point["ttl"] = "1h"
            else:
                self._lose("adapted", "this model keeps its cache for 5 minutes")
        return {"cachePoint": point}

    def end(self, blocks: list[dict[str, Any]], *, tool: bool = False) -> None:
        """Put one behind `blocks` if caching was asked for and there is none."""
        if not blocks or self.automatic <= 0 or "cachePoint" in blocks[-1]:
            return
        if tool and not self._row.cache_tools:
            return
        point = self.after(CacheMark(self._ttl), tool=tool)
        if point is not None:
            self.automatic -= 1
            blocks.append(point)

    def _lose(self, how: Any, reason: str) -> None:
        if reason not in self._told:
            self._told.add(reason)
            self._losses.append(Loss(self._where, how, reason))


def _marks(request: GenerateRequest) -> int:
    """How many marks the client set."""
    found = sum(getattr(tool, "cache", None) is not None for tool in request.tools)
    found += sum(part.cache is not None for part in request.instructions)
    for item in request.items:
        if isinstance(item, ToolCall | ToolResult):
            found += item.cache is not None
        if isinstance(item, Message | ToolResult):
            parts = item.parts if isinstance(item, Message) else item.output
            found += sum(getattr(part, "cache", None) is not None for part in parts)
    return found
