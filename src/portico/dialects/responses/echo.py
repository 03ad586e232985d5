"""What a response object repeats of its request: encoded once, used in every snapshot.

All members are there, whatever the client left out. What differs from what it sent: secrets of
tools are left out (OpenAI tells neither headers nor tokens, and of a server's address only the
host). `store` and `background` are true only where the body says so; whoever stores what a client
did not mention writes it into the body first. `conversation` is there for responses that are part
of one, as an object with its id.
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw

from portico.dialects.responses.wire import NULL, REQUIRED
from portico.wire.json import encode, one_line

_REPEATED = (
    "instructions", "max_output_tokens", "max_tool_calls", "metadata", "parallel_tool_calls",
    "presence_penalty", "frequency_penalty", "previous_response_id", "prompt_cache_key",
    "safety_identifier", "temperature", "tool_choice", "top_logprobs", "top_p", "truncation",
)  # fmt: skip
"""As the client wrote them, else what `wire.REQUIRED` says."""
_DEFAULTS = {name: encode(REQUIRED[name]) for name in _REPEATED}
_ROWS = {name: b'"%b":%b' % (name.encode(), value) for name, value in _DEFAULTS.items()}
_FOUND_OUT = frozenset(("tools", "text", "reasoning"))
_NOTHING_SAID = b'"tools":[],"text":%b,"reasoning":null' % encode(REQUIRED["text"])
_FLAGS = {
    (background, store): b'"background":%b,"store":%b,' % (background, store)
    for background in (b"true", b"false")
    for store in (b"true", b"false")
}
_OPTIONAL = ("user", "prompt_cache_retention")
SECRETS = frozenset(("authorization", "headers", "domain_secrets"))
"""Members of hosted tools, at any depth. openai-python 3.54: `Mcp`, and
`container_network_policy_allowlist.py`, 2026-11-21"""
REDACTED = "/<redacted>"

_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_array = msgspec.json.Decoder(list[Raw]).decode
_decode_any: Callable[[Raw], Any] = msgspec.json.Decoder().decode
_decode_text = msgspec.json.Decoder(str).decode
_HOST = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)(?:[^/?#@]*@)?([^/?#]*)(.*)", re.DOTALL)
_NULL = b"null"


def echo(fields: dict[str, Raw]) -> bytes:
    """The members, without braces, as one line. `fields` is a body of which at least the types of
    the top level were checked."""
    flags = _FLAGS[_flag(fields, "background"), _flag(fields, "store")]
    out = [flags + (_NOTHING_SAID if _FOUND_OUT.isdisjoint(fields) else _start(fields))]
    for name, row in _ROWS.items():
        raw = fields.get(name)
        if raw is None or bytes(raw) == _NULL:
            out.append(row)
        else:
            out.append(b'"%b":%b' % (name.encode(), one_line(raw)))
    for name in _OPTIONAL:
        raw = fields.get(name)
        if raw is not None and bytes(raw) != _NULL:
            out.append(b'"%b":%b' % (name.encode(), one_line(raw)))
    if "conversation" in fields:
        found = _conversation(fields["conversation"])
        if found:
            out.append(b'"conversation":{"id":%b}' % found)
    return b",".join(out)


def _flag(fields: dict[str, Raw], name: str) -> bytes:
    return b"true" if name in fields and bytes(fields[name]) == b"true" else b"false"


def _conversation(raw: Raw) -> bytes:
    """The id as JSON text, from either form of the parameter; `b""` where it is neither."""
    text = bytes(raw)
    if text[:1] == b"{":
        text = bytes(_decode_object(raw).get("id", b""))
    return text if text[:1] == b'"' else b""


def _start(fields: dict[str, Raw]) -> bytes:
    return b'"tools":%b,"text":%b,"reasoning":%b' % (
        _told(_tools, fields.get("tools", NULL)),
        _told(_text, fields.get("text", NULL)),
        _told(_reasoning, fields.get("reasoning", NULL)),
    )


def _told(tell: Callable[[Raw], bytes], raw: Raw) -> bytes:
    """The member as `tell` has it. Bodies that are relayed are not checked in depth: what is not of
    the documented shape is repeated as it came, without secrets; nothing is told of what holds
    numbers that no float can hold (1e999), for secrets could not be looked for."""
    for attempt in (tell, _as_it_came):
        try:
            return attempt(raw)
        except (ValueError, KeyError):
            continue
    return tell(NULL)


def _as_it_came(raw: Raw) -> bytes:
    return one_line(encode(_without_secrets(_decode_any(raw))))


def _text(raw: Raw) -> bytes:
    if bytes(raw) == _NULL:
        return b'{"format":{"type":"text"}}'
    text: dict[str, Any] = {
        name: value for name, value in _decode_object(raw).items() if bytes(value) != _NULL
    }
    if "format" not in text:
        return one_line(encode({"format": {"type": "text"}, **text}))
    given = _decode_object(text["format"])
    if _decode_text(given["type"]) == "json_schema":
        strict = given.pop("strict", NULL)
        false = bytes(strict) == _NULL
        text["format"] = {"description": None, **given, "strict": False if false else strict}
    return one_line(encode(text))


def _reasoning(raw: Raw) -> bytes:
    if bytes(raw) == _NULL:
        return _NULL
    given = _decode_object(raw)
    summary = given.pop("generate_summary", NULL)
    if bytes(given.get("summary", NULL)) == _NULL:
        given["summary"] = summary
    return one_line(encode({"effort": None, **given}))


def _tools(raw: Raw) -> bytes:
    if bytes(raw) == _NULL:
        return b"[]"
    return one_line(encode([_tool(one) for one in _decode_array(raw)]))


def _tool(raw: Raw) -> Any:
    tool = _decode_object(raw)
    kind = _decode_text(tool["type"])
    if kind == "function":
        return {"description": None, "parameters": None, "strict": None, **tool}
    if kind == "custom":
        return raw
    if kind == "namespace":
        return {**tool, "tools": [_tool(one) for one in _decode_array(tool["tools"])]}
    return _without_secrets(_decode_any(raw))


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _host(inner) if name == "server_url" else _without_secrets(inner)
            for name, inner in value.items()
            if name not in SECRETS
        }
    if isinstance(value, list):
        return [_without_secrets(inner) for inner in value]
    return value


def _host(url: Any) -> Any:
    """Scheme and host: the rest of a server's address is often as good as a key."""
    found = _HOST.fullmatch(url) if isinstance(url, str) else None
    if found is None:
        return REDACTED.lstrip("/")
    scheme, host, rest = found.groups()
    return f"{scheme}{host}{REDACTED}" if rest.strip("/") else f"{scheme}{host}"
