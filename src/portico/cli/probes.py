"""What comes out of a translation, for what no table says alone: reasoning efforts, hosted tools.

A small request goes through the passes and the encoder, and its body is looked at.
"""

from typing import Any

import msgspec
from msgspec import Raw

from portico.dialects.translators import CLIENTS, UPSTREAMS
from portico.errors import BadRequest
from portico.limits import Limits
from portico.model.items import Message
from portico.model.losses import Losses
from portico.model.parts import Text
from portico.model.passes.fit import fit
from portico.model.request import GenerateRequest, ReasoningAsk


def _translated(dialect: str, kind: str, model: str, wanted: GenerateRequest) -> tuple[Any, Losses]:
    """The upstream body of a request as values, and what was lost. Raises `BadRequest`."""
    uplink = UPSTREAMS[dialect]
    upstream = uplink.upstream(kind, kind, frozenset(), model)
    losses: Losses = []
    fitted = fit(wanted, upstream.capabilities, uplink.origins(upstream), losses)
    return msgspec.json.decode(uplink.side.write(fitted.request, upstream, losses)), losses


_THOUGHT = ("reasoning", "reasoning_effort", "thinking", "output_config", "generationConfig",
            "additionalModelRequestFields", "outputConfig")  # fmt: skip
_NOISE = frozenset(("enabled", "includeThoughts"))


def effort(dialect: str, kind: str, model: str, level: str) -> str:
    """What is sent for an effort, in few words; `-` for nothing."""
    hello = (Message("user", (Text("hello"),)),)
    plain = GenerateRequest(model=model, dialect="responses", items=hello)
    asked = GenerateRequest(
        model=model, dialect="responses", items=hello,
        reasoning=ReasoningAsk(effort=level),  # type: ignore[arg-type]
    )  # fmt: skip
    before, _ = _translated(dialect, kind, model, plain)
    after, losses = _translated(dialect, kind, model, asked)
    found: list[str] = []
    for name in _THOUGHT:
        if name in after and after[name] != before.get(name):
            found.extend(_leaves(after[name], before.get(name)))
    text = " ".join(dict.fromkeys(value for value in found if value not in _NOISE)) or "-"
    return text + ("\\*" if losses else "")


def _leaves(value: Any, known: Any) -> list[str]:
    if value == known:
        return []
    if isinstance(value, dict):
        under = known if isinstance(known, dict) else {}
        return [leaf for name, each in value.items() if name != "includeThoughts"
                for leaf in _leaves(each, under.get(name))]  # fmt: skip
    return [str(value)]


_SERVER = {"server_label": "docs", "server_url": "https://mcp.example.com/mcp"}
HOSTED: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("responses", "`web_search`", {"tools": [{"type": "web_search"}]}),
    ("responses", "`file_search`", {"tools": [{"type": "file_search", "vector_store_ids": ["v"]}]}),
    ("responses", "`code_interpreter`",
     {"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}),
    ("responses", "`image_generation`", {"tools": [{"type": "image_generation"}]}),
    ("responses", "`mcp`",
     {"tools": [{"type": "mcp", **_SERVER, "require_approval": "never"}]}),
    ("responses", "`shell`", {"tools": [{"type": "shell", "environment": {"type": "local"}}]}),
    ("chat", "`web_search_options`", {"web_search_options": {}}),
    ("messages", "`web_search_20250305`",
     {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
    ("messages", "`web_fetch_20250910`",
     {"tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]}),
    ("messages", "`code_execution_20250825`",
     {"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]}),
    ("messages", "`mcp_servers`",
     {"mcp_servers": [{"type": "url", "name": "docs", "url": "https://mcp.example.com/mcp"}],
      "tools": [{"type": "mcp_toolset", "mcp_server_name": "docs"}]}),
    ("messages", "`bash_20250124`", {"tools": [{"type": "bash_20250124", "name": "bash"}]}),
    ("messages", "`memory_20250818`", {"tools": [{"type": "memory_20250818", "name": "memory"}]}),
)  # fmt: skip
"""Client dialect, how the tool is called there, and the members of a request that offers it."""

TARGETS = (
    ("responses", "openAI", "gpt-5.5", "OpenAI, Responses"),
    ("messages", "anthropic", "claude-sonnet-4-5", "Claude, Messages"),
    ("gemini", "gemini", "gemini-3-pro", "Gemini 3"),
    ("converse", "bedrock", "amazon.nova-2-lite-v1:0", "Nova 2, Converse"),
    ("converse", "bedrock", "anthropic.claude-sonnet-4-5", "Claude, Converse"),
    ("chat", "openrouter", "x/y", "OpenRouter, Chat"),
    ("chat", "custom", "x", "other Chat"),
)
"""Dialect, kind, model and title of the columns of the table of hosted tools."""

_BODIES: dict[str, dict[str, Any]] = {
    "responses": {"model": "m", "input": "hello"},
    "chat": {"model": "m", "messages": [{"role": "user", "content": "hello"}]},
    "messages": {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]},
}
_members = msgspec.json.Decoder(dict[str, Raw]).decode


def hosted_tool(client: str, members: dict[str, Any], dialect: str, kind: str, model: str) -> str:
    """What becomes of a hosted tool: the provider's name for it, or that it is left out."""
    if client == dialect:
        return "as it is"
    body = msgspec.json.encode({**_BODIES[client], **members})
    try:
        wanted = CLIENTS[client].read(_members(body), body, Limits(), lambda text: None)
        sent, losses = _translated(dialect, kind, model, wanted)
    except BadRequest:
        return "400"
    name = _native(sent)
    if not name:
        return "left out"
    return f"`{name}`" + ("\\*" if losses else "")


def _native(sent: dict[str, Any]) -> str:
    """The name of the one hosted tool in an upstream body."""
    if "mcp_servers" in sent:
        return "mcp_servers"
    if "web_search_options" in sent:
        return "web_search_options"
    for plugin in sent.get("plugins", ()):
        return f"plugins: {plugin['id']}"
    tools = sent.get("tools") or sent.get("toolConfig", {}).get("tools", ())
    for tool in tools:
        if "systemTool" in tool:
            return str(tool["systemTool"]["name"])
        if "type" in tool:
            return str(tool["type"])
        return str(next(iter(tool)))
    return ""
