"""The demo provider on a socket of its own."""

from portico.demo.provider import DemoProvider
from portico.http.server import HttpServer
from portico.limits import Deadlines, Limits

__all__ = ["RunningDemo", "start_demo"]


class RunningDemo:
    """A listening demo provider. `url` has no trailing slash and no `/v1`."""

    __slots__ = ("_server", "port", "provider", "url")

    def __init__(self, server: HttpServer, provider: DemoProvider, host: str, port: int) -> None:
        self._server = server
        self.provider = provider
        self.port = port
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"

    @property
    def open_connections(self) -> int:
        """How many clients are connected."""
        return len(self._server.connections)

    async def stop(self) -> None:
        """Close the listener and every connection."""
        await self._server.close()


async def start_demo(
    host: str = "127.0.0.1", port: int = 0, *, provider: DemoProvider | None = None
) -> RunningDemo:
    """Serve the demo models on `host`; port 0 takes a free one."""
    provider = provider or DemoProvider()
    server = HttpServer(provider, limits=Limits(), deadlines=Deadlines())
    listener = await server.listen(host=host, port=port)
    return RunningDemo(server, provider, host, listener.port)
