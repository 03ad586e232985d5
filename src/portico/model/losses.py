"""What a target could not express. Nothing is left out in silence: every pass and every encoder
that changes or drops something says so here, and the caller hears of it."""

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct


class Loss(Struct, frozen=True, gc=False):
    """`path` is in the client's own terms: `temperature`, `tools[2]`, `input[3].content[0]`; `how`
    is `adapted` (something near was sent instead) or `dropped`; `reason` is one line for people."""

    path: str
    how: Literal["adapted", "dropped"]
    reason: str


Losses = list[Loss]
"""Collected in order. A plain list: passes append, the lane reads."""

MOST = 1000


class LossList(Losses):
    """What one request collects: each loss once, and the first `MOST` only. A request can name
    thousands of things that its target lacks, and an answer can lose something with every event."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        super().__init__()
        self._known: set[Loss] = set()

    def append(self, loss: Loss) -> None:
        if loss not in self._known and len(self) < MOST:
            self._known.add(loss)
            super().append(loss)

    def extend(self, losses: Iterable[Loss]) -> None:
        for loss in losses:
            self.append(loss)

    def __contains__(self, loss: object) -> bool:
        return loss in self._known
