"""What the admin listener asks of the gateway. The composition root implements it."""

from typing import Protocol


class AdminPort(Protocol):
    """Everything behind the admin pages. Nothing here may call a provider."""

    async def snapshots(self) -> list[bytes]:
        """`Metrics.snapshot` of every worker (and of `Retired`)."""
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
