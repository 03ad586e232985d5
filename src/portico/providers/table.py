"""The providers Portico knows by name. Facts as known on 2026-11-21; the linked pages are where to
check them.

Keys are agentgateway's names, so that its `llm:` files work unchanged.
"""

from portico.providers.base import Provider

_CHAT = {"completions": "/chat/completions"}
_CHAT_RESPONSES = {"completions": "/chat/completions", "responses": "/responses"}


def _compatible(
    kind: str, base_url: str, docs: str, *, semconv: str | None = None, responses: bool = False
) -> Provider:
    """A row for a server that speaks OpenAI's formats with bearer keys."""
    return Provider(
        kind=kind,
        semconv=semconv or kind,
        base_url=base_url,
        auth="bearer",
        formats=_CHAT_RESPONSES if responses else _CHAT,
        docs=docs,
    )


_ROWS = (
    Provider(
        kind="openAI",
        semconv="openai",
        base_url="https://api.openai.com/v1",
        auth="bearer",
        formats=_CHAT_RESPONSES,
        docs="https://platform.openai.com/docs/api-reference/authentication",
    ),
    Provider(
        kind="anthropic",
        semconv="anthropic",
        base_url="https://api.anthropic.com",
        auth="x-api-key",
        formats={"messages": "/v1/messages"},
        docs="https://docs.anthropic.com/en/api/overview",
        headers=(("anthropic-version", "2023-06-01"),),
        models="/v1/models?limit=1000",  # 20 a page otherwise, 1000 at most
    ),
    Provider(
        kind="gemini",
        semconv="gcp.gemini",
        base_url="https://generativelanguage.googleapis.com",
        auth="bearer",
        # Google's OpenAI-compatible surface: the chat splice works on it as it stands.
        formats={"completions": "/v1beta/openai/chat/completions"},
        models="/v1beta/openai/models",
        docs="https://ai.google.dev/gemini-api/docs/openai",
    ),
    _compatible(
        "mistral", "https://api.mistral.ai/v1", "https://docs.mistral.ai/api", semconv="mistral_ai"
    ),
    _compatible(
        "groq",
        "https://api.groq.com/openai/v1",
        "https://console.groq.com/docs/openai",
        responses=True,
    ),
    _compatible("deepseek", "https://api.deepseek.com/v1", "https://api-docs.deepseek.com"),
    _compatible(
        "xai", "https://api.x.ai/v1", "https://docs.x.ai/docs/api-reference", semconv="x_ai",
        responses=True,
    ),
    _compatible(
        "openrouter",
        "https://openrouter.ai/api/v1",
        "https://openrouter.ai/docs/api-reference/overview",
        responses=True,
    ),
    _compatible(
        "togetherai", "https://api.together.xyz/v1", "https://docs.together.ai/docs/openai-api-compatibility"
    ),
    _compatible(
        "fireworks",
        "https://api.fireworks.ai/inference/v1",
        "https://docs.fireworks.ai/tools-sdks/openai-compatibility",
        responses=True,
    ),
    _compatible("cerebras", "https://api.cerebras.ai/v1", "https://inference-docs.cerebras.ai"),
    _compatible(
        "deepinfra", "https://api.deepinfra.com/v1/openai", "https://deepinfra.com/docs/openai_api"
    ),
    _compatible("perplexity", "https://api.perplexity.ai", "https://docs.perplexity.ai"),
    _compatible(
        "moonshot",
        "https://api.moonshot.ai/v1",
        "https://platform.moonshot.ai/docs",
        semconv="moonshot_ai",
    ),
    _compatible(
        "huggingface",
        "https://router.huggingface.co/v1",
        "https://huggingface.co/docs/inference-providers",
        responses=True,
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
    _compatible(
        "ollama", "http://127.0.0.1:11434/v1", "https://docs.ollama.com/api/openai-compatibility",
        responses=True,
    ),
    _compatible(
        "vllm", "http://127.0.0.1:8000/v1",
        "https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html", responses=True,
    ),
    _compatible(
        "lmstudio", "http://127.0.0.1:1234/v1", "https://lmstudio.ai/docs/developer/openai-compat",
        responses=True,
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
