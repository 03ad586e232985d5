"""The same targets, led by coverage, where atheris is installed (`pip install atheris`, Linux).

    python -m tests.fuzz.guided "messages stream" -max_total_time=60

Whatever follows the name of the target is for libFuzzer. A failing input is left in a file
`crash-...`, which can be given as an argument to run it again.
"""

import sys
import tempfile
from pathlib import Path


def main() -> None:
    """Run one target until it fails or its time is over."""
    import atheris

    with atheris.instrument_imports(include=["portico"]):
        from tests.fuzz.targets import TARGETS

    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        raise SystemExit("Which one? " + ", ".join(TARGETS))
    run, seeds_of = TARGETS[sys.argv.pop(1)]
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds_of()):
            Path(corpus, str(number)).write_bytes(seed.data)
        atheris.Setup([*sys.argv, corpus], run)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
