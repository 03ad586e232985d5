"""Writing no faster than the client reads."""

import asyncio
from typing import TYPE_CHECKING

from portico.gateway.call import Call
from portico.http.messages import Reply

if TYPE_CHECKING:
    from portico.gateway.engine import Gateway

AT_ONCE = 256 * 1024
"""Bodies up to this size are written in one go."""
PIECE = 64 * 1024


class Pace:
    """A `Source` of which only its pauses matter."""

    __slots__ = ("_resumed",)

    def __init__(self) -> None:
        self._resumed = asyncio.Event()
        self._resumed.set()

    def pause(self) -> None:
        """The client takes no more for now."""
        self._resumed.clear()

    def resume(self) -> None:
        """It does again."""
        self._resumed.set()

    async def ready(self) -> None:
        """Wait until the client takes more."""
        await self._resumed.wait()


async def send_body(
    gateway: "Gateway", call: Call, reply: Reply, headers: bytes, body: bytes
) -> None:
    """Send a whole body out of the database. A large one is counted until the client has it:
    clients that do not read would hold any number of them. Raises `Overloaded`."""
    size = len(body)
    if size <= AT_ONCE:
        reply.send(200, headers, body)
        return
    gateway.account(call, size)
    pace = Pace()
    reply.start(200, headers, size)
    reply.attach(pace)
    for at in range(0, size, PIECE):
        await pace.ready()
        reply.write(body[at : at + PIECE])
    reply.end()
