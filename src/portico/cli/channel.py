"""What the supervisor and its workers say to each other, over a socket pair.

Frames are a 4-byte big-endian length and one msgpack message. Both ends are this program, so a
frame that does not decode is a defect and ends the conversation.
"""

import asyncio
import socket

import msgspec
from msgspec import Struct

from portico.cli.source import Source
from portico.model.targets import TargetView
from portico.observe.recent import RequestDetail, RequestQuery, RequestRow

MAX_FRAME = 64 * 1024 * 1024


class Start(Struct, frozen=True, tag=True):
    """Supervisor: serve this, on listeners shared with your siblings. `sealing_secret` is used
    where the configuration has no `sealingKey`: siblings must open each other's envelopes."""

    source: Source
    insecure: bool
    sealing_secret: str = ""


class AskSnapshot(Struct, frozen=True, tag=True):
    """Supervisor: send your metrics."""


class AskTargets(Struct, frozen=True, tag=True):
    """Supervisor: how are your targets? `number` comes back with the answer."""

    number: int


class AskRequests(Struct, frozen=True, tag=True):
    """Supervisor: which of your last requests match?"""

    number: int
    query: RequestQuery


class AskRequest(Struct, frozen=True, tag=True):
    """Supervisor: what became of this one?"""

    number: int
    id: str


class Reload(Struct, frozen=True, tag=True):
    """Supervisor: this text passed; swap to it."""

    text: str


class ReloadRefused(Struct, frozen=True, tag=True):
    """Supervisor: the file was bad, count it."""


class Drain(Struct, frozen=True, tag=True):
    """Supervisor: finish. `hurry` cuts a drain short."""

    hurry: bool


class Ready(Struct, frozen=True, tag=True):
    """Worker: every listener is bound."""


class Failed(Struct, frozen=True, tag=True):
    """Worker: could not start."""

    message: str


class Metrics(Struct, frozen=True, tag=True):
    """Worker: a metrics snapshot; sent when asked, every second, and at the end."""

    snapshot: bytes


class Targets(Struct, frozen=True, tag=True):
    """Worker: these are my targets."""

    number: int
    targets: list[TargetView]


class Requests(Struct, frozen=True, tag=True):
    """Worker: these match, newest first."""

    number: int
    rows: list[RequestRow]


class OneRequest(Struct, frozen=True, tag=True):
    """Worker: this is all I know of it; None if it is not remembered here."""

    number: int
    detail: RequestDetail | None


Question = AskTargets | AskRequests | AskRequest
Answer = Targets | Requests | OneRequest
ToWorker = Start | AskSnapshot | Question | Reload | ReloadRefused | Drain
FromWorker = Ready | Failed | Metrics | Answer

_encode = msgspec.msgpack.Encoder().encode
_to_worker = msgspec.msgpack.Decoder(ToWorker)
_from_worker = msgspec.msgpack.Decoder(FromWorker)


class Channel:
    """One end. `receive_*` return None at the end of the other side's life."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, end: socket.socket) -> "Channel":
        """A channel on a connected socket, which it owns from now on."""
        end.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=end, limit=MAX_FRAME)
        return cls(reader, writer)

    def send(self, message: ToWorker | FromWorker) -> None:
        """Queue one message. Sending to a dead peer is harmless."""
        if not self._writer.is_closing():
            payload = _encode(message)
            self._writer.write(len(payload).to_bytes(4, "big") + payload)

    async def receive_command(self) -> ToWorker | None:
        """The next message of the supervisor."""
        frame = await self._frame()
        return None if frame is None else _to_worker.decode(frame)

    async def receive_report(self) -> FromWorker | None:
        """The next message of a worker."""
        frame = await self._frame()
        try:
            return None if frame is None else _from_worker.decode(frame)
        except msgspec.DecodeError:
            return None

    async def flush(self) -> None:
        """Wait until what was sent has left this process."""
        try:
            await self._writer.drain()
        except ConnectionError:
            return

    def close(self) -> None:
        """Close this end."""
        self._writer.close()

    async def _frame(self) -> bytes | None:
        try:
            size = int.from_bytes(await self._reader.readexactly(4), "big")
            return await self._reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
