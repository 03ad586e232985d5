"""The answer to one request on a socket: head and framing written as few times as possible."""

import asyncio
import os
import socket
import struct
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING

from msgspec import Struct

from portico.http.messages import Source

if TYPE_CHECKING:
    from portico.http.connection import Connection

LINGER_SECONDS = 2.0
"""How long unread bytes of a peer are discarded after a last word to it, so that a RST does not
destroy the word before the peer has read it."""
STATUS_LINES = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode("ascii"))
    for status in HTTPStatus
}
JOIN_BELOW = 64 * 1024
"""Bodies up to this size are joined with their head into one write; larger ones are not copied."""


def linger_none(transport: asyncio.Transport) -> None:
    """Make the coming close a reset: SO_LINGER with no time (through a duplicate, because event
    loops hand out sockets that refuse options)."""
    raw = transport.get_extra_info("socket")
    if raw is not None:
        with socket.socket(fileno=os.dup(raw.fileno())) as twin:
            twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def status_line(status: int) -> bytes:
    """The first line of an answer; unregistered codes (529, 499) get a bare reason."""
    return STATUS_LINES.get(status) or b"HTTP/1.1 %d Status\r\n" % status


class SocketReply(Struct, eq=False):
    """`messages.Reply` over one `Connection`.

    After the last byte it lets go of the connection: a late write by a task that should have
    ended can never land in the next answer. `closing` is the header lines of an answer after which
    the connection is closed.
    """

    _connection: "Connection | None"
    _write: Callable[[bytes], None]
    _chunked: bool = False
    _remaining: int = -1
    started: bool = False
    bytes_sent: int = 0
    keep_alive: bool = True
    head_only: bool = False
    version_10: bool = False
    gone: bool = False
    probe: bytes = b""
    held_bytes: int = 0
    closing: bytes = b"connection: close\r\n"
    source: Source | None = None

    @property
    def ended(self) -> bool:
        """Nothing more can be written: finished, aborted, or the client is gone."""
        return self._connection is None

    def send(self, status: int, headers: bytes, body: bytes) -> None:
        """Write a whole answer."""
        connection = self._connection
        if connection is None:
            return
        self.started = True
        size = len(body)
        self.bytes_sent = size
        head = b"%b%b%b%bcontent-length: %d\r\n\r\n" % (
            STATUS_LINES.get(status) or status_line(status),
            connection.server.date,
            b""
            if self.keep_alive and not connection.last_reply and not self.version_10
            else self._persistence(connection),
            headers,
            size,
        )
        if self.head_only:
            self._write(head)
        elif size <= JOIN_BELOW:
            self._write(head + body)
        else:
            self._write(head)
            self._write(body)
        self._release(connection)

    def start(self, status: int, headers: bytes, length: int | None) -> None:
        """Write the head of an answer whose body follows piece by piece."""
        connection = self._connection
        if connection is None:
            return
        self.started = True
        if length is not None:
            self._remaining = length
            framing = b"content-length: %d\r\n\r\n" % length
        elif self.version_10:
            self.keep_alive = False
            framing = b"\r\n"
        else:
            self._chunked = True
            framing = b"transfer-encoding: chunked\r\n\r\n"
        persistence = self._persistence(connection)
        self._write(
            b"".join((status_line(status), connection.server.date, persistence, headers, framing))
        )

    def write(self, data: bytes) -> None:
        """Write one piece of the body."""
        if self._connection is None or not data or self.head_only:
            return
        size = len(data)
        self.bytes_sent += size
        if self._chunked:
            if size <= JOIN_BELOW:
                self._write(b"%x\r\n%b\r\n" % (size, data))
            else:
                self._write(b"%x\r\n" % size)
                self._write(data)
                self._write(b"\r\n")
        else:
            self._write(data)

    def end(self) -> None:
        """Finish the body. A body shorter than its announced length is an abort, never a finish."""
        connection = self._connection
        if connection is None:
            return
        if self.head_only:
            pass
        elif self._chunked:
            self._write(b"0\r\n\r\n")
        elif self._remaining >= 0 and self.bytes_sent != self._remaining:
            self.keep_alive = False
        self._release(connection)

    def abort(self) -> None:
        """Flush what was written and close without the end of the body."""
        connection = self._connection
        if connection is None:
            return
        self.keep_alive = False
        if self.started and self.version_10 and self._remaining < 0:
            # A body that ends where the connection does: only a reset shows that it did not.
            connection.kill(reset=True)
        self._release(connection)

    def attach(self, source: Source | None) -> None:
        """Pause `source` whenever the client is slower than it."""
        self.source = source
        if source is not None and self._connection is not None and self._connection.write_paused:
            source.pause()

    def detach(self) -> None:
        """The client is gone; nothing is written any more."""
        self._connection = None
        self.gone = True
        self.source = None

    def _persistence(self, connection: "Connection") -> bytes:
        if connection.last_reply:
            self.keep_alive = False
        if not self.keep_alive:
            return self.closing
        return b"connection: keep-alive\r\n" if self.version_10 else b""

    def _release(self, connection: "Connection") -> None:
        self._connection = None
        self.source = None
        connection.reply_done(self)
