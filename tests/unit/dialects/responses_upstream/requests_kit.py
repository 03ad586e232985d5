"""What the tests of requests share."""

import json
from collections.abc import Iterable
from typing import Any

from msgspec import Raw
from openai.types.responses import ResponseCreateParams
from pydantic import TypeAdapter

from portico.dialects.responses.maps import capabilities
from portico.dialects.responses.upstream import UPSTREAM
from portico.dialects.translate import Upstream
from portico.model.items import (
    Item,
    Message,
)
from portico.model.losses import Loss, Losses
from portico.model.parts import (
    Text,
)
from portico.model.request import GenerateRequest

_PARAMS: TypeAdapter[Any] = TypeAdapter(ResponseCreateParams)
SCHEMA = Raw(b'{"type":"object","properties":{"a":{"type":"string"}}}')
STRICT = Raw(
    b'{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],'
    b'"additionalProperties":false}'
)


def check(written: dict[str, Any]) -> None:
    """Raise unless the SDK's types take it. They check arrays only as these are read."""
    _read(_PARAMS.validate_python(written))


def _read(value: Any) -> None:
    if isinstance(value, dict):
        value = value.values()
    elif isinstance(value, str) or not isinstance(value, Iterable):
        return
    for part in value:
        _read(part)


def at(model: str = "gpt-5.4", **more: Any) -> Upstream:
    return Upstream(
        model=model, provider="openai", origin="openai-1", capabilities=capabilities(model), **more
    )


def user(*parts: Any) -> Message:
    return Message("user", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def said(text: str) -> Message:
    return Message("assistant", (Text(text),))


def ask(*items: Item, dialect: str = "chat", **more: Any) -> GenerateRequest:
    return GenerateRequest(model="alias", dialect=dialect, items=items or (user("Hi"),), **more)


def body(
    request: GenerateRequest, upstream: Upstream | None = None, *, valid: bool = True
) -> tuple[dict[str, Any], list[Loss]]:
    losses: Losses = []
    written = json.loads(UPSTREAM.write(request, upstream or at(), losses))
    if valid:
        check(written)
    return written, losses


def inputs(*items: Item, dialect: str = "chat", upstream: Upstream | None = None,
           valid: bool = True) -> tuple[list[dict[str, Any]], list[Loss]]:  # fmt: skip
    written, losses = body(ask(*items, dialect=dialect), upstream, valid=valid)
    return written["input"], losses
