"""An application that does over a WebSocket what its client says, on a real server."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

from tests.support.websocket_client import Frames

from portico.errors import Forbidden, PorticoError
from portico.http.messages import Reply, Request, Socket, SocketClosed
from portico.http.server import HttpServer
from portico.limits import Deadlines, Limits


class Events:
    """Counts what the server tells."""

    def __init__(self) -> None:
        self.opened = self.closed = 0
        self.limits: list[str] = []

    def connections_opened(self) -> None:
        self.opened += 1

    def connections_closed(self) -> None:
        self.closed += 1

    def http_rejected(self, reason: str) -> None: ...

    def limit_hit(self, limit: str) -> None:
        self.limits.append(limit)


class Tap:
    """A `Source` that remembers whether it is paused."""

    paused = False
    pauses = 0

    def pause(self) -> None:
        self.paused = True
        self.pauses += 1

    def resume(self) -> None:
        self.paused = False


class Talker:
    """Paths: `/ws` takes a WebSocket, `/secret` refuses every head, all others are plain.

    Messages: `hang`, `crash`, `bye CODE`, `send COUNT SIZE` (waits for the slow), `pour COUNT SIZE`
    (does not), `sleep SECONDS`; all others are echoed.
    """

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.ended: list[int | str] = []
        self.sockets: list[Socket] = []
        self.tap = Tap()
        self.go = asyncio.Event()

    def admit(self, request: Request) -> PorticoError | None:
        if request.target == b"/secret":
            return Forbidden("Not for you.")
        request.upgrade = request.target == b"/ws" and b"upgrade" in request.headers
        return None

    def refuse(self, request: Request | None, reply: Reply, error: PorticoError) -> None:
        reply.send(error.http_status, b"", str(error.code).encode())

    async def handle(self, request: Request, reply: Reply) -> None:
        if request.target == b"/slow":
            await self.go.wait()
        reply.send(200, b"", request.target)

    async def converse(self, request: Request, socket: Socket) -> None:
        self.sockets.append(socket)
        socket.attach(self.tap)
        try:
            while True:
                message = await socket.receive()
                self.taken.append(message)
                await self._obey(message, socket)
        except SocketClosed as end:
            self.ended.append(end.code)
            raise
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            socket.send(b"last word")
            raise

    async def _obey(self, message: str, socket: Socket) -> None:
        verb, *args = message.split(" ") if len(message) < 100 else [message]
        if verb == "hang":
            await asyncio.Event().wait()
        elif verb == "wait":
            await self.go.wait()
        elif verb == "crash":
            raise ZeroDivisionError("on purpose")
        elif verb == "bye":
            socket.close(int(args[0]), "as told")
        elif verb in ("send", "pour"):
            for _ in range(int(args[0])):
                socket.send(b"x" * int(args[1]))
                if verb == "send":
                    await socket.drained()
            socket.send(b"done")
        else:
            socket.send(message.encode())


class Talking:
    """A running server with a `Talker`."""

    def __init__(self, server: HttpServer, talker: Talker, events: Events, port: int) -> None:
        self.server = server
        self.talker = talker
        self.events = events
        self.port = port

    @classmethod
    async def start(cls, *, tls: ssl.SSLContext | None = None, **changes: Any) -> "Talking":
        """Limits and deadlines by their field names."""
        talker, events = Talker(), Events()
        server = HttpServer(
            talker,
            limits=Limits(**{k: v for k, v in changes.items() if k in Limits.__struct_fields__}),
            deadlines=Deadlines(
                **{k: v for k, v in changes.items() if k in Deadlines.__struct_fields__}
            ),
            events=events,
        )
        listener = await server.listen(tls=tls)
        return cls(server, talker, events, listener.port)

    async def open(self, **options: Any) -> Frames:
        """A connection that is a WebSocket already."""
        client = await Frames.connect(self.port, **options)
        assert (await client.shake("/ws")).status == 101
        return client

    def quiet(self) -> bool:
        """Nothing is open, nothing is held, nobody works."""
        server = self.server
        idle = not server.connections and not server.buffered_bytes and not server.sweeper.members
        return idle and self.events.opened == self.events.closed

    async def stop(self) -> None:
        """Cut what is open. Nothing may be left."""
        await self.server.close()
        await settled(self.quiet)


async def settled(check: Callable[[], bool], within: float = 5.0) -> None:
    """Return once `check` holds. Raises AssertionError when late."""
    loop = asyncio.get_running_loop()
    until = loop.time() + within
    while not check():
        assert loop.time() < until, "it never came true"
        await asyncio.sleep(0.01)
