"""What a target could not express. Nothing is left out in silence: every pass and every encoder
that changes or drops something says so here, and the caller hears of it."""

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
