"""Models that a request names besides the one it asks for.

A key that may use some models only must not reach others through another field. These have been
seen to take a model: top-level lists of fallbacks, the model of a hosted tool (OpenAI's image
generation, and the author of its SVG; Anthropic's advisor), and tools that come later: inside a
namespace, in `additional_tools` and in what a tool search found.
https://platform.openai.com/docs/guides/tools-image-generation, openai-python 3.54 and
anthropic-python 2.12, `BetaAdvisorTool20260301Param` (2026-11-21).
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Raw, Struct

from portico.errors import BadRequest, Forbidden
from portico.policy.auth import Caller

NAME_MODELS = frozenset(("models", "fallbacks", "preset", "plugins"))
"""Fields in which some providers take further model names: OpenRouter's `models`, `preset` and
`plugins` (https://openrouter.ai/docs/features/model-routing), Anthropic's beta `fallbacks`;
2026-11-21."""

_SCHEMAS = frozenset(("parameters", "input_schema", "format", "schema", "output_schema"))
"""Members of tools that hold the caller's own names, not settings."""


class _Item(Struct, gc=False):
    tools: Raw = Raw(b"null")


_decode = msgspec.json.Decoder().decode
_decode_items = msgspec.json.Decoder(list[_Item] | str | None).decode


def refuse_further_models(fields: dict[str, Raw], caller: Caller) -> None:
    """Raise `Forbidden` for a model the caller may not use, `BadRequest` for what hides one."""
    for name in fields:
        if name in NAME_MODELS or (name.casefold() in NAME_MODELS):
            raise Forbidden(
                f"This key is limited to certain models and may not send '{name}'.", param=name
            )
    tools = fields.get("tools")
    if tools is not None:
        _check(tools, "tools", caller)
    given = fields.get("input")
    if given is not None:
        try:
            items = _decode_items(given)
        except (msgspec.DecodeError, RecursionError):
            raise _unreadable("input") from None
        for item in items if isinstance(items, list) else ():
            if item.tools != b"null":
                _check(item.tools, "input", caller)


def _check(tools: Raw, param: str, caller: Caller) -> None:
    try:
        value = _decode(tools)
    except (msgspec.DecodeError, RecursionError):
        raise _unreadable(param) from None
    if not isinstance(value, list | None):
        raise _unreadable(param)
    for model in _models(value):
        if not isinstance(model, str):
            raise _unreadable(param)
        if not caller.may_use(model):
            raise Forbidden("This key may not use the model of one of the tools.", param=param)


def _models(tools: Any) -> Iterator[Any]:
    """What stands under `model` anywhere in the settings of tools, null apart."""
    todo = [tools]
    while todo:
        value = todo.pop()
        if isinstance(value, list):
            todo.extend(value)
        elif isinstance(value, dict):
            for name, inner in value.items():
                if name.casefold() == "model":
                    if inner is not None:
                        yield inner
                elif name not in _SCHEMAS:
                    todo.append(inner)


def _unreadable(param: str) -> BadRequest:
    return BadRequest(f"Invalid '{param}': its models cannot be read.", param=param)
