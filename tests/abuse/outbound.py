"""A gateway that tells of every connection it makes, and makes none that leaves this machine.

    python -m tests.abuse.outbound TOLD serve --config FILE ...

runs `portico` on an event loop that writes each host and port to the file TOLD before connecting.
What is not a loopback address is refused right there: a test that fails must not reach anybody.
"""

import asyncio
import ipaddress
import sys
from pathlib import Path
from typing import Any

from tests.abuse.process import Process, _opened, _size
from tests.cli.conftest import clean_env

_ROOT = Path(__file__).parents[2]
TOLD = "connections"


class Witnessed(Process):
    """A gateway under watch; see the module docstring."""

    @classmethod
    async def start(cls, folder: Path, document: dict[str, Any]) -> "Witnessed":
        """Like `Process.start`."""
        file, said = folder / "gateway.yaml", _size(folder / "out")
        with _opened(folder, document) as (out, err):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.abuse.outbound", str(folder / TOLD),
                "serve", "--config", str(file), "--port", "0",
                cwd=_ROOT, env=clean_env(), stdin=asyncio.subprocess.DEVNULL, stdout=out,
                stderr=err,
            )  # fmt: skip
        self = cls(folder, process)
        try:
            await self._listening(said)
        except BaseException:
            process.kill()
            raise
        return self

    def connected(self) -> list[str]:
        """Every host and port that it wanted to connect to, in order."""
        file = self.folder / TOLD
        return file.read_text().splitlines() if file.exists() else []


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _tell(file: Path, line: str) -> None:
    with file.open("a") as open_file:
        open_file.write(line)


def _main() -> None:
    import uvloop

    told = Path(sys.argv[1])

    class Watched(uvloop.Loop):
        async def create_connection(
            self, factory: Any, host: Any = None, port: Any = None, **more: Any
        ) -> Any:
            if host is not None:
                _tell(told, f"{host} {port}\n")
                if not _is_here(host):
                    raise ConnectionRefusedError(host)
            return await super().create_connection(factory, host, port, **more)

    uvloop.new_event_loop = Watched  # type: ignore[assignment]
    from portico.cli.main import main

    sys.argv = ["portico", *sys.argv[2:]]
    main()


if __name__ == "__main__":
    _main()
