"""What the targets of this folder share: what a target is, and how its input is cut."""

import zlib
from collections.abc import Callable
from typing import NamedTuple

from tests.support.mutate import Seed

Run = Callable[[bytes], None]


class Target(NamedTuple):
    """`run` raises for whatever must not happen. `words` are bytes that its grammar knows."""

    run: Run
    seeds: Callable[[], list[Seed]]
    words: tuple[bytes, ...] = ()


def pieces(data: bytes, single: int = 4000) -> list[bytes]:
    """`data` in slices that it chooses itself: all of it, a few, or, if shorter than `single`,
    byte by byte."""
    number = zlib.crc32(data)
    if number % 3 == 0 or len(data) < 3:
        return [data]
    if number % 3 == 1 and len(data) < single:
        return [data[at : at + 1] for at in range(len(data))]
    cuts = sorted({number % len(data), number // 7 % len(data), number // 49 % len(data)})
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
