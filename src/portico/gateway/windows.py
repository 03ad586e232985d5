"""How much a model can read: what the operator says, else what the catalogue knows."""

import asyncio

from portico.gateway.target import Target


class _Catalogue:
    """The catalogue takes a while to load, so the first question is asked in a thread."""

    __slots__ = ("_loaded",)

    def __init__(self) -> None:
        self._loaded = False

    async def window(self, kind: str, model: str) -> int | None:
        if self._loaded:
            return _look_up(kind, model)
        found = await asyncio.to_thread(_look_up, kind, model)
        self._loaded = True
        return found


def _look_up(kind: str, model: str) -> int | None:
    from portico.providers.windows import context_window

    return context_window(kind, model)


_CATALOGUE = _Catalogue()


async def window_of(target: Target, model: str) -> int | None:
    """Tokens that an upstream model can read, with what it writes; None if nobody knows."""
    if target.context_window is not None:
        return target.context_window
    return await _CATALOGUE.window(target.kind, model)
