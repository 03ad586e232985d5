"""The dialects of the translate lane, by name: three that clients speak, five that providers do."""

from collections.abc import Callable
from functools import lru_cache

from msgspec import Struct

from portico.dialects.chat.client import CLIENT as CHAT_CLIENT
from portico.dialects.chat.upstream import UPSTREAM as CHAT_UPSTREAM
from portico.dialects.chat.upstream import capabilities_for as chat_capabilities
from portico.dialects.converse.upstream import UPSTREAM as CONVERSE_UPSTREAM
from portico.dialects.gemini.maps import vertex_capabilities
from portico.dialects.gemini.upstream import UPSTREAM as GEMINI_UPSTREAM
from portico.dialects.messages.client import CLIENT as MESSAGES_CLIENT
from portico.dialects.messages.upstream import UPSTREAM as MESSAGES_UPSTREAM
from portico.dialects.messages.upstream import betas
from portico.dialects.responses.client import CLIENT as RESPONSES_CLIENT
from portico.dialects.responses.upstream import UPSTREAM as RESPONSES_UPSTREAM
from portico.dialects.translate import ClientSide, Upstream, UpstreamSide
from portico.model.capabilities import Capabilities
from portico.model.request import GenerateRequest

CLIENTS: dict[str, ClientSide] = {
    side.name: side for side in (RESPONSES_CLIENT, CHAT_CLIENT, MESSAGES_CLIENT)
}


class Uplink(Struct, frozen=True):
    """A dialect of providers, with what depends on who the provider is.

    `capabilities(provider kind, model)`; `headers(request)` are header lines that features of the
    request need; `shared(model)` are dialects whose sealed values this one understands besides its
    own. `portable`: sealed values are good for every account at the provider's place, so that they
    outlive the operator's key.
    """

    side: UpstreamSide
    capabilities: Callable[[str, str], Capabilities]
    headers: Callable[[GenerateRequest], bytes]
    shared: Callable[[str], tuple[str, ...]]
    portable: bool = False

    def upstream(self, kind: str, origin: str, quirks: frozenset[str], model: str) -> Upstream:
        """What encoder and decoder need to know of a target."""
        return _upstream(self.side.name, kind, origin, quirks, model)

    def origins(self, upstream: Upstream) -> frozenset[str]:
        """Whose sealed values the target may have back."""
        return _origins(self.side.name, upstream.origin, upstream.model)


def _of_model(side: UpstreamSide) -> Callable[[str, str], Capabilities]:
    return lambda kind, model: side.capabilities(model)


def _gemini(kind: str, model: str) -> Capabilities:
    return (vertex_capabilities if kind == "vertex" else GEMINI_UPSTREAM.capabilities)(model)


def _no_headers(request: GenerateRequest) -> bytes:
    return b""


def _beta_headers(request: GenerateRequest) -> bytes:
    """https://platform.claude.com/docs/en/api/beta-headers (2026-11-21)"""
    tokens = betas(request)
    return f"anthropic-beta: {','.join(tokens)}\r\n".encode("ascii") if tokens else b""


def _none(model: str) -> tuple[str, ...]:
    return ()


def _claude(model: str) -> tuple[str, ...]:
    """Anthropic says that signatures are valid on all platforms that serve Claude:
    https://platform.claude.com/docs/en/build-with-claude/extended-thinking (2026-11-21)"""
    return ("messages",) if "claude" in model else ()


UPSTREAMS: dict[str, Uplink] = {
    "responses": Uplink(RESPONSES_UPSTREAM, _of_model(RESPONSES_UPSTREAM), _no_headers, _none),
    "chat": Uplink(CHAT_UPSTREAM, chat_capabilities, _no_headers, _none),
    "messages": Uplink(MESSAGES_UPSTREAM, _of_model(MESSAGES_UPSTREAM), _beta_headers, _none, True),
    "gemini": Uplink(GEMINI_UPSTREAM, _gemini, _no_headers, _none),
    "converse": Uplink(CONVERSE_UPSTREAM, _of_model(CONVERSE_UPSTREAM), _no_headers, _claude, True),
}


@lru_cache(maxsize=512)
def _upstream(dialect: str, kind: str, origin: str, quirks: frozenset[str], model: str) -> Upstream:
    return Upstream(
        model=model,
        provider=kind,
        origin=f"{dialect}/{origin}",
        capabilities=UPSTREAMS[dialect].capabilities(kind, model),
        quirks=quirks,
    )


@lru_cache(maxsize=512)
def _origins(dialect: str, origin: str, model: str) -> frozenset[str]:
    shared = UPSTREAMS[dialect].shared(model)
    return frozenset((origin, f"native:{dialect}", *(f"native:{name}" for name in shared)))
