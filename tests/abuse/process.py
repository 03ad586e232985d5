"""One gateway as operators run it, `python -m portico serve --config FILE`, and what it tells.

Its output goes to files, so that nothing has to be read while nobody looks: `lines()` is the access
log, the ledger of requests.
"""

import asyncio
import atexit
import contextlib
import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import yaml
from tests.cli.conftest import clean_env
from tests.support.gateway import sample
from tests.support.raw import RawClient, RawResponse

_RUNNING: set[int] = set()
_ROOT = Path(__file__).parents[2]
_PAGE = os.sysconf("SC_PAGE_SIZE")


@contextlib.contextmanager
def _opened(folder: Path, document: dict[str, Any]) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Where the output goes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gateway.yaml").write_text(yaml.safe_dump(document))
    with (folder / "out").open("ab") as out, (folder / "err").open("ab") as err:
        yield out, err


def _size(file: Path) -> int:
    """Bytes in a file, which may not be there."""
    return file.stat().st_size if file.exists() else 0


@atexit.register
def _leave_none_behind() -> None:
    """A test run that is broken off takes its gateways with it."""
    for pid in _RUNNING:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class Process:
    """A running gateway. `port` and `admin` are its ports, `pid` its process."""

    def __init__(self, folder: Path, process: asyncio.subprocess.Process) -> None:
        self.folder = folder
        self.process = process
        self.port = 0
        self.admin = 0
        self._ledger: list[dict[str, Any]] = []
        self._read = 0
        self._reloads = 0

    @classmethod
    async def start(cls, folder: Path, document: dict[str, Any]) -> "Process":
        """Write the document as YAML into `folder`, start, and return once it listens."""
        file, said = folder / "gateway.yaml", _size(folder / "out")
        with _opened(folder, document) as (out, err):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "portico", "serve", "--config", str(file), "--port", "0",
                cwd=_ROOT, env=clean_env(), stdin=asyncio.subprocess.DEVNULL, stdout=out,
                stderr=err,
            )  # fmt: skip
        _RUNNING.add(process.pid)
        self = cls(folder, process)
        await self._listening(said)
        return self

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    @property
    def out(self) -> str:
        """Its standard output so far."""
        return (self.folder / "out").read_text(errors="replace")

    @property
    def err(self) -> str:
        """Its standard error so far."""
        return (self.folder / "err").read_text(errors="replace")

    def lines(self) -> list[dict[str, Any]]:
        """Every line of the access log so far, in order."""
        with (self.folder / "out").open("rb") as file:
            file.seek(self._read)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            if line.startswith(b'{"ts"'):
                self._ledger.append(json.loads(line))
        return self._ledger

    def rss(self) -> int:
        """Resident bytes."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * _PAGE

    def peak(self) -> int:
        """The most resident bytes since `forget_peak`."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
        assert found is not None
        return int(found[1]) << 10

    def forget_peak(self) -> None:
        """Start `peak` anew (where the kernel allows it)."""
        with contextlib.suppress(OSError):
            Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def fds(self) -> int:
        """Open file descriptors."""
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())

    def threads(self) -> int:
        """Threads."""
        return sum(1 for _ in Path(f"/proc/{self.pid}/task").iterdir())

    def connections_to(self, port: int) -> int:
        """Connections to a port of this machine that are open on its side."""
        lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
        return sum(each.split()[2].endswith(f":{port:04X}") and each.split()[3] == "01"
                   for each in lines)  # fmt: skip

    async def page(self, path: str, within: float = 10.0) -> RawResponse:
        """One page of the admin listener."""
        async with await RawClient.connect(self.admin) as client:
            await client.request("GET", path, None, {"host": "127.0.0.1"})
            return await client.response(within)

    async def metrics(self) -> str:
        """The Prometheus page."""
        return (await self.page("/metrics")).body.decode()

    async def sample(self, name: str, **labels: str) -> float:
        """The sum of one metric."""
        return sample(await self.metrics(), name, **labels)

    async def reload(self, document: dict[str, Any] | str, *, good: bool = True) -> None:
        """Put another document in place and wait until it was taken, or refused."""
        before = await self.sample("portico_config_reload_total", result="failure")
        self._reloads += 1
        serial = 10_000 + self._reloads  # by which the document is known again
        if isinstance(document, dict):
            document["config"]["deadlines"]["websocket"] = f"{serial}s"
        text = document if isinstance(document, str) else yaml.safe_dump(document)
        part = self.folder / "gateway.part"
        part.write_text(text)
        part.replace(self.folder / "gateway.yaml")
        self.signal(signal.SIGHUP)
        until = time.perf_counter() + 10.0
        while True:
            if good and await self._deadline("websocket") == serial:
                return
            failed = await self.sample("portico_config_reload_total", result="failure") > before
            if failed and not good:
                return
            assert time.perf_counter() < until, f"{good}: {self.err[-2000:]}"
            await asyncio.sleep(0.01)

    async def _deadline(self, name: str) -> float:
        dump = json.loads((await self.page("/config_dump")).body)
        return float(dump["deadlines"][name])

    def signal(self, number: int) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    async def exit(self, within: float = 10.0) -> int:
        """The exit code, once it is gone."""
        code = await asyncio.wait_for(self.process.wait(), within)
        _RUNNING.discard(self.pid)
        return code

    async def kill(self) -> None:
        """SIGKILL, if it still runs."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.exit()

    async def _listening(self, start: int) -> None:
        until = time.perf_counter() + 60.0
        while True:
            said = self.out.encode()[start:].decode(errors="replace")
            port = re.search(r"listening on\s+https?://\S+:(\d+)$", said, re.MULTILINE)
            admin = re.search(r"admin\s+http://\S+:(\d+)\s", said)
            if port is not None and admin is not None:
                self.port, self.admin = int(port[1]), int(admin[1])
                return
            gone = self.process.returncode is not None
            assert not gone, f"it ended at once: {self.err[-3000:]}"
            assert time.perf_counter() < until, "it does not listen"
            await asyncio.sleep(0.02)
