"""The capability matrix: what each dialect, provider and family of models takes, as Markdown.

Made from the tables the translate lane works with, and where a table does not say it all (efforts,
hosted tools), by translating a request and looking at what came out. Deterministic: the page in
`docs/` is compared with it.
"""

from collections.abc import Callable, Iterable
from typing import get_args

from portico.cli.probes import HOSTED, TARGETS, effort, hosted_tool
from portico.dialects.chat import maps as chat_maps
from portico.dialects.translators import CLIENTS, UPSTREAMS
from portico.model.capabilities import Capabilities, Parameter
from portico.model.request import EFFORTS
from portico.providers.base import DIALECT_NAMES, Api, Provider
from portico.providers.clouds import BEDROCK, VERTEX
from portico.providers.table import PROVIDERS

NAMES = {
    "responses": "Responses",
    "chat": "Chat Completions",
    "messages": "Messages",
    "gemini": "Gemini",
    "converse": "Converse",
}
KINDS = {"responses": "openAI", "messages": "anthropic", "gemini": "gemini", "converse": "bedrock"}
"""Whose models the tables of a dialect are about; chat has a row per kind of provider."""

MODELS: dict[str, tuple[str, ...]] = {
    "responses": (
        "gpt-5.6", "gpt-5.5", "gpt-5.2", "gpt-5.1", "gpt-5", "gpt-5-chat-latest", "gpt-5-pro",
        "gpt-5.2-pro", "gpt-5.1-codex-max", "gpt-5-codex", "gpt-5.2-codex", "o3",
        "o3-deep-research", "gpt-4o", "gpt-4", "gpt-oss-120b", "grok-4", "any other",
    ),
    "messages": (
        "claude-opus-5-5", "claude-fable-5", "claude-sonnet-5-5", "claude-haiku-5-5",
        "claude-opus-5", "claude-sonnet-5", "claude-opus-4-8", "claude-opus-4-7",
        "claude-mythos-preview", "claude-sonnet-4-6", "claude-opus-4-5", "claude-sonnet-4-5",
        "claude-opus-4-1", "claude-opus-4", "claude-sonnet-4", "claude-3-5-haiku",
        "claude-3-haiku", "newer claude", "any other",
    ),
    "gemini": (
        "gemini-3.6-flash", "gemini-3.5-flash", "gemini-3.5-flash-lite", "gemini-3.1-pro",
        "gemini-3-pro", "gemini-3-pro-image", "gemini-3-flash", "gemini-2.5-pro",
        "gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-2.5-flash-image", "gemini-2.0-flash",
        "gemini-4-pro", "gemini-pro-latest", "gemma-3", "any other",
    ),
    "converse": (
        "anthropic.claude-opus-5-5", "anthropic.claude-opus-5", "anthropic.claude-opus-4-7",
        "anthropic.claude-opus-4-6", "anthropic.claude-sonnet-4-6", "anthropic.claude-sonnet-4-5",
        "anthropic.claude-opus-4-1", "anthropic.claude-opus-4", "anthropic.claude-sonnet-4",
        "anthropic.claude-3-5-haiku",
        "anthropic.claude-3-haiku", "anthropic.claude-v2", "newer anthropic.claude",
        "amazon.nova-2-lite", "amazon.nova-pro", "amazon.nova-micro", "amazon.titan-text",
        "meta.llama4-maverick", "meta.llama3-3-70b", "mistral.pixtral-large",
        "mistral.mistral-large-3", "mistral.mistral-large", "mistral.mistral-small",
        "mistral.mistral-7b", "openai.gpt-oss-120b", "openai.gpt-5.5", "deepseek.r1",
        "deepseek.v3", "qwen.qwen3-vl", "qwen.qwen3", "moonshot.kimi-k2", "cohere.command-r",
        "any other",
    ),
}  # fmt: skip
"""At least one id for each row of a dialect's tables; a test sees to it."""

CHAT_MODELS: dict[str, tuple[str, ...]] = {
    "openAI": ("gpt-5.6", "gpt-5.2", "gpt-5.1", "gpt-5", "o3", "gpt-4o-search-preview",
               "gpt-audio"),
    "azure": ("gpt-5.6", "gpt-5.2", "gpt-5.1", "gpt-5", "o3", "gpt-4o-search-preview",
              "gpt-audio"),
    "mistral": ("mistral-large-4", "mistral-small-latest"),
    "groq": ("gpt-oss-120b", "qwen3-32b"),
    "xai": ("grok-3-mini", "grok-4", "grok-4.6", "grok-5"),
    "togetherai": ("gpt-oss-120b",),
    "cerebras": ("gpt-oss-120b",),
    "perplexity": ("sonar-deep-research",),
    "moonshot": ("moonshot-v1-8k",),
    "huggingface": ("gpt-oss-120b",),
    "nvidia": ("gpt-oss-120b",),
    "lmstudio": ("gpt-oss-120b",),
    "gemini": ("gemini-3-pro",),
    "vertex": ("gpt-oss-120b", "gemini-3-pro"),
    "baseten": ("gpt-oss-120b",),
}  # fmt: skip
"""The same for chat: the models of a provider that differ from the rest of it."""

OTHERS = "any other"


# -- tables ------------------------------------------------------------------------------------


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table. Cells may be empty."""
    lines = [list(head)]
    lines.append(["---"] * len(lines[0]))
    lines.extend([cell.replace("|", "\\|") for cell in row] for row in rows)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def words(values: Iterable[str], none: str = "none") -> str:
    """`a, b` in code."""
    return ", ".join(f"`{value}`" for value in values) or none


def _spoken(formats: dict[str, Api]) -> list[str]:
    return [DIALECT_NAMES[word] for word in formats]


def _ways(kind: str, row: Provider, formats: dict[str, Api]) -> list[str]:
    """What happens to each client dialect, as `Target.dialect_for` chooses."""
    spoken = _spoken(formats)
    best = next(name for name in row.preferred if name in spoken)
    return ["as it is" if client in spoken else f"to {NAMES[best]}" for client in CLIENTS]


def providers() -> str:
    """Each kind of provider and its families of models: which way a client's request goes."""
    rows = []
    for kind, row in PROVIDERS.items():
        groups = [
            ("", row.formats),
            *((each.models.pattern, each.formats) for each in row.families),
        ]
        for pattern, formats in groups:
            counts = sorted({NAMES[DIALECT_NAMES[w]] for w, api in formats.items() if api.count})
            label = f"`{kind}`" + _group(row, pattern)
            credential = _credential(row, formats)
            rows.append([label, credential, *_ways(kind, row, formats), ", ".join(counts)])
    head = ["provider", "credential", *(f"{NAMES[c]} client" for c in CLIENTS), "counts tokens"]
    return table(head, rows)


_GROUPS = {
    ("azure", 0): "models named `claude*`",
    ("vertex", 0): "Claude",
    ("vertex", 1): "Gemini",
}


def _group(row: Provider, pattern: str) -> str:
    if not row.families:
        return ""
    if not pattern:
        return ", others"
    index = [each.models.pattern for each in row.families].index(pattern)
    return ", " + _GROUPS[row.kind, index]


def _credential(row: Provider, formats: dict[str, Api]) -> str:
    own = {api.auth for api in formats.values() if api.auth is not None}
    auths = own if len(own) == 1 and all(api.auth for api in formats.values()) else {row.auth}
    auth = auths.pop()
    text = "`authorization: Bearer`" if auth == "bearer" else f"`{auth}`"
    if row is BEDROCK:
        return text + ", or SigV4"
    return text + ", or Google's default credentials" if row is VERTEX else text


# -- what rows of capabilities say -------------------------------------------------------------

_PARAMETERS: tuple[str, ...] = get_args(Parameter)
_SHORT = {
    "presence_penalty": "penalties",
    "parallel_tool_calls": "parallel calls off",
    "safety_identifier": "safety id",
    "max_output_tokens": "output limit",
    "prompt_cache_key": "cache key",
    "max_tool_calls": "hosted call limit",
    "effort": "reasoning effort",
    "budget": "thinking budget",
    "summary": "thought summary",
}
_HIDDEN = frozenset(("frequency_penalty", "choices"))
"""One comes with its sister; the other is in no row."""

Feature = tuple[str, Callable[[Capabilities], str]]


def _yes(flag: bool, yes: str, no: str) -> str:
    return yes if flag else no


FEATURES: tuple[Feature, ...] = (
    ("highest temperature", lambda can: f"{can.temperature_max:g}"),
    ("stop sequences", lambda can: "any number" if can.stop_most is None else str(can.stop_most)),
    ("JSON Schema", lambda can: _yes(can.json_schema, "native", "emulated")),
    ("JSON mode", lambda can: _yes(can.json_object, "native", "emulated")),
    ("free-form tools", lambda can: _yes(can.custom_tools, "native", "wrapped")),
    ("namespaces", lambda can: _yes(can.namespaces, "native", "in the name")),
    ("allowed tools", lambda can: _yes(can.allowed_tools, "native", "only those are sent")),
    ("forced tool", lambda can: _yes(can.forced_tools, "yes", "no")),
    ("failed results marked", lambda can: _yes(can.is_error, "yes", "no")),
    ("reasoning without proof", lambda can: _yes(can.reasoning_text, "sent back", "left out")),
    ("content", lambda can: words(sorted(can.content))),
    ("in tool results", lambda can: words(sorted(can.results), "text only")),
)

Row = tuple[str, Capabilities]


def family_table(rows: list[Row], label: str) -> str:
    """A table of the features in which the rows differ, and lines of those in which they do not.
    Neighbours that are the same in all share a row."""
    shown = [name for name in _PARAMETERS if name not in _HIDDEN]
    always = [name for name in shown if all(name in can.parameters for _, can in rows)]
    never = [name for name in shown if not any(name in can.parameters for _, can in rows)]
    mixed = [name for name in shown if name not in always and name not in never]
    told = [("parameters", [_named(mixed, can) for _, can in rows])] if mixed else []
    told += [(name, [tell(can) for _, can in rows]) for name, tell in FEATURES]
    same = [(name, cells[0]) for name, cells in told if len(set(cells)) == 1]
    varying = [(name, cells) for name, cells in told if len(set(cells)) > 1]
    merged: dict[tuple[str, ...], list[str]] = {}
    for index, (name, _) in enumerate(rows):
        merged.setdefault(tuple(cells[index] for _, cells in varying), []).append(name)
    out = _constants(always, never, same)
    if varying:
        head = [label, *(name for name, _ in varying)]
        out += "\n" + table(head, ([", ".join(names), *key] for key, names in merged.items()))
    return out


def _named(parameters: Iterable[str], can: Capabilities | None = None) -> str:
    """Parameters in words; with `can`, those it takes."""
    taken = [name for name in parameters if can is None or name in can.parameters]
    return ", ".join(_SHORT.get(name, name.replace("_", " ")) for name in taken) or "none"


def _constants(always: list[str], never: list[str], same: list[tuple[str, str]]) -> str:
    lines = []
    if always:
        lines.append(f"- Every model takes: {_named(always)}.")
    if never:
        lines.append(f"- None takes: {_named(never)}.")
    if same:
        lines.append(f"- The same for all: {'; '.join(f'{n}: {v}' for n, v in same)}.")
    return "\n".join(lines) + "\n"


def family_rows(dialect: str) -> list[Row]:
    """The models of a dialect and what they take."""
    kind = KINDS[dialect]
    find = UPSTREAMS[dialect].capabilities
    return [(_shown(model), find(kind, model)) for model in MODELS[dialect]]


def chat_rows() -> list[Row]:
    """The providers that speak chat, and the models that differ from the rest."""
    rows = []
    for kind in chat_maps.providers():
        for model in (*CHAT_MODELS.get(kind, ()), OTHERS):
            can = chat_maps.capabilities_for(kind, model)
            rows.append((chat_label(kind, model), can))
    return rows


def chat_label(kind: str, model: str) -> str:
    """How a row of chat is called."""
    if model != OTHERS:
        return f"`{kind}` `{model}`"
    return f"`{kind}`, others" if kind in CHAT_MODELS else f"`{kind}`"


def _shown(model: str) -> str:
    return f"`{model}`" if " " not in model else model


def efforts() -> str:
    """What each effort becomes, for every family that reasons."""
    rows: dict[tuple[str, ...], list[str]] = {}
    sources = [(dialect, KINDS[dialect], model) for dialect in KINDS for model in MODELS[dialect]]
    sources += [("chat", kind, model) for kind in chat_maps.providers()
                for model in (*CHAT_MODELS.get(kind, ()), OTHERS)]  # fmt: skip
    for dialect, kind, model in sources:
        cells = tuple(effort(dialect, kind, model, level) for level in EFFORTS)
        if all(cell.startswith("-") for cell in cells):
            continue
        name = chat_label(kind, model) if dialect == "chat" else _shown(model)
        rows.setdefault((NAMES[dialect], *cells), []).append(name)
    return table(
        ["dialect", "models", *(f"`{level}`" for level in EFFORTS)],
        ([key[0], ", ".join(names), *key[1:]] for key, names in rows.items()),
    )


def hosted() -> str:
    """Hosted tools of clients and what each kind of target makes of them."""
    rows = [
        [NAMES[client], name] + [hosted_tool(client, members, *target[:3]) for target in TARGETS]
        for client, name, members in HOSTED
    ]
    return table(["client", "tool", *(title for *_, title in TARGETS)], rows)


def page() -> str:
    """All tables, as they stand in `docs/capabilities.md`."""
    out = ["## Providers\n", providers(), "## Hosted tools\n", hosted(), "## Reasoning effort\n",
           efforts(), "## Models, by upstream dialect\n"]  # fmt: skip
    for dialect in KINDS:
        out += [f"### {NAMES[dialect]}\n", family_table(family_rows(dialect), "models")]
    out += [f"### {NAMES['chat']}\n", family_table(chat_rows(), "provider, models")]
    return "\n".join(out)
