"""What the data plane tells whoever counts. `observe.metrics.Metrics` implements it."""

from typing import Protocol


class HttpEvents(Protocol):
    """Called synchronously from the protocol classes; must be cheap and must not raise."""

    def connections_opened(self) -> None:
        """A client connection was accepted."""

    def connections_closed(self) -> None:
        """It is gone."""

    def http_rejected(self, reason: str) -> None:
        """A request was refused before it reached the application (bad HTTP)."""

    def limit_hit(self, limit: str) -> None:
        """A named limit or deadline was hit."""


class NullEvents:
    """Counts nothing."""

    def connections_opened(self) -> None:
        """Ignore."""

    def connections_closed(self) -> None:
        """Ignore."""

    def http_rejected(self, reason: str) -> None:
        """Ignore."""

    def limit_hit(self, limit: str) -> None:
        """Ignore."""
