"""Every target for a while: led by coverage where atheris is installed, by chance where not.

    python -m tests.fuzz [TARGET ...]

`PORTICO_FUZZ_SECONDS` is how long each target runs (30), `PORTICO_FUZZ_SEED` a number that chooses
the inputs (others each time). As many targets run at a time as there are processors, each in a
process of its own, so that one that grows or hangs is seen as that. Ends with 1 when something was
found; the input is then left in a file, and shown in base64 for whoever reads the log of a machine
that is gone.
"""

import base64
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SECONDS = max(1, int(os.environ.get("PORTICO_FUZZ_SECONDS", "30")))
SEED = os.environ.get("PORTICO_FUZZ_SEED", "random")
LIMITS = ("-rss_limit_mb=1024", "-timeout=20", "-max_len=65536")
"""Of the whole process, of seconds per input, and of the size of an input. The seconds are those of
a clock on the wall, to end what hangs; `guided.SLOW` is about what is slow."""
PATIENCE = 300.0
"""Seconds for the start and the end of a target, on a machine that does other things as well."""
SHOWN = 40
_DONE = re.compile(r"DONE +cov: (\d+).*corp: (\d+)/")
_RUNS = re.compile(r"Done (\d+) runs")


def main() -> int:
    """Run the targets that are named, or all. Gives the exit status."""
    if importlib.util.find_spec("atheris") is None:
        print("atheris cannot be used here: fuzzing without guidance by coverage", flush=True)
        env = {**os.environ, "PORTICO_FUZZ_SECONDS": str(SECONDS), "PORTICO_FUZZ_SEED": SEED}
        command = [sys.executable, "-m", "pytest", "-n", "auto", "tests/fuzz"]
        return subprocess.call(command, env=env)
    from tests.fuzz.targets import TARGETS

    names = sys.argv[1:] or list(TARGETS)
    unknown = [name for name in names if name not in TARGETS]
    if unknown:
        print(f"no target: {', '.join(unknown)}; there are {', '.join(TARGETS)}")
        return 2
    found = Path(tempfile.mkdtemp(prefix="portico-fuzz-"))
    start = time.monotonic()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        failed = list(pool.map(lambda name: _one(name, found), names)).count(False)
    print(f"{len(names)} targets, {failed} failed, {time.monotonic() - start:.0f} s")
    if not failed:
        found.rmdir()
    return min(failed, 1)


def _one(name: str, found: Path) -> bool:
    """Run one target; whether nothing was found."""
    prefix = found / name.replace(" ", "-")
    command = [sys.executable, "-m", "tests.fuzz.guided", name, *LIMITS]
    command += [f"-max_total_time={SECONDS}", f"-artifact_prefix={prefix}-"]
    if SEED != "random":
        command.append(f"-seed={SEED}")
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        try:
            status = subprocess.call(
                command, stdout=log, stderr=subprocess.STDOUT, timeout=SECONDS + PATIENCE
            )
        except subprocess.TimeoutExpired:
            status = -1
        log.seek(0)
        said = log.read()
    done, runs = _DONE.search(said), _RUNS.search(said)
    if status == 0 and done is not None and runs is not None:
        print(f"{name:20} {runs[1]:>8} inputs, {done[1]:>5} points, {done[2]:>4} kept", flush=True)
        return True
    lines = [f"{name}: FAILED ({status})", *said.splitlines()[-SHOWN:]]
    for path in sorted(found.glob(f"{prefix.name}-*")):
        lines += [
            f"the input: {path}",
            base64.b64encode(path.read_bytes()).decode(),
            f"again: python -m tests.fuzz.guided '{name}' {path}",
        ]
    print("\n".join(lines), flush=True)
    return False


if __name__ == "__main__":
    sys.exit(main())
