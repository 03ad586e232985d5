"""What the admin listener asks of the gateway. The composition root implements it."""

from typing import Generic, Protocol, TypeVar

from msgspec import Struct

from portico.model.targets import TargetView
from portico.observe.recent import RequestDetail, RequestQuery, RequestRow

T = TypeVar("T")


class Told(Struct, Generic[T], frozen=True):
    """What the workers said, by their numbers; `silent` are those that did not answer in time."""

    by_worker: dict[int, T]
    silent: tuple[int, ...] = ()


class AdminPort(Protocol):
    """Everything behind the admin pages. Nothing here may call a provider."""

    async def snapshots(self) -> list[bytes]:
        """`Metrics.snapshot` of every worker (and of `Retired`)."""
        ...

    async def targets(self) -> Told[list[TargetView]]:
        """The targets of every worker."""
        ...

    async def requests(self, query: RequestQuery) -> Told[list[RequestRow]]:
        """The last requests of every worker that match, newest first."""
        ...

    async def request(self, id: str) -> Told[RequestDetail | None]:
        """One request, from the worker that remembers it."""
        ...

    def ready(self) -> tuple[bool, str]:
        """Whether new requests are welcome, and if not, why."""
        ...

    def live(self) -> tuple[bool, str]:
        """Whether the process works at all, and if not, why. No I/O."""
        ...

    def config_dump(self) -> dict[str, object]:
        """The effective configuration. Secrets may be in it: the page masks them."""
        ...
