"""The one error of the store, with its two reasons."""

from portico.state.port import StoreUnavailable


def unavailable(debug: str) -> StoreUnavailable:
    """The error for the caller, with the reason for the log."""
    return StoreUnavailable("The store of responses is not available right now.", debug=debug)


def overloaded() -> StoreUnavailable:
    """The error when more waits for the database than it is good to hold."""
    return StoreUnavailable(
        "The store of responses cannot keep up right now.",
        code="overloaded",
        debug="too many operations wait for the database",
    )
