"""Hands bytes to a thread that writes them, so that a blocked pipe never blocks the event loop."""

import contextlib
import os
import select
import threading
from collections import deque
from collections.abc import Callable
from functools import partial

Sink = int | Callable[[bytes], object]
"""A file descriptor, or a function that writes all of its argument and may block."""


class LineWriter:
    """A bounded queue of chunks in front of a blocking sink; as many may be in the sink's hands.

    `offer` is for one thread at a time. The writing thread starts with the first chunk, so the
    object survives a fork; it is a daemon, so a sink that blocks for ever does not keep the process
    alive.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        chunks: int = 64,
        name: str = "portico-log",
    ) -> None:
        self._write = partial(self._write_all, sink) if isinstance(sink, int) else sink
        self._chunks = chunks
        self._name = name
        self._queue: deque[tuple[bytes, int]] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._busy = 0
        self._closing = False
        self._lost = 0

    @property
    def lost(self) -> int:
        """Lines accepted and then not written, because the sink failed or time ran out."""
        return self._lost

    @property
    def full(self) -> bool:
        """Whether `offer` would say no. Does not take the lock."""
        return self._pid == os.getpid() and (self._closing or len(self._queue) >= self._chunks)

    def offer(self, data: bytes, lines: int) -> bool:
        """Queues a chunk. False, and nothing happens, if the queue is full or closed."""
        if self._pid != os.getpid():
            self._start()
        with self._changed:
            if self.full:
                return False
            self._queue.append((data, lines))
            self._changed.notify_all()
        return True

    def drain(self, timeout: float) -> bool:
        """Waits until everything is written, at most `timeout` seconds; whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue and not self._busy, timeout)

    def close(self, timeout: float) -> bool:
        """Drains, then gives up on the rest and counts it as lost; whether all was written."""
        done = self._pid != os.getpid() or self.drain(timeout)
        with self._changed:
            self._closing = True
            self._lost += self._busy + sum(lines for _, lines in self._queue)
            self._queue.clear()
            self._changed.notify_all()
        return done

    def _start(self) -> None:
        """In a new process the queue, the lock and the thread are the parent's: make our own."""
        self._changed = threading.Condition()
        self._queue = deque()
        self._busy = 0
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = 0
                self._changed.notify_all()
                self._changed.wait_for(lambda: bool(self._queue) or self._closing)
                if not self._queue:
                    return
                # All at once: under load the thread gets the GIL only every few milliseconds.
                data = b"".join([chunk for chunk, _ in self._queue])
                lines = self._busy = sum([count for _, count in self._queue])
                self._queue.clear()
            try:
                self._write(data)
            except Exception:  # closed, or a disk that is full; there is nowhere to tell
                self._lost += lines

    def _write_all(self, fd: int, data: bytes) -> None:
        """Writes to a descriptor, also to one that somebody made non-blocking. Stops when closed:
        by then the number may belong to another file."""
        view = memoryview(data)
        while view and not self._closing:
            try:
                view = view[os.write(fd, view) :]
            except BlockingIOError:
                _wait_writable(fd)


def _wait_writable(fd: int) -> None:
    if hasattr(select, "poll"):
        waiter = select.poll()
        waiter.register(fd, select.POLLOUT)
        waiter.poll(1000)
    else:  # no poll on this system
        with contextlib.suppress(OSError, ValueError):
            select.select((), (fd,), (), 1.0)
