"""Nothing that a peer writes comes out as anything but an answer or a typed error, and in time.

`PORTICO_FUZZ_SECONDS` is how long each target runs (0.2 by default, 30 in `make fuzz`);
`PORTICO_FUZZ_SEED` chooses the inputs (the same ones each time by default, `random` for others).
"""

import os
import random
import time

import pytest
from hypothesis import HealthCheck, given, note, seed, settings
from hypothesis import strategies as st
from tests.fuzz.targets import TARGETS
from tests.support.mutate import Change, changes, mutated

SECONDS = float(os.environ.get("PORTICO_FUZZ_SECONDS", "0.2"))
_SEED = os.environ.get("PORTICO_FUZZ_SEED", "0")
SEED = random.randrange(1 << 32) if _SEED == "random" else int(_SEED)
SLOW = 3.0
"""Seconds of processor time that no input of this size may take."""
_ROUND = 50


@pytest.mark.parametrize("name", TARGETS)
def test_only_typed_errors_come_out(name: str) -> None:
    run = TARGETS[name].run
    seeds = TARGETS[name].seeds()
    for each in seeds:
        run(each.data)  # unchanged ones first

    @settings(
        max_examples=_ROUND,
        deadline=None,
        database=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, len(seeds) - 1), changes())
    def once(which: int, todo: list[Change]) -> None:
        data = mutated(seeds[which], todo)
        note(f"{len(data)} bytes: {data[:2000]!r}")
        start = time.thread_time()
        run(data)
        taken = time.thread_time() - start
        assert taken < SLOW, f"{taken:.1f} s for {len(data)} bytes"

    until = time.perf_counter() + SECONDS
    number = SEED
    while time.perf_counter() < until:
        seed(number)(once)()
        number += 1
