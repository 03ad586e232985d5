"""The providers Portico knows by name. Facts as known on 2026-11-21; the linked pages are where to
check them.

Keys are agentgateway's names, so that its `llm:` files work unchanged.
"""

from portico.providers.base import PREFERRED, Api, Provider
from portico.providers.clouds import AZURE, BEDROCK, VERTEX

_CHAT = {"completions": Api(path="/chat/completions")}
_RESPONSES = {"responses": Api(path="/responses")}
_KEPT_RESPONSES = {"responses": Api(path="/responses", keeps=True)}
_MESSAGES = {"messages": Api(path="/messages")}

_CHAT_FIRST = ("chat", *(name for name in PREFERRED if name != "chat"))
"""For servers whose own format is chat and whose others are thinner layers above it."""


def _compatible(
    kind: str,
    base_url: str,
    docs: str,
    *more: dict[str, Api],
    semconv: str | None = None,
    preferred: tuple[str, ...] = PREFERRED,
) -> Provider:
    """A row for a server that speaks OpenAI's chat format, and `more`, with bearer keys."""
    formats = dict(_CHAT)
    for apis in more:
        formats.update(apis)
    return Provider(
        kind=kind,
        semconv=semconv or kind,
        base_url=base_url,
        auth="bearer",
        formats=formats,
        docs=docs,
        preferred=preferred,
    )


def _anthropic_at(prefix: str) -> dict[str, Api]:
    """An Anthropic surface beside the base URL, at the public host."""
    return {"messages": Api(path=f"{prefix}/v1/messages", from_root=True)}


_GEMINI = "/v1beta/models/{model}:"

_ROWS = (
    Provider(
        kind="openAI",
        semconv="openai",
        base_url="https://api.openai.com/v1",
        auth="bearer",
        formats={
            **_CHAT,
            # https://platform.openai.com/docs/api-reference/responses/input-tokens
            # https://platform.openai.com/docs/guides/conversation-state (kept for 30 days)
            "responses": Api(path="/responses", count="/responses/input_tokens", keeps=True),
        },
        docs="https://platform.openai.com/docs/api-reference/authentication",
    ),
    Provider(
        kind="anthropic",
        semconv="anthropic",
        base_url="https://api.anthropic.com",
        auth="x-api-key",
        # https://platform.claude.com/docs/en/build-with-claude/token-counting
        formats={"messages": Api(path="/v1/messages", count="/v1/messages/count_tokens")},
        docs="https://docs.anthropic.com/en/api/overview",
        headers=(("anthropic-version", "2023-06-01"),),
        models="/v1/models?limit=1000",  # 20 a page otherwise, 1000 at most
    ),
    Provider(
        kind="gemini",
        semconv="gcp.gemini",
        base_url="https://generativelanguage.googleapis.com",
        auth="x-goog-api-key",
        formats={
            # https://ai.google.dev/api/generate-content, https://ai.google.dev/api/tokens
            "generateContent": Api(
                path=_GEMINI + "generateContent",
                stream=_GEMINI + "streamGenerateContent?alt=sse",
                count=_GEMINI + "countTokens",
            ),
            # Google's OpenAI-compatible surface: the chat splice works on it as it stands.
            # https://ai.google.dev/gemini-api/docs/openai
            "completions": Api(path="/v1beta/openai/chat/completions", auth="bearer"),
        },
        models="/v1beta/openai/models",
        models_auth="bearer",
        id_prefix="models/",
        docs="https://ai.google.dev/gemini-api/docs/api-key",
    ),
    AZURE,
    VERTEX,
    BEDROCK,
    _compatible(
        "mistral", "https://api.mistral.ai/v1", "https://docs.mistral.ai/api", semconv="mistral_ai"
    ),
    # Its Responses API is a beta without state: https://console.groq.com/docs/responses-api
    _compatible(
        "groq", "https://api.groq.com/openai/v1", "https://console.groq.com/docs/openai",
        _RESPONSES, preferred=_CHAT_FIRST,
    ),
    # https://api-docs.deepseek.com/guides/anthropic_api
    _compatible(
        "deepseek", "https://api.deepseek.com/v1", "https://api-docs.deepseek.com",
        _anthropic_at("/anthropic"), preferred=_CHAT_FIRST,
    ),
    # Kept for 30 days: https://docs.x.ai/docs/guides/responses-api
    _compatible(
        "xai", "https://api.x.ai/v1", "https://docs.x.ai/docs/api-reference", _KEPT_RESPONSES,
        semconv="x_ai",
    ),
    # https://openrouter.ai/docs/api-reference/anthropic-messages
    _compatible(
        "openrouter", "https://openrouter.ai/api/v1",
        "https://openrouter.ai/docs/api-reference/overview", _RESPONSES, _MESSAGES,
    ),
    _compatible(
        "togetherai", "https://api.together.xyz/v1",
        "https://docs.together.ai/docs/openai-api-compatibility",
    ),
    # https://docs.fireworks.ai/tools-sdks/anthropic-compatibility
    _compatible(
        "fireworks", "https://api.fireworks.ai/inference/v1",
        "https://docs.fireworks.ai/tools-sdks/openai-compatibility", _RESPONSES, _MESSAGES,
    ),
    _compatible("cerebras", "https://api.cerebras.ai/v1", "https://inference-docs.cerebras.ai"),
    _compatible(
        "deepinfra", "https://api.deepinfra.com/v1/openai", "https://deepinfra.com/docs/openai_api"
    ),
    _compatible("perplexity", "https://api.perplexity.ai", "https://docs.perplexity.ai"),
    _compatible(
        "moonshot", "https://api.moonshot.ai/v1", "https://platform.moonshot.ai/docs",
        _anthropic_at("/anthropic"), semconv="moonshot_ai", preferred=_CHAT_FIRST,
    ),
    _compatible(
        "huggingface", "https://router.huggingface.co/v1",
        "https://huggingface.co/docs/inference-providers", _RESPONSES, preferred=_CHAT_FIRST,
    ),
    _compatible(
        "nvidia", "https://integrate.api.nvidia.com/v1", "https://docs.api.nvidia.com"
    ),
    _compatible(
        "cohere", "https://api.cohere.ai/compatibility/v1",
        "https://docs.cohere.com/docs/compatibility-api",
    ),
    _compatible(
        "baseten", "https://inference.baseten.co/v1",
        "https://docs.baseten.co/development/model-apis/overview",
    ),
    # https://docs.ollama.com/api/anthropic-compatibility
    _compatible(
        "ollama", "http://127.0.0.1:11434/v1", "https://docs.ollama.com/api/openai-compatibility",
        _RESPONSES, _MESSAGES, preferred=_CHAT_FIRST,
    ),
    _compatible(
        "vllm", "http://127.0.0.1:8000/v1",
        "https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html",
        _RESPONSES, _MESSAGES, preferred=_CHAT_FIRST,
    ),
    # https://lmstudio.ai/docs/developer/anthropic-compat
    _compatible(
        "lmstudio", "http://127.0.0.1:1234/v1", "https://lmstudio.ai/docs/developer/openai-compat",
        _RESPONSES, _MESSAGES, preferred=_CHAT_FIRST,
    ),
)  # fmt: skip

PROVIDERS: dict[str, Provider] = {row.kind: row for row in _ROWS}

CUSTOM = Provider(
    kind="custom",
    semconv="",
    base_url="",
    auth="bearer",
    formats={},
    docs="docs/configuration.md",
)


def provider(kind: str) -> Provider:
    """The row of `kind`. Raises KeyError for a name that is not in the table."""
    return CUSTOM if kind == "custom" else PROVIDERS[kind]


_STREAMED = {
    "generateContent": (":generateContent", ":streamGenerateContent?alt=sse"),
    "converse": ("/converse", "/converse-stream"),
}
_COUNTED = {"anthropicTokenCount": "messages", "geminiCountTokens": "generateContent"}
"""Route types that only count tokens, and the API whose requests they count."""


def custom_formats(paths: dict[str, str]) -> dict[str, Api]:
    """The APIs of a custom provider, from route type to path as the settings have them."""
    counts = {api: paths[word] for word, api in _COUNTED.items() if word in paths}
    out: dict[str, Api] = {}
    for word, path in paths.items():
        if word in _COUNTED:
            continue
        whole, streamed = _STREAMED.get(word, ("", ""))
        stream = path.removesuffix(whole) + streamed if whole and path.endswith(whole) else ""
        out[word] = Api(path=path, stream=stream, count=counts.get(word, ""))
    return out
