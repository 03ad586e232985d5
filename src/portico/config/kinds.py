"""What the loader knows of each provider kind: its SDK's variables, its usual base path.

Addresses, headers and dialects are rows of `portico.providers`; this table only answers "the
document does not say: what would the provider's own SDK use?". Facts as known on 2026-11-21; the
linked pages are where to check them.
"""

from msgspec import Struct


class KindDefaults(Struct, frozen=True, kw_only=True):
    """`key_env`: variables that may hold the key, first set one wins; empty for keyless servers.

    `base_env`: the SDK's base URL variable. `base_path`: what the public base URL has as its path,
    used with the deprecated `hostOverride`. `version`: the path segment that agentgateway's
    `pathPrefix` includes and the SDK's base URL does not. `signs`: without a key, the credentials
    around the process are used.
    """

    link: str
    key_env: tuple[str, ...] = ()
    base_env: str | None = None
    base_path: str = "/v1"
    version: str = ""
    signs: bool = False


KINDS: dict[str, KindDefaults] = {
    "openAI": KindDefaults(
        link="https://github.com/openai/openai-python#usage",
        key_env=("OPENAI_API_KEY",),
        base_env="OPENAI_BASE_URL",
    ),
    "anthropic": KindDefaults(
        link="https://github.com/anthropics/anthropic-sdk-python#usage",
        key_env=("ANTHROPIC_API_KEY",),
        base_env="ANTHROPIC_BASE_URL",
        base_path="",
        version="/v1",
    ),
    "gemini": KindDefaults(
        link="https://ai.google.dev/gemini-api/docs/api-key",
        key_env=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        base_env="GOOGLE_GEMINI_BASE_URL",
        base_path="",
        version="/v1beta/openai",
    ),
    "vertex": KindDefaults(
        link="https://googleapis.github.io/python-genai/",
        base_env="GOOGLE_VERTEX_BASE_URL",
        base_path="",
        signs=True,
    ),
    "bedrock": KindDefaults(
        link="https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys-use.html",
        key_env=("AWS_BEARER_TOKEN_BEDROCK",),
        base_env="AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
        base_path="",
        signs=True,
    ),
    "azure": KindDefaults(
        link="https://github.com/openai/openai-python#microsoft-azure-openai",
        key_env=("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN"),
        base_env="AZURE_OPENAI_ENDPOINT",
        base_path="",
    ),
    "mistral": KindDefaults(
        link="https://docs.mistral.ai/getting-started/quickstart", key_env=("MISTRAL_API_KEY",)
    ),
    "groq": KindDefaults(
        link="https://console.groq.com/docs/openai",
        key_env=("GROQ_API_KEY",),
        base_path="/openai/v1",
    ),
    "deepseek": KindDefaults(link="https://api-docs.deepseek.com/", key_env=("DEEPSEEK_API_KEY",)),
    "xai": KindDefaults(link="https://docs.x.ai/docs/tutorial", key_env=("XAI_API_KEY",)),
    "openrouter": KindDefaults(
        link="https://openrouter.ai/docs/quickstart",
        key_env=("OPENROUTER_API_KEY",),
        base_path="/api/v1",
    ),
    "togetherai": KindDefaults(
        link="https://docs.together.ai/docs/openai-api-compatibility",
        key_env=("TOGETHER_API_KEY",),
    ),
    "fireworks": KindDefaults(
        link="https://docs.fireworks.ai/tools-sdks/openai-compatibility",
        key_env=("FIREWORKS_API_KEY",),
        base_path="/inference/v1",
    ),
    "cerebras": KindDefaults(
        link="https://inference-docs.cerebras.ai/resources/openai", key_env=("CEREBRAS_API_KEY",)
    ),
    "deepinfra": KindDefaults(
        link="https://deepinfra.com/docs/openai_api",
        key_env=("DEEPINFRA_API_KEY",),
        base_path="/v1/openai",
    ),
    "huggingface": KindDefaults(
        link="https://huggingface.co/docs/inference-providers/index", key_env=("HF_TOKEN",)
    ),
    "cohere": KindDefaults(
        link="https://docs.cohere.com/docs/compatibility-api",
        key_env=("CO_API_KEY", "COHERE_API_KEY"),
        base_path="/compatibility/v1",
    ),
    "baseten": KindDefaults(
        link="https://docs.baseten.co/development/model-apis/overview",
        key_env=("BASETEN_API_KEY",),
    ),
    "perplexity": KindDefaults(
        link="https://docs.perplexity.ai/guides/chat-completions-guide",
        key_env=("PERPLEXITY_API_KEY",),
        base_path="",
    ),
    "moonshot": KindDefaults(
        link="https://platform.moonshot.ai/docs/api/chat", key_env=("MOONSHOT_API_KEY",)
    ),
    "nvidia": KindDefaults(
        link="https://docs.api.nvidia.com/nim/reference/llm-apis", key_env=("NVIDIA_API_KEY",)
    ),
    "ollama": KindDefaults(link="https://docs.ollama.com/openai"),
    "vllm": KindDefaults(
        link="https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html"
    ),
    "lmstudio": KindDefaults(link="https://lmstudio.ai/docs/app/api/endpoints/openai"),
    "custom": KindDefaults(link="docs/configuration.md", base_path=""),
}

ALIASES = {"azureOpenAI": "azure", "together": "togetherai"}
"""Other names of kinds: `azureOpenAI` is agentgateway's older name."""

CUSTOM_PATHS = {
    "completions": "/chat/completions",
    "responses": "/responses",
    "messages": "/messages",
    "generateContent": "/models/{model}:generateContent",
    "converse": "/model/{model}/converse",
    "anthropicTokenCount": "/messages/count_tokens",
    "geminiCountTokens": "/models/{model}:countTokens",
}
"""Where a custom provider's API is, below a base URL that has a path of its own."""

CUSTOM_VERSIONS = {"generateContent": "/v1beta", "geminiCountTokens": "/v1beta", "converse": ""}
"""What comes before it where the base URL has no path; `/v1` for the others."""

COUNTED = {"anthropicTokenCount": "messages", "geminiCountTokens": "generateContent"}
"""Types that only count tokens, and the type whose requests they count."""
