"""How cost grows with size: a test that holds on slow and on busy machines."""

import time
from collections.abc import Callable


def growth(run: Callable[[int], object], size: int) -> float:
    """How many times the processor time of `run(size)` that of `run(2 * size)` is, best of 7.

    About 2 for what is linear, 4 for what is quadratic.
    """
    return _best(run, 2 * size) / max(_best(run, size), 1e-4)


def _best(run: Callable[[int], object], size: int) -> float:
    best = float("inf")
    for _ in range(7):
        started = time.process_time()
        run(size)
        best = min(best, time.process_time() - started)
    return best
