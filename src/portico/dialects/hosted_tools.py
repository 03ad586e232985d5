"""What a hosted tool was told that the target's tool cannot be told."""

from collections.abc import Collection

import msgspec
from msgspec import Raw

from portico.model.losses import Loss, Losses
from portico.model.tools import HostedTool

_decode = msgspec.json.Decoder(dict[str, Raw]).decode
_SAY_NOTHING = frozenset((b"null", b"[]", b"{}", b'{"type":"auto"}', b'{"type": "auto"}'))
_NAMES = frozenset(("type", "name", "cache_control"))


def settings(tool: HostedTool) -> dict[str, Raw]:
    """The members of the tool as the client wrote it, but those that say what it is."""
    try:
        members = _decode(tool.native[1])
    except (ValueError, RecursionError):
        return {}
    return {
        name: value
        for name, value in members.items()
        if name not in _NAMES and bytes(value) not in _SAY_NOTHING
    }


def declare_rest(tool: HostedTool, where: str, carried: Collection[str], losses: Losses) -> None:
    """Declare every setting whose name is not in `carried`. `where` is the tool's path."""
    for name in settings(tool):
        if name not in carried:
            losses.append(
                Loss(f"{where}.{name[:64]}", "dropped", "not known to this provider's tool")
            )
