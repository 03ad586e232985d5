"""Processes: starting and stopping them, pinning them, and what `/proc` says about them (Linux)."""

import os
import resource
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def tree(root: int) -> list[int]:
    """`root` and everything below it."""
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208 - strings are what is wanted
        fields = _stat(int(entry)) if entry.isdigit() else None
        if fields is not None:
            parents.setdefault(int(fields[1]), []).append(int(entry))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += parents.get(pid, [])
    return found


def cpu_seconds(root: int) -> float:
    """User and system time of `root`, its living descendants, and those they have reaped."""
    ticks = 0
    for pid in tree(root):
        fields = _stat(pid)
        if fields is not None:
            ticks += sum(int(field) for field in fields[11:15])
    return ticks / TICK


def sleeps(root: int) -> dict[int, int]:
    """How often each thread that is not a process's first has gone to sleep, in `root` and its
    descendants: one that is given nothing to do stays asleep."""
    found = {}
    for pid in tree(root):
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
            if int(thread) != pid:
                status = Path(f"/proc/{pid}/task/{thread}/status").read_text()
                said = status.partition("\nvoluntary_ctxt_switches:")[2]
                found[int(thread)] = int(said.split()[0])
    return found


def resident_bytes(root: int) -> int:
    """Resident memory of `root` and its descendants (pages they share count for each)."""
    pages = 0
    for pid in tree(root):
        try:
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except OSError:
            continue
    return pages * os.sysconf("SC_PAGESIZE")


def open_files(pid: int) -> int:
    """How many file descriptors a process has."""
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208


def allow_open_files(wanted: int) -> int:
    """Raise RLIMIT_NOFILE, which children inherit, as far as it goes. Returns what it came to."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        for limits in ((wanted, max(wanted, hard)), (min(wanted, hard), hard)):
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
                break
            except (ValueError, OSError):
                continue
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class Cpus:
    """Who runs where. With one CPU nobody is pinned; with two the upstreams share the second."""

    def __init__(self) -> None:
        self.available = sorted(os.sched_getaffinity(0))
        self.pinned = len(self.available) >= 2
        self.tested = self._pick(0)
        self.load = self._pick(1)
        self.upstream = self._pick(2 if len(self.available) > 2 else 1)

    def _pick(self, index: int) -> set[int]:
        return {self.available[index]} if self.pinned else set(self.available)

    def describe(self) -> str:
        """For the report."""
        if not self.pinned:
            return "only one CPU: nothing is pinned, load and gateway share it"
        (tested,), (load,), (upstream,) = self.tested, self.load, self.upstream
        return (
            f"the process under test is pinned to CPU {tested}, the load generator to CPU {load}, "
            f"the fake upstreams to CPU {upstream}"
        )


class Child:
    """A process of ours, pinned, with its output in files."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        cpus: set[int],
        logs: Path,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.out = logs / f"{name}.out"
        self.err = logs / f"{name}.err"
        before = os.sched_getaffinity(0)
        with self.out.open("wb") as out, self.err.open("wb") as err:
            os.sched_setaffinity(0, cpus)  # inherited; a preexec_fn would fork, which is slower
            try:
                self.started = time.monotonic()
                self._process = subprocess.Popen(
                    command, stdout=out, stderr=err, stdin=subprocess.DEVNULL, env=env
                )
            finally:
                os.sched_setaffinity(0, before)
        self.pid = self._process.pid

    def check(self) -> None:
        """Raises RuntimeError with the end of its output if it has ended."""
        if self._process.poll() is not None:
            said = self.err.read_text(errors="replace") or self.out.read_text(errors="replace")
            raise RuntimeError(
                f"{self.name} ended with {self._process.returncode}:\n{said[-2000:]}"
            )

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def wait(self, seconds: float) -> int:
        """Its exit code. Raises `subprocess.TimeoutExpired`."""
        return self._process.wait(seconds)

    def stop(self) -> None:
        """End it: kindly, then not."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(2)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def stop_all(children: Iterable[Child]) -> None:
    """End all of them, the last started first."""
    for child in reversed(list(children)):
        child.stop()


def _stat(pid: int) -> list[str] | None:
    """The fields of `/proc/PID/stat` after the name, from `state` on; None if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text.rpartition(")")[2].split()
