"""The configuration document: what may be written, in agentgateway's key names (camelCase).

Both forms live here: `llm:` (a list of models) and `binds:` (listeners, routes, backends). The
Structs say shape and documentation only; `walk` checks a document against them, `known` lists the
keys agentgateway has and this version does not, `compile` gives them their meaning. Every key that
is absent has the default shown; null is refused everywhere, because an emptied block (`apiKey:`
with nothing below it) must not switch something off.

Source: agentgateway's `schema/config.json`, v1.4 to v1.5. Keys marked (Portico) are additions.
"""

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, field

from portico.config.blocks import Block, Share, Text, about
from portico.config.schema_process import MODE, FrontendPolicies, Mode, Process
from portico.config.schema_routing import RequestMirror, Resilience, VirtualModel, Weight
from portico.config.schema_shaping import BodyShape, Cost, HeaderChanges, ProviderDefaults, Rules
from portico.config.secret import Secret

ServedFormat: TypeAlias = Annotated[
    Literal[
        "completions",
        "responses",
        "messages",
        "generateContent",
        "converse",
        "anthropicTokenCount",
        "geminiCountTokens",
    ],
    Meta(extra={"not_yet": ("embeddings", "rerank", "realtime", "models")}),
]
ServedRoute: TypeAlias = Annotated[
    Literal["completions", "responses", "messages", "anthropicTokenCount", "models"],
    Meta(
        extra={
            "not_yet": (
                "embeddings",
                "rerank",
                "realtime",
                "generateContent",
                "geminiCountTokens",
                "detect",
                "passthrough",
            )
        }
    ),
]
ServedKind: TypeAlias = Literal[
    "openAI",
    "anthropic",
    "gemini",
    "vertex",
    "bedrock",
    "azure",
    "azureOpenAI",
    "mistral",
    "groq",
    "deepseek",
    "xai",
    "openrouter",
    "togetherai",
    "together",
    "fireworks",
    "cerebras",
    "deepinfra",
    "huggingface",
    "cohere",
    "ollama",
    "baseten",
    "perplexity",
    "moonshot",
    "nvidia",
    "vllm",
    "lmstudio",
]
_LATER_KINDS = Meta(extra={"not_yet": ("copilot",)})
Kind: TypeAlias = Annotated[ServedKind, _LATER_KINDS]
KindOrCustom: TypeAlias = Annotated[Literal[ServedKind, "custom"], _LATER_KINDS]


AzureType: TypeAlias = Literal["openAI", "foundry", "azureOpenAI", "aiServices"]
OnLoss: TypeAlias = Literal["ignore", "warn", "reject"]

_ON_LOSS = about(
    "(Portico) What a translation cannot carry: ignore it, warn in a header, reject the request."
)
_FETCH = about(
    "(Portico) Fetch media that a caller names by URL where the provider does not do it."
)
_STATE = about("(Portico) Responses that requests refer to by id. Default: config.state.")
_COST = about("(Portico) What tokens cost. Default: what is known of the model.")
_WINDOW = about("(Portico) Tokens the model takes. Default: what is known of the model.")


# --- pieces both forms use ----------------------------------------------------------------------


class ListenerTls(Block, frozen=True):
    """Serve HTTPS."""

    cert: Annotated[Text, about("PEM file: the certificate chain.")]
    key: Annotated[Text, about("PEM file: the private key.")]


class ClientTls(Block, frozen=True):
    """How to reach a provider over TLS. An empty block means TLS with the system's roots."""

    root: Annotated[Text | None, about("PEM bundle of the roots to trust.")] = None
    cert: Annotated[Text | None, about("PEM file: our client certificate.")] = None
    key: Annotated[Text | None, about("PEM file: the key of `cert`.")] = None
    hostname: Annotated[Text | None, about("Name to ask for (SNI) and to verify.")] = None
    insecure: Annotated[bool, about("Do not verify the certificate.")] = False


class ModelState(Block, frozen=True):
    """Responses that requests to a model refer to by id."""

    mode: Annotated[Mode | None, MODE] = None


Window: TypeAlias = Annotated[int, Meta(ge=1)]


class CustomFormat(Block, frozen=True):
    """One API a custom provider speaks."""

    type: Annotated[ServedFormat, about("The API.")]
    path: Annotated[
        Text | None,
        about("Path below the base URL. Default: the API's usual one."),
    ] = None


class Custom(Block, frozen=True):
    """A provider described in place."""

    formats: Annotated[tuple[CustomFormat, ...], about("The APIs it speaks.")]
    model: Annotated[Text | None, about("Upstream model id, whatever was asked for.")] = None
    provider_override: Annotated[Text | None, about("Name in logs and metrics.")] = None


class CallerKeyEntry(Block, frozen=True):
    """One caller: exactly one of `key` and `keyHash`."""

    key: Annotated[Secret | None, about("The key; only its SHA-256 is kept.")] = None
    key_hash: Annotated[Text | None, about('"sha256:" and 64 hex digits.')] = None
    metadata: Annotated[dict[str, str], about("Labels of this caller, for the log.")] = field(
        default_factory=dict
    )
    allowed_models: Annotated[
        tuple[Text, ...] | None,
        about("Model names or patterns this key may use. Default: all."),
    ] = None


class ApiKeyPolicy(Block, frozen=True):
    """Who may call."""

    mode: Annotated[
        Literal["strict", "optional", "permissive"],
        about(
            "strict: a valid key is required. optional: no key is fine, a wrong one is not. "
            "permissive: anything passes, unnamed."
        ),
    ] = "strict"
    keys: Annotated[tuple[CallerKeyEntry, ...], about("The callers.")] = ()


# --- llm: ---------------------------------------------------------------------------------------


class Params(Block, frozen=True):
    """How to reach a model."""

    model: Annotated[Text | None, about("Upstream model id. Default: the name asked for.")] = None
    strip_prefix: Annotated[
        Text | None, about("(Portico) Removed from the asked name before it is sent on.")
    ] = None
    api_key: Annotated[
        Secret | None, about("The provider's key. Default: its SDK's environment variable.")
    ] = None
    api_keys: Annotated[
        tuple[Secret, ...] | None, about("(Portico) Several keys, used in turns; not with apiKey.")
    ] = None
    base_url: Annotated[
        Text | None, about("As in the provider's SDK. Default: its SDK's variable, or public.")
    ] = None
    host_override: Annotated[Text | None, about("Deprecated, use baseUrl: host:port.")] = None
    path_override: Annotated[Text | None, about("Deprecated, use baseUrl: whole path.")] = None
    path_prefix: Annotated[Text | None, about("Deprecated, use baseUrl: replaces /v1.")] = None
    aws_region: Annotated[Text | None, about("bedrock: the region. Default: AWS_REGION.")] = None
    vertex_region: Annotated[
        Text | None, about("vertex: the location. Default: GOOGLE_CLOUD_LOCATION, or global.")
    ] = None
    vertex_project: Annotated[
        Text | None, about("vertex: the project. Default: GOOGLE_CLOUD_PROJECT.")
    ] = None
    azure_resource_name: Annotated[
        Text | None, about("azure: the resource. Default: AZURE_OPENAI_ENDPOINT.")
    ] = None
    azure_resource_type: Annotated[
        AzureType | None, about("azure: openAI (*.openai.azure.com) or foundry.")
    ] = None
    azure_api_version: Annotated[
        Text | None, about("azure: v1, preview or a date. Default: OPENAI_API_VERSION, or v1.")
    ] = None
    azure_project_name: Annotated[Text | None, about("azure: project of a foundry resource.")] = (
        None
    )


class ProviderChoice(Block, frozen=True):
    """A provider that is not a plain kind: exactly one of the two."""

    reference: Annotated[Text | None, about("Name of an entry of llm.providers.")] = None
    custom: Annotated[Custom | None, about("A provider described in place.")] = None


class ProviderEntry(Resilience, frozen=True, kw_only=True):
    """A provider several models share."""

    name: Annotated[Text, about("What models refer to; label in logs and metrics.")]
    provider: Annotated[Kind | ProviderChoice, about("A kind, or {custom: ...}.")]
    params: Annotated[Params, about("How to reach it.")] = Params()
    tls: Annotated[ClientTls | None, about("TLS towards it.")] = None
    on_loss: Annotated[OnLoss | None, _ON_LOSS] = None
    fetch_remote_content: Annotated[bool | None, _FETCH] = None
    state: Annotated[ModelState | None, _STATE] = None
    context_window: Annotated[Window | None, _WINDOW] = None
    defaults: Annotated[
        ProviderDefaults, about("What its models start from; what they say themselves wins.")
    ] = ProviderDefaults()


class ModelEntry(Rules, frozen=True, kw_only=True):
    """One name callers may ask for."""

    name: Annotated[Text, about("Exact, prefix*, *suffix or *. The most specific name wins.")]
    provider: Annotated[Kind | ProviderChoice, about("A kind, {reference: name} or {custom: ...}.")]
    id: Annotated[Text | None, about("Accepted for agentgateway's UI; has no effect.")] = None
    visibility: Annotated[
        Literal["public", "internal"], about("internal: neither listed nor served to callers.")
    ] = "public"
    params: Annotated[Params, about("How to reach it; with a reference only `model`.")] = Params()
    tls: Annotated[ClientTls | None, about("TLS towards the provider.")] = None
    on_loss: Annotated[OnLoss | None, _ON_LOSS] = None
    fetch_remote_content: Annotated[bool | None, _FETCH] = None
    state: Annotated[ModelState | None, _STATE] = None
    context_window: Annotated[Window | None, _WINDOW] = None
    cost: Annotated[Cost | None, _COST] = None
    request_mirror: Annotated[RequestMirror | None, about("(Portico) Copy requests.")] = None
    fallback_on_context: Annotated[
        Text | None,
        about("(Portico) The model to ask when a conversation is too long for this one."),
    ] = None


class LlmAi(Block, frozen=True):
    """What names mean."""

    model_aliases: Annotated[
        dict[str, Text], about("(Portico) Asked name or pattern to the name of a model.")
    ] = field(default_factory=dict)


class LlmPolicies(Rules, frozen=True):
    """Rules for every model; what a provider or a model says itself wins, key by key."""

    api_key: Annotated[ApiKeyPolicy | None, about("Who may call. Default: anyone.")] = None
    ai: Annotated[LlmAi, about("What names mean.")] = LlmAi()


class Llm(Block, frozen=True):
    """One listener, a list of models."""

    models: Annotated[tuple[ModelEntry, ...], about("What callers may ask for.")]
    port: Annotated[int, Meta(ge=0, le=65535), about("TCP port.")] = 4000
    tls: Annotated[ListenerTls | None, about("Serve HTTPS.")] = None
    providers: Annotated[tuple[ProviderEntry, ...], about("Providers to refer to.")] = ()
    virtual_models: Annotated[
        tuple[VirtualModel, ...], about("Names that stand for several models.")
    ] = ()
    policies: Annotated[LlmPolicies, about("Rules for every model.")] = LlmPolicies()


# --- binds: -------------------------------------------------------------------------------------


class AwsAuth(Block, frozen=True):
    """Credentials for AWS. An empty block: those around the process, as any AWS SDK finds them."""

    access_key_id: Annotated[Text | None, about("Together with secretAccessKey.")] = None
    secret_access_key: Annotated[Secret | None, about("Together with accessKeyId.")] = None
    session_token: Annotated[Secret | None, about("Of a temporary credential.")] = None
    region: Annotated[Text | None, about("The region, if the provider block has none.")] = None


class GcpAuth(Block, frozen=True):
    """Credentials for Google Cloud: those around the process, as any Google SDK finds them."""


class BackendAuth(Block, frozen=True):
    """Our credential at the provider: one of these."""

    key: Annotated[Secret | None, about("The provider's key.")] = None
    keys: Annotated[tuple[Secret, ...] | None, about("(Portico) Several keys, used in turns.")] = (
        None
    )
    aws: Annotated[AwsAuth | None, about("bedrock: AWS credentials.")] = None
    gcp: Annotated[GcpAuth | None, about("vertex: Google Cloud credentials.")] = None


class BackendPolicies(Resilience, frozen=True):
    """How to reach one backend; the innermost block that says something wins, key by key."""

    backend_auth: Annotated[BackendAuth | None, about("Our credential.")] = None
    backend_tls: Annotated[ClientTls | None, about("TLS towards the provider.")] = field(
        default=None, name="backendTLS"
    )


class AiPolicy(BodyShape, frozen=True):
    """What the paths of a route are, and what is changed about its requests."""

    routes: Annotated[
        dict[str, ServedRoute] | None,
        about("Path suffix to API; the longest suffix wins. Default: all of them."),
    ] = None
    model_aliases: Annotated[
        dict[str, Text], about("Asked name or pattern to upstream model id.")
    ] = field(default_factory=dict)


class ProviderBody(Block, frozen=True):
    """What may be said of a provider in place; some keys are for some kinds only."""

    model: Annotated[Text | None, about("Upstream model id, whatever was asked for.")] = None
    formats: Annotated[
        tuple[CustomFormat, ...] | None, about("custom only: the APIs it speaks.")
    ] = None
    provider_override: Annotated[Text | None, about("custom only: name in logs and metrics.")] = (
        None
    )
    region: Annotated[Text | None, about("bedrock, vertex: the region.")] = None
    project_id: Annotated[Text | None, about("vertex: the project.")] = None
    resource_name: Annotated[Text | None, about("azure: the resource.")] = None
    resource_type: Annotated[
        AzureType | None, about("azure: openAI (*.openai.azure.com) or foundry.")
    ] = None
    api_version: Annotated[Text | None, about("azure: v1, preview or a date.")] = None
    project_name: Annotated[Text | None, about("azure: project of a foundry resource.")] = None


class AiTarget(Block, frozen=True):
    """One provider to send to."""

    name: Annotated[Text | None, about("Label in logs and metrics. Default: the kind.")] = None
    provider: Annotated[
        dict[KindOrCustom, ProviderBody] | None, about("One kind, e.g. {openAI: {}}.")
    ] = None
    base_url: Annotated[Text | None, about("(Portico) As in the provider's SDK.")] = None
    strip_prefix: Annotated[
        Text | None, about("(Portico) Removed from the asked name before it is sent on.")
    ] = None
    host_override: Annotated[Text | None, about("host:port; see backendTLS.")] = None
    path_override: Annotated[Text | None, about("Whole upstream path.")] = None
    path_prefix: Annotated[Text | None, about("Replaces /v1 upstream.")] = None
    on_loss: Annotated[OnLoss | None, _ON_LOSS] = None
    fetch_remote_content: Annotated[bool | None, _FETCH] = None
    state: Annotated[ModelState | None, _STATE] = None
    context_window: Annotated[Window | None, _WINDOW] = None
    cost: Annotated[Cost | None, _COST] = None
    policies: Annotated[BackendPolicies, about("How to reach it.")] = BackendPolicies()


class AiGroup(Block, frozen=True):
    """A priority group."""

    providers: Annotated[tuple[AiTarget, ...], about("Providers of equal standing.")]


class AiBackend(AiTarget, frozen=True):
    """An AI backend: a provider, or `groups` in its place."""

    groups: Annotated[
        tuple[AiGroup, ...] | None, about("By priority: the next one is for when one fails.")
    ] = None


class Backend(Block, frozen=True):
    """Where a route sends to."""

    ai: Annotated[AiBackend, about("A model provider.")]
    weight: Annotated[
        Weight, about("Its part of the requests, where a route has several backends.")
    ] = 1
    policies: Annotated[BackendPolicies, about("How to reach it.")] = BackendPolicies()


class MirrorPolicy(Block, frozen=True):
    """A copy of some requests, whose answers nobody sees."""

    backend: Annotated[Backend, about("Who gets it: one provider.")]
    percentage: Annotated[Share, about("Part of the requests, 0 to 1.")] = 1.0


class RoutePolicies(BackendPolicies, frozen=True):
    """Rules of a route."""

    ai: Annotated[AiPolicy, about("What the paths are, and changes to bodies.")] = AiPolicy()
    api_key: Annotated[ApiKeyPolicy | None, about("Who may call. Default: anyone.")] = None
    request_header_modifier: Annotated[HeaderChanges | None, about("Towards the provider.")] = None
    response_header_modifier: Annotated[HeaderChanges | None, about("Towards the caller.")] = None
    request_mirror: Annotated[MirrorPolicy | None, about("Copy requests.")] = None


class PathMatch(Block, frozen=True):
    """Exactly one of the two."""

    path_prefix: Annotated[Text | None, about("Whole segments the path starts with.")] = None
    exact: Annotated[Text | None, about("The whole path.")] = None


class Match(Block, frozen=True):
    """When a route applies."""

    path: Annotated[PathMatch | None, about("Default: any path.")] = None


class Route(Block, frozen=True):
    """Requests that match go to the backend."""

    backends: Annotated[tuple[Backend, ...], about("One, or several with weights.")]
    name: Annotated[Text | None, about("Label in logs.")] = None
    hostnames: Annotated[tuple[Text, ...], about("Host names; *.host below it.")] = ()
    matches: Annotated[tuple[Match, ...], about("Any of these. Default: everything.")] = ()
    policies: Annotated[RoutePolicies, about("Rules.")] = RoutePolicies()


class Listener(Block, frozen=True):
    """Routes under a host name."""

    routes: Annotated[tuple[Route, ...], about("The most specific match wins.")]
    name: Annotated[Text | None, about("Label in logs.")] = None
    hostname: Annotated[Text | None, about("Only requests for it; *.host below it.")] = None
    protocol: Annotated[
        Annotated[Literal["HTTP", "HTTPS"], Meta(extra={"not_yet": ("TLS", "TCP", "HBONE")})]
        | None,
        about("Default: HTTPS if tls is given."),
    ] = None
    tls: Annotated[ListenerTls | None, about("Serve HTTPS.")] = None


class Bind(Block, frozen=True):
    """One port."""

    port: Annotated[int, Meta(ge=0, le=65535), about("TCP port.")]
    listeners: Annotated[tuple[Listener, ...], about("What it serves.")]


class Document(Block, frozen=True):
    """A Portico configuration: `llm`, `binds`, or both."""

    llm: Annotated[Llm | None, about("One listener and a list of models.")] = None
    binds: Annotated[tuple[Bind, ...] | None, about("Ports, listeners, routes, backends.")] = None
    config: Annotated[Process, about("The process itself.")] = Process()
    frontend_policies: Annotated[FrontendPolicies, about("Rules towards callers.")] = (
        FrontendPolicies()
    )
