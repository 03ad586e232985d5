"""`context_management`, and the item that asks for a compaction at once.

Source: openai-python 3.54, `ResponseCreateParams.ContextManagement`;
https://platform.openai.com/docs/guides/compaction (2026-11-21).
"""

import msgspec
from msgspec import Raw, Struct

from portico.dialects import checks
from portico.errors import BadRequest
from portico.model.items import Hosted
from portico.model.request import GenerateRequest

PARAMETER = "context_management"
TRIGGER = "compaction_trigger"
LEAST = 1000
_TYPES = ("compaction",)


class ContextAsk(Struct, frozen=True):
    """When to compact: over `threshold` input tokens (None: the gateway decides)."""

    threshold: int | None


class _Entry(Struct):
    type: str | None = None
    compact_threshold: int | None = None


_decode = msgspec.json.Decoder(list[_Entry] | None).decode


def read_context(fields: dict[str, Raw]) -> ContextAsk | None:
    """What the request asks for; None for nothing. Raises `BadRequest` naming the member."""
    raw = fields.get(PARAMETER)
    if raw is None:
        return None
    try:
        entries = _decode(raw)
    except ValueError as error:
        text = str(error).replace("`$", f"`$.{PARAMETER}")
        raise checks.bad_field(ValueError(text)) from None
    asked: ContextAsk | None = None
    for index, entry in enumerate(entries or ()):
        path = f"{PARAMETER}[{index}]"
        if entry.type is None:
            raise checks.missing_parameter(f"{path}.type")
        checks.check_choice(f"{path}.type", entry.type, _TYPES)
        checks.check_range(f"{path}.compact_threshold", entry.compact_threshold, LEAST, None)
        if asked is not None:
            raise BadRequest(
                f"Invalid '{path}': there is one already.", code="invalid_value", param=path
            )
        asked = ContextAsk(entry.compact_threshold)
    return asked


def triggered(request: GenerateRequest) -> bool:
    """Whether the last item asks for a compaction. Raises `BadRequest` for one that is not last."""
    last = len(request.items) - 1
    for index, item in enumerate(request.items):
        if isinstance(item, Hosted) and item.type == TRIGGER:
            if index < last:
                raise BadRequest(
                    f"Invalid 'input[{index}]': '{TRIGGER}' has to be the last item.",
                    code="invalid_value",
                    param=f"input[{index}]",
                )
            return True
    return False
