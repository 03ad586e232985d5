"""The clouds that serve models of several makers: Azure, Vertex AI, Bedrock. Facts as known on
2026-11-21; the linked pages are where to check them.
"""

import re

from msgspec import structs

from portico.providers.base import Api, Family, Provider

AZURE = Provider(
    kind="azure",
    semconv="azure.ai.openai",
    base_url="",  # https://<resource>.openai.azure.com, or .services.ai.azure.com
    auth="api-key",
    jwt_bearer=True,
    # https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle
    formats={
        "completions": Api(path="/openai/v1/chat/completions"),
        # https://learn.microsoft.com/azure/ai-foundry/openai/how-to/responses (kept for 30 days)
        "responses": Api(path="/openai/v1/responses", keeps=True),
    },
    families=(
        # https://learn.microsoft.com/azure/ai-foundry/foundry-models/how-to/use-foundry-models-claude
        Family(
            models=re.compile(r"(?P<id>(?i:claude).*)", re.DOTALL),
            formats={
                "messages": Api(
                    path="/anthropic/v1/messages",
                    count="/anthropic/v1/messages/count_tokens",
                    auth="x-api-key",
                )
            },
        ),
    ),
    headers=(("anthropic-version", "2023-06-01"),),
    models="",  # /openai/v1/models lists what could be deployed, not what is
    docs="https://learn.microsoft.com/azure/ai-foundry/openai/reference",
)

_AZURE_PREVIEW = structs.replace(
    AZURE,
    formats={
        name: structs.replace(api, path=api.path + "?api-version=preview")
        for name, api in AZURE.formats.items()
    },
)
_AZURE_DATED = structs.replace(
    AZURE,
    formats={
        "completions": Api(
            path="/openai/deployments/{model}/chat/completions?api-version={version}"
        ),
        "responses": Api(path="/openai/responses?api-version={version}", keeps=True),
    },
)
# https://learn.microsoft.com/azure/ai-foundry/how-to/develop/sdk-overview
_AZURE_PROJECT = structs.replace(
    AZURE,
    formats={
        name: structs.replace(api, path="/api/projects/{project}" + api.path)
        for name, api in AZURE.formats.items()
    },
)

_PLACE = "/projects/{project}/locations/{region}"
_CLAUDE = f"/v1{_PLACE}/publishers/anthropic/models/"
_GEMINI = "/publishers/google/models/{model}:"
_GOOGLE_ID = re.compile(r"(?:publishers/google/models/|google/|(?!.*/))(?P<id>.+)", re.DOTALL)


def _gemini(prefix: str) -> dict[str, Api]:
    return {
        "generateContent": Api(
            path=f"{prefix}{_GEMINI}generateContent",
            stream=f"{prefix}{_GEMINI}streamGenerateContent?alt=sse",
            count=f"{prefix}{_GEMINI}countTokens",
        )
    }


VERTEX = Provider(
    kind="vertex",
    semconv="gcp.vertex_ai",
    base_url="https://{region}-aiplatform.googleapis.com",
    # https://docs.cloud.google.com/vertex-ai/generative-ai/docs/learn/locations
    hosts={
        "global": "https://aiplatform.googleapis.com",
        "us": "https://aiplatform.us.rep.googleapis.com",
        "eu": "https://aiplatform.eu.rep.googleapis.com",
    },
    auth="x-goog-api-key",
    signer="google",
    quirks=frozenset({"vertex"}),
    families=(
        # https://docs.cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude/use-claude
        # https://docs.cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude/count-tokens
        Family(
            models=re.compile(
                r"(?:publishers/anthropic/models/|anthropic/|(?=claude))(?P<id>.+)", re.DOTALL
            ),
            formats={
                "messages": Api(
                    path=_CLAUDE + "{model}:rawPredict",
                    stream=_CLAUDE + "{model}:streamRawPredict",
                    count=_CLAUDE + "count-tokens:rawPredict",
                    extras={"anthropic_version": b'"vertex-2023-10-16"'},
                    drops_model=True,
                )
            },
        ),
        # v1beta1 as in Google's own SDK: what the Gemini API has arrives there first.
        # https://docs.cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference
        Family(models=_GOOGLE_ID, formats=_gemini(f"/v1beta1{_PLACE}")),
    ),
    # Other makers' models (meta/...) have an OpenAI-compatible surface.
    # https://docs.cloud.google.com/vertex-ai/generative-ai/docs/migrate/openai/overview
    formats={"completions": Api(path=f"/v1{_PLACE}/endpoints/openapi/chat/completions")},
    models="",
    docs="https://docs.cloud.google.com/vertex-ai/docs/reference/rest",
)

# Keys of the express mode belong to a project and name none.
# https://docs.cloud.google.com/vertex-ai/generative-ai/docs/start/express-mode/overview
_VERTEX_EXPRESS = structs.replace(
    VERTEX,
    base_url=VERTEX.hosts["global"],
    families=(),
    formats=_gemini("/v1beta1"),
    id_prefix="google/",
)

BEDROCK = Provider(
    kind="bedrock",
    semconv="aws.bedrock",
    base_url="https://bedrock-runtime.{region}.amazonaws.com",
    # Bedrock's own API keys: https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys.html
    auth="bearer",
    signer="aws",
    # https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
    # https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CountTokens.html
    formats={
        "converse": Api(
            path="/model/{model}/converse",
            stream="/model/{model}/converse-stream",
            count="/model/{model}/count-tokens",
        )
    },
    models="",
    docs="https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html",
)


def variant(row: Provider, project: str | None, api_version: str | None) -> Provider:
    """The row for these settings: Azure and Vertex have several ways of addressing."""
    if row is AZURE:
        if project is not None:
            return _AZURE_PROJECT
        if api_version is None or api_version == "v1":
            return AZURE
        return _AZURE_PREVIEW if api_version == "preview" else _AZURE_DATED
    return _VERTEX_EXPRESS if row is VERTEX and project is None else row
