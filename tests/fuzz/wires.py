"""A transport that leads nowhere, and what is on it: conversations of a socket without a socket."""

import asyncio
import atexit
import logging
from collections.abc import Callable, Coroutine
from functools import lru_cache
from typing import Any

TURNS = 100_000
"""How often the loop goes round before something that still moves is taken for endless."""
QUIET = 4
"""Rounds without a change after which nothing more is expected."""


class Wire(asyncio.Transport):
    """Keeps what is written to it. `protocol` is who gets what comes in."""

    def __init__(self) -> None:
        super().__init__()
        self.protocol: Any = None
        self.written = bytearray()
        self.closing = False
        self.reading = True

    def attach(self, protocol: Any) -> None:
        """`protocol` has been connected."""
        self.protocol = protocol
        protocol.connection_made(self)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("192.0.2.1", 1) if name == "peername" else default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: Any) -> None:
        self.written += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None: ...

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    async def deliver(self, cut: list[bytes], progress: Callable[[], object]) -> None:
        """Let `cut` come in, piece by piece, as far as anybody reads."""
        for piece in cut:
            await settled(lambda: (len(self.written), progress()))
            if self.closing or not self.reading:
                break
            self.protocol.data_received(piece)
        await settled(lambda: (len(self.written), progress()))

    async def hang_up(self) -> None:
        """The peer leaves. Whoever waits hears of it."""
        if not self.closing:
            self.protocol.eof_received()
        self.closing = True
        self.protocol.connection_lost(None)
        for _ in range(5):
            await asyncio.sleep(0)


async def settled(progress: Callable[[], object]) -> None:
    """Return once nothing changes any more."""
    still = 0
    seen = progress()
    for _ in range(TURNS):
        await asyncio.sleep(0)
        now = progress()
        still = still + 1 if now == seen else 0
        seen = now
        if still == QUIET:
            return
    raise AssertionError("it never comes to rest")


def run(conversation: Coroutine[Any, Any, Any]) -> Any:
    """What comes of a conversation; nothing may go wrong unseen beside it."""
    loop, heard = _loop()
    heard.clear()
    found = loop.run_until_complete(conversation)
    assert not asyncio.all_tasks(loop), "somebody still works"
    assert not heard, heard
    return found


@lru_cache(maxsize=1)
def _loop() -> tuple[asyncio.AbstractEventLoop, list[str]]:
    """One loop for all conversations, and what was logged as a defect or raised behind its back."""
    heard: list[str] = []
    loop = asyncio.new_event_loop()
    atexit.register(loop.close)
    loop.set_exception_handler(lambda _, context: heard.append(repr(context)))
    logging.getLogger("portico.http").addHandler(_Ear(heard))
    return loop, heard


class _Ear(logging.Handler):
    def __init__(self, heard: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        self._heard.append(self.format(record))
