"""Noticing that the configuration file changed.

Polling `stat` once a second needs no dependency and sees what editors, `mv` and Kubernetes do:
rewriting in place, replacing the file, swapping the symlink it is reached through. What to do with
the new text is the caller's business.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from msgspec import Struct

from portico.config.parse import MAX_BYTES

POLL_SECONDS = 1.0
SETTLE_SECONDS = 0.1


class Fingerprint(Struct, frozen=True):
    """What tells two versions of a file apart without reading it."""

    device: int
    inode: int
    size: int
    modified_ns: int


def differs(seen: Fingerprint | None, now: Fingerprint | None) -> bool:
    """Whether there is something new to read. A missing file (`None`) is not: it may come back."""
    return now is not None and now != seen


def fingerprint(info: os.stat_result) -> Fingerprint:
    """The fingerprint of a stat result."""
    return Fingerprint(info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns)


class ConfigFile:
    """A file and the version of it that was read last."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._read: Fingerprint | None = None

    def now(self) -> Fingerprint | None:
        """The version on disk; None while it is missing or unreadable. Follows symlinks."""
        try:
            return fingerprint(self.path.stat())
        except OSError:
            return None

    def changed(self) -> bool:
        """Whether the version on disk is not the one `read` returned last."""
        return differs(self._read, self.now())

    def read(self) -> str:
        """The text, and from now on `changed` compares with it. Raises `OSError`.

        Bytes that are not UTF-8 become lone surrogates, and no more than the size limit and one
        byte is read; `load.loads` refuses both with a proper message.
        """
        with self.path.open("rb") as file:
            version = fingerprint(os.fstat(file.fileno()))
            data = file.read(MAX_BYTES + 1)
        self._read = version
        return data.decode(errors="surrogateescape")


async def watch(
    file: ConfigFile,
    on_change: Callable[[str], Awaitable[None]],
    interval: float = POLL_SECONDS,
) -> None:
    """Call `on_change` with the new text after every change, until cancelled.

    A change is read once the file has been still for a moment, so a file being written is not
    taken for a shorter one. `on_change` handles its own errors; what it raises ends the watch.
    """
    while True:
        await asyncio.sleep(interval)
        if not await asyncio.to_thread(file.changed):
            continue
        text = await _settled(file, min(interval, SETTLE_SECONDS))
        if text is not None:
            await on_change(text)


async def _settled(file: ConfigFile, pause: float) -> str | None:
    """The text once two looks agree; None if the file went away meanwhile."""
    before = await asyncio.to_thread(file.now)
    while True:
        await asyncio.sleep(pause)
        now = await asyncio.to_thread(file.now)
        if now == before:
            break
        before = now
    try:
        return None if now is None else await asyncio.to_thread(file.read)
    except OSError:
        return None
