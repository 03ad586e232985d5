"""A private PostgreSQL for tests: started once per session, shared by all test processes of it.

`initdb` and `postgres` refuse to run as root, so they run as the user `postgres` then. The server
belongs to whoever holds the lock file open last: a session that is killed leaves it to the next
`stop`, and its directory is temporary either way.
"""

import fcntl
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

REQUIRE = "PORTICO_REQUIRE_POSTGRES"
_DEBIAN = Path("/usr/lib/postgresql")
_START_SECONDS = 60


def binaries() -> Path | None:
    """The directory of `initdb` and `postgres`; None when there are none."""
    found = shutil.which("initdb")
    if found is not None and shutil.which("postgres") is not None:
        return Path(found).parent
    versions = [path for path in _DEBIAN.glob("*/bin") if (path / "initdb").exists()]
    return max(versions, key=lambda path: float(path.parent.name), default=None)


class Cluster:
    """A database server of our own on a loopback port, in a directory that goes when it stops."""

    def __init__(self, root: Path, port: int) -> None:
        self.root = root
        self.port = port

    @property
    def url(self) -> str:
        return f"postgresql://portico@127.0.0.1:{self.port}/postgres"

    @classmethod
    def create(cls) -> "Cluster":
        """`initdb` and start. Raises when there are no binaries or they fail."""
        root = Path(tempfile.mkdtemp(prefix="portico-pg-"))
        cluster = cls(root, _free_port())
        try:
            if os.geteuid() == 0:
                shutil.chown(root, "postgres")
            cluster._run(
                "initdb", "--pgdata", str(root / "data"), "--username", "portico",
                "--auth", "trust", "--encoding", "UTF8", "--no-sync", "--no-instructions",
            )  # fmt: skip
            cluster.start()
        except BaseException:
            cluster.destroy()
            raise
        return cluster

    def start(self) -> None:
        """Start, also again. Returns when it takes connections."""
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' "
            "-c max_connections=300 -c shared_buffers=32MB "
            # What processes survive needs no flush; only the machine's own end does.
            "-c fsync=off -c full_page_writes=off"
        )
        self._run(
            "pg_ctl", "start", "--wait", "--silent", f"--timeout={_START_SECONDS}",
            "--pgdata", str(self.root / "data"), "--log", str(self.root / "log"), "-o", options,
        )  # fmt: skip

    def stop(self, mode: str = "fast") -> None:
        """Stop; `immediate` is a crash, with recovery at the next start."""
        self._run("pg_ctl", "stop", "--wait", "--silent", "--mode", mode, "--pgdata", self._data)

    def kill(self) -> None:
        """SIGKILL to the server and all its processes."""
        pid = int((self.root / "data" / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{pid}/task/{pid}/children")
        pids = [pid, *map(int, children.read_text().split())] if children.exists() else [pid]
        for one in pids:
            os.kill(one, signal.SIGKILL)
        while any(_runs(one) for one in pids):
            time.sleep(0.02)
        # Where nobody waits for orphans, a dead one still counts as running for `pg_ctl`.
        (self.root / "data" / "postmaster.pid").unlink(missing_ok=True)

    def destroy(self) -> None:
        """Stop, if it runs, and remove the directory."""
        if (self.root / "data" / "postmaster.pid").exists():
            subprocess.run(
                self._command("pg_ctl", "stop", "-s", "-m", "immediate", "-D", self._data),
                check=False, cwd=self.root, capture_output=True, timeout=_START_SECONDS,
            )  # fmt: skip
        shutil.rmtree(self.root, ignore_errors=True)

    @property
    def _data(self) -> str:
        return str(self.root / "data")

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            self._command(program, *arguments),
            cwd=self.root, check=False, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=2 * _START_SECONDS,
        )  # fmt: skip
        if done.returncode:
            log = self.root / "log"
            raise RuntimeError(done.stderr.decode() + (log.read_text() if log.exists() else ""))

    def _command(self, program: str, *arguments: str) -> list[str]:
        folder = binaries()
        if folder is None:
            raise RuntimeError("no PostgreSQL binaries")
        command = [str(folder / program), *arguments]
        if os.geteuid() != 0:
            return command
        pwd.getpwnam("postgres")
        return ["runuser", "-u", "postgres", "--", *command]


@contextmanager
def shared_cluster(folder: Path) -> Iterator[str]:
    """The URL of the cluster that all processes using `folder` share. The first starts it, the
    last one out stops it."""
    state, users = folder / "postgres.url", folder / "postgres.users"
    with _locked(folder):
        if not state.exists():
            cluster = Cluster.create()
            state.write_text(f"{cluster.root}\n{cluster.port}")
        root, port = state.read_text().split("\n")
        cluster = Cluster(Path(root), int(port))
        users.write_text(str(_count(users) + 1))
    try:
        yield cluster.url
    finally:
        with _locked(folder):
            users.write_text(str(_count(users) - 1))
            if _count(users) == 0:
                cluster.destroy()
                state.unlink()


async def new_database(url: str) -> str:
    """The URL of a new, empty database in the cluster."""
    import asyncpg

    name = f"t{uuid4().hex}"
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    return url.rpartition("/")[0] + "/" + quote(name)


async def drop_database(cluster: str, url: str) -> None:
    """Drop it, whoever is still connected."""
    import asyncpg

    connection = await asyncpg.connect(cluster)
    try:
        await connection.execute(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")
    finally:
        await connection.close()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "postgres.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _count(users: Path) -> int:
    return int(users.read_text()) if users.exists() else 0


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
