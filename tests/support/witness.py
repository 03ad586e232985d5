"""Whether anything of a client's request was lost in silence.

Every string and number of the request has to be in the provider's request, or be covered by a
declared loss, or be on a list here that says why it need not be.
"""

import json
import re
from base64 import b64decode, b64encode
from typing import Any

from portico.model.losses import Loss

Json = Any

STRUCTURE = frozenset(("type", "role", "status", "object"))
"""Members whose values are words of the dialect, not of the client."""

VAGUE = frozenset(("input", "messages", "tools"))
"""Paths of losses that do not say which item: they cover nothing here."""

Row = tuple[str, str, str, str]

ALLOWED: tuple[Row, ...] = (
    # client, upstream, path, why
    ("*", "*", "model", "the target has a model of its own"),
    ("*", "*", "stream*", "the gateway asks for usage in every stream"),
    ("*", "*", "*.id", "items get ids of this answer; calls go by call_id"),
    ("*", "*", "include[*]", "what the answer shows; the gateway always asks for it"),
    ("*", "*", "tool_choice", "auto is what happens anyway"),
    ("*", "*", "tool_choice.mode", "auto is what happens anyway"),
    ("*", "*", "*.format.name", "a label"),
    ("*", "*", "*.json_schema.name", "a label"),
    ("*", "*", "*.phase", "a hint for OpenAI's own models"),
    ("*", "*", "*.detail", "auto is what happens anyway; other values are declared"),
    ("*", "*", "client_metadata*", "Codex sends it to every server"),
    # marks and lifetimes of prompt caches change the bill, never the answer
    ("*", "*", "*.cache_control.ttl", "these providers cache by themselves"),
    ("*", "*", "*prompt_cache_breakpoint.mode", "these providers cache by themselves"),
    ("*", "*", "prompt_cache_retention", "these providers cache by themselves"),
    ("*", "*", "caching", "these providers cache by themselves"),
    # the same in other words
    ("responses", "*", "reasoning.summary", "every summary is one to others"),
    ("*", "messages", "reasoning*effort", "a budget of tokens to these models"),
    ("*", "converse", "reasoning*effort", "a budget of tokens to these models"),
    ("messages", "*", "messages[1].content[0].name", "too long elsewhere; calls get it back"),
    ("messages", "*", "thinking.display", "a summary, in OpenAI's and Gemini's words"),
    ("messages", "*", "service_tier", "standard_only is default"),
    ("messages", "*", "*.source.media_type", "formats and file types of other names"),
    ("messages", "*", "tools[*].name", "hosted tools have other names elsewhere"),
    ("messages", "*", "tools[*].mcp_server_name", "declared with the server"),
    ("*", "converse", "*.filename", "names of documents may hold few characters there"),
    ("messages", "converse", "*.title", "names of documents may hold few characters there"),
    ("responses", "messages", "tools[*].require_approval", "nobody asks there; others are refused"),
)
"""What need not go upstream, or not in the client's words."""

WHOLE: tuple[Row, ...] = (
    # client, upstream, pattern of the path, words of the loss that says it of the whole history
    ("responses", "*", r"tools\[2\]\.description", "namespaces became prefixes"),
    ("responses", "*", r"tools\[1\]\.tools\[1\]\..*", "only the allowed tools"),
    ("responses", "messages", r"tools\[5\]\.container.*", "containers are made"),
    ("responses", "messages", r"input\[(1[1-9]|2[0-6])\].*", "an earlier"),
    ("responses", "gemini", r"input\[(1[1-9]|2[0-6])\].*", "cannot be replayed"),
    ("responses", "converse", r"input\[(1[1-9]|2[0-6])\].*", "provider's own"),
    ("responses", "messages", r"input\[27\].*", "folded part"),
    ("responses", "*", r"input\[27\].*", "compaction of another provider"),
    ("*", "gemini", r".*\.(filename|title)", "files have no names"),
    ("*", "*", r".*\.(annotations|citations)\[.*", "citations of a"),
    ("chat", "*", r"messages\[.*\]\.name", "name"),
    ("chat", "*", r".*\.reasoning_content", "reasoning without"),
    ("messages", "*", r"messages\[1\]\.content\[[01]\]\..*", "reasoning of another"),
    ("messages", "gemini", r"messages\[1\]\.content\[[3-6]\].*", "cannot be replayed"),
    ("messages", "*", r"messages\[1\]\.content\[[3-6]\].*", "was (told|restated) "),
)


def silent(
    client: str,
    upstream: str,
    asked: Json,
    sent: Json,
    losses: list[Loss],
) -> list[str]:
    """The leaves that went nowhere, as `path = value`."""
    text = "\n".join(_texts(sent)).lower()
    numbers = {float(value) for value in _numbers(sent)}
    said = [_pattern(loss.path) for loss in losses if loss.path not in VAGUE]
    out = []
    for path, value in leaves(asked):
        allowed = any(
            _fits(one, client) and _fits(other, upstream) and _fits(where, path)
            for one, other, where, _ in ALLOWED
        )
        if allowed or path.rpartition(".")[2] in STRUCTURE:
            continue
        if isinstance(value, str):
            found = all(any(form.lower() in text for form in forms) for forms in _forms(value))
        else:
            found = float(value) in numbers or str(value) in text
        if not found and not any(pattern.match(path) for pattern in said) and not any(
            _fits(one, client) and _fits(other, upstream) and re.fullmatch(where, path)
            and any(re.search(words, loss.reason) for loss in losses)
            for one, other, where, words in WHOLE
        ):  # fmt: skip
            out.append(f"{path} = {json.dumps(value, ensure_ascii=False)[:80]}")
    return out


def leaves(value: Json, path: str = "") -> list[tuple[str, str | int | float]]:
    """(path, value) of every string and number."""
    if isinstance(value, dict):
        return [
            leaf
            for key, inner in value.items()
            for leaf in leaves(inner, f"{path}.{key}" if path else key)
        ]
    if isinstance(value, list):
        return [leaf for at, inner in enumerate(value) for leaf in leaves(inner, f"{path}[{at}]")]
    if isinstance(value, bool) or value is None:
        return []
    return [(path, value)]


def _fits(pattern: str, text: str) -> bool:
    """`*` stands for anything, brackets for themselves."""
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), text) is not None


def _pattern(path: str) -> re.Pattern[str]:
    """A loss covers its path and all below."""
    return re.compile(re.escape(path) + r"(?=$|[.\[])")


def _forms(value: str) -> list[tuple[str, ...]]:
    """Of each piece of a string, the forms it may have: of JSON text its leaves, of a data URL its
    data, or the text that it holds."""
    if value.startswith("data:"):
        data = value.partition(",")[2]
        return [(data, b64decode(data).decode(errors="replace"))]
    if value.startswith("{"):
        try:
            return [(str(inner),) for _, inner in leaves(json.loads(value))]
        except ValueError:
            pass
    return [(value, b64encode(value.encode()).decode())]


def _texts(value: Json) -> list[str]:
    if isinstance(value, dict):
        inner = [text for one in value.values() for text in _texts(one)]
        return [*value, *inner]
    if isinstance(value, list):
        return [text for one in value for text in _texts(one)]
    return [value] if isinstance(value, str) else []


def _numbers(value: Json) -> list[float]:
    return [leaf for _, leaf in leaves(value) if not isinstance(leaf, str)]
