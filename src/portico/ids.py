"""Identifiers: unique, sortable within a process, cheap. They are not secrets."""

import itertools
import os
from time import time


class IdSource:
    """Makes ids like `req_5f2c9e1ab07d0000002a`: prefix, 12 random hex digits, a counter.

    The random part is drawn once per source, so two workers never share a stream of ids.
    """

    __slots__ = ("_counter", "_stem")

    def __init__(self, prefix: str, entropy: bytes | None = None) -> None:
        self._stem = f"{prefix}_{(entropy or os.urandom(6)).hex()}"
        self._counter = itertools.count(1)

    def __call__(self) -> str:
        return f"{self._stem}{next(self._counter):08x}"


def new_base() -> str:
    """32 hex digits for the ids of one answer: 12 of milliseconds, so that what is stored at the
    same time lies together in an index, and 20 of randomness."""
    return f"{int(time() * 1000):012x}{os.urandom(10).hex()}"
