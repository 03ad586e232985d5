"""One target, led by coverage. Needs atheris (Linux on x86-64: `make fuzz` installs it).

    python -m tests.fuzz.guided "messages stream" -max_total_time=60
    python -m tests.fuzz.guided "messages stream" crash-1234...

Whatever follows the name of the target is for libFuzzer: options, directories of inputs to begin
with (the first is added to), or files to run once. A failing input is left in a file `crash-...`.

Half of the inputs are made by libFuzzer from bytes and the words of the grammar, half by
`tests.support.mutate`, which changes the JSON inside, behind checksums and framing that random
bytes would not get past.
"""

import random
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # whatever imports portico is imported with the instruments on
    from tests.fuzz.kit import Run, Target
    from tests.support.mutate import Seed

SLOW = 3.0
"""Seconds of processor time that no input may take; instrumented code is several times slower."""


def main() -> None:
    """Run one target until it fails or its time is over."""
    import atheris

    with atheris.instrument_imports(include=["portico"]):
        from tests.fuzz.targets import TARGETS
        from tests.support.mutate import Seed, drawn, mutated

    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        raise SystemExit("Which one? " + ", ".join(TARGETS))
    name, *options = sys.argv[1:]
    target = TARGETS[name]
    seeds = target.seeds()
    with tempfile.TemporaryDirectory() as place:
        _prepare(Path(place), target, seeds)
        kind = seeds[0].kind

        def mutate(data: bytes, most: int, number: int) -> bytes:
            chance = random.Random(number)
            if chance.random() < 0.5:
                return bytes(atheris.Mutate(data, most))
            return mutated(Seed(data, kind), drawn(chance, 3))[:most]

        if target.words:
            options.append(f"-dict={place}/words")
        if not any(Path(option).is_file() for option in options):
            options.append(f"{place}/seeds")
        atheris.Setup([name, *options], _timed(target.run), custom_mutator=mutate)
        atheris.Fuzz()


def _timed(run: "Run") -> "Run":
    def timed(data: bytes) -> None:
        start = time.thread_time()
        run(data)
        taken = time.thread_time() - start
        if taken > SLOW:
            raise AssertionError(f"{taken:.1f} s for {len(data)} bytes")

    return timed


def _prepare(place: Path, target: "Target", seeds: "list[Seed]") -> None:
    """Write what libFuzzer begins with, and its dictionary."""
    corpus = place / "seeds"
    corpus.mkdir()
    for number, seed in enumerate(seeds):
        (corpus / str(number)).write_bytes(seed.data)
    words = ["".join(f"\\x{byte:02x}" for byte in word) for word in target.words]
    (place / "words").write_text("".join(f'"{word}"\n' for word in words))


if __name__ == "__main__":
    main()
