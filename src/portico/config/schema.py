"""The configuration document: what may be written, in agentgateway's key names (camelCase).

Both forms live here: `llm:` (a list of models) and `binds:` (listeners, routes, backends). The
Structs say shape and documentation only; `walk` checks a document against them, `known` lists the
keys agentgateway has and this version does not, `compile` gives them their meaning. Every key that
is absent has the default shown; null is refused everywhere, because an emptied block (`apiKey:`
with nothing below it) must not switch something off.

Source: agentgateway's `schema/config.json`, v1.4 to v1.5. Keys marked (Portico) are additions.
"""

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct, field

from portico.config.secret import Secret
from portico.limits import Deadlines, Limits


def _about(text: str) -> Meta:
    return Meta(description=text)


Text: TypeAlias = Annotated[str, Meta(min_length=1)]

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
Mode: TypeAlias = Literal["gateway", "provider", "off"]
Url: TypeAlias = Annotated[Secret, Meta(extra={"form": "url"})]

_ON_LOSS = _about(
    "(Portico) What a translation cannot carry: ignore it, warn in a header, reject the request."
)
_FETCH = _about(
    "(Portico) Fetch media that a caller names by URL where the provider does not do it."
)
_STATE = _about("(Portico) Responses that requests refer to by id. Default: config.state.")
_WINDOW = _about("(Portico) Tokens the model takes. Default: what is known of the model.")
_MODE = _about(
    "Who keeps responses: gateway, for every model; provider, where it can; off, nobody."
)


class Block(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """A mapping of the document."""


# --- pieces both forms use ----------------------------------------------------------------------


class ListenerTls(Block, frozen=True):
    """Serve HTTPS."""

    cert: Annotated[Text, _about("PEM file: the certificate chain.")]
    key: Annotated[Text, _about("PEM file: the private key.")]


class ClientTls(Block, frozen=True):
    """How to reach a provider over TLS. An empty block means TLS with the system's roots."""

    root: Annotated[Text | None, _about("PEM bundle of the roots to trust.")] = None
    cert: Annotated[Text | None, _about("PEM file: our client certificate.")] = None
    key: Annotated[Text | None, _about("PEM file: the key of `cert`.")] = None
    hostname: Annotated[Text | None, _about("Name to ask for (SNI) and to verify.")] = None
    insecure: Annotated[bool, _about("Do not verify the certificate.")] = False


class ModelState(Block, frozen=True):
    """Responses that requests to a model refer to by id."""

    mode: Annotated[Mode | None, _MODE] = None


Window: TypeAlias = Annotated[int, Meta(ge=1)]


class CustomFormat(Block, frozen=True):
    """One API a custom provider speaks."""

    type: Annotated[ServedFormat, _about("The API.")]
    path: Annotated[
        Text | None,
        _about("Path below the base URL. Default: the API's usual one."),
    ] = None


class Custom(Block, frozen=True):
    """A provider described in place."""

    formats: Annotated[tuple[CustomFormat, ...], _about("The APIs it speaks.")]
    model: Annotated[Text | None, _about("Upstream model id, whatever was asked for.")] = None
    provider_override: Annotated[Text | None, _about("Name in logs and metrics.")] = None


class CallerKeyEntry(Block, frozen=True):
    """One caller: exactly one of `key` and `keyHash`."""

    key: Annotated[Secret | None, _about("The key; only its SHA-256 is kept.")] = None
    key_hash: Annotated[Text | None, _about('"sha256:" and 64 hex digits.')] = None
    metadata: Annotated[dict[str, str], _about("Labels of this caller, for the log.")] = {}
    allowed_models: Annotated[
        tuple[Text, ...] | None,
        _about("Model names or patterns this key may use. Default: all."),
    ] = None


class ApiKeyPolicy(Block, frozen=True):
    """Who may call."""

    mode: Annotated[
        Literal["strict", "optional", "permissive"],
        _about(
            "strict: a valid key is required. optional: no key is fine, a wrong one is not. "
            "permissive: anything passes, unnamed."
        ),
    ] = "strict"
    keys: Annotated[tuple[CallerKeyEntry, ...], _about("The callers.")] = ()


# --- llm: ---------------------------------------------------------------------------------------


class Params(Block, frozen=True):
    """How to reach a model."""

    model: Annotated[Text | None, _about("Upstream model id. Default: the name asked for.")] = None
    strip_prefix: Annotated[
        Text | None, _about("(Portico) Removed from the asked name before it is sent on.")
    ] = None
    api_key: Annotated[
        Secret | None, _about("The provider's key. Default: its SDK's environment variable.")
    ] = None
    base_url: Annotated[
        Text | None, _about("As in the provider's SDK. Default: its SDK's variable, or public.")
    ] = None
    host_override: Annotated[Text | None, _about("Deprecated, use baseUrl: host:port.")] = None
    path_override: Annotated[Text | None, _about("Deprecated, use baseUrl: whole path.")] = None
    path_prefix: Annotated[Text | None, _about("Deprecated, use baseUrl: replaces /v1.")] = None
    aws_region: Annotated[Text | None, _about("bedrock: the region. Default: AWS_REGION.")] = None
    vertex_region: Annotated[
        Text | None, _about("vertex: the location. Default: GOOGLE_CLOUD_LOCATION, or global.")
    ] = None
    vertex_project: Annotated[
        Text | None, _about("vertex: the project. Default: GOOGLE_CLOUD_PROJECT.")
    ] = None
    azure_resource_name: Annotated[
        Text | None, _about("azure: the resource. Default: AZURE_OPENAI_ENDPOINT.")
    ] = None
    azure_resource_type: Annotated[
        AzureType | None, _about("azure: openAI (*.openai.azure.com) or foundry.")
    ] = None
    azure_api_version: Annotated[
        Text | None, _about("azure: v1, preview or a date. Default: OPENAI_API_VERSION, or v1.")
    ] = None
    azure_project_name: Annotated[Text | None, _about("azure: project of a foundry resource.")] = (
        None
    )


class ProviderChoice(Block, frozen=True):
    """A provider that is not a plain kind: exactly one of the two."""

    reference: Annotated[Text | None, _about("Name of an entry of llm.providers.")] = None
    custom: Annotated[Custom | None, _about("A provider described in place.")] = None


class ProviderEntry(Block, frozen=True):
    """A provider several models share."""

    name: Annotated[Text, _about("What models refer to; label in logs and metrics.")]
    provider: Annotated[Kind | ProviderChoice, _about("A kind, or {custom: ...}.")]
    params: Annotated[Params, _about("How to reach it.")] = Params()
    tls: Annotated[ClientTls | None, _about("TLS towards it.")] = None
    on_loss: Annotated[OnLoss | None, _ON_LOSS] = None
    fetch_remote_content: Annotated[bool | None, _FETCH] = None
    state: Annotated[ModelState | None, _STATE] = None
    context_window: Annotated[Window | None, _WINDOW] = None


class ModelEntry(Block, frozen=True):
    """One name callers may ask for."""

    name: Annotated[Text, _about("Exact, prefix*, *suffix or *. The most specific name wins.")]
    provider: Annotated[
        Kind | ProviderChoice, _about("A kind, {reference: name} or {custom: ...}.")
    ]
    id: Annotated[Text | None, _about("Accepted for agentgateway's UI; has no effect.")] = None
    visibility: Annotated[
        Literal["public", "internal"], _about("internal: neither listed nor served to callers.")
    ] = "public"
    params: Annotated[Params, _about("How to reach it; with a reference only `model`.")] = Params()
    tls: Annotated[ClientTls | None, _about("TLS towards the provider.")] = None
    on_loss: Annotated[OnLoss | None, _ON_LOSS] = None
    fetch_remote_content: Annotated[bool | None, _FETCH] = None
    state: Annotated[ModelState | None, _STATE] = None
    context_window: Annotated[Window | None, _WINDOW] = None


class LlmPolicies(Block, frozen=True):
    """Rules for every model."""

    api_key: Annotated[ApiKeyPolicy | None, _about("Who may call. Default: anyone.")] = None


class Llm(Block, frozen=True):
    """One listener, a list of models."""

    models: Annotated[tuple[ModelEntry, ...], _about("What callers may ask for.")]
    port: Annotated[int, Meta(ge=0, le=65535), _about("TCP port.")] = 4000
    tls: Annotated[ListenerTls | None, _about("Serve HTTPS.")] = None
    providers: Annotated[tuple[ProviderEntry, ...], _about("Providers to refer to.")] = ()
    policies: Annotated[LlmPolicies, _about("Rules for every model.")] = LlmPolicies()


# --- binds: -------------------------------------------------------------------------------------


class AwsAuth(Block, frozen=True):
    """Credentials for AWS. An empty block: those around the process, as any AWS SDK finds them."""

    access_key_id: Annotated[Text | None, _about("Together with secretAccessKey.")] = None
    secret_access_key: Annotated[Secret | None, _about("Together with accessKeyId.")] = None
    session_token: Annotated[Secret | None, _about("Of a temporary credential.")] = None
    region: Annotated[Text | None, _about("The region, if the provider block has none.")] = None


class GcpAuth(Block, frozen=True):
    """Credentials for Google Cloud: those around the process, as any Google SDK finds them."""


class BackendAuth(Block, frozen=True):
    """Our credential at the provider: one of these."""

    key: Annotated[Secret | None, _about("The provider's key.")] = None
    aws: Annotated[AwsAuth | None, _about("bedrock: AWS credentials.")] = None
    gcp: Annotated[GcpAuth | None, _about("vertex: Google Cloud credentials.")] = None


class BackendPolicies(Block, frozen=True):
    """How to reach one backend; the innermost block that says something wins."""

    backend_auth: Annotated[BackendAuth | None, _about("Our credential.")] = None
    backend_tls: Annotated[ClientTls | None, _about("TLS towards the provider.")] = field(
        default=None, name="backendTLS"
    )


class AiPolicy(Block, frozen=True):
    """What the paths of a route are."""

    routes: Annotated[
        dict[str, ServedRoute] | None,
        _about("Path suffix to API; the longest suffix wins. Default: all of them."),
    ] = None
    model_aliases: Annotated[
        dict[str, Text], _about("Asked name or pattern to upstream model id.")
    ] = {}


class RoutePolicies(BackendPolicies, frozen=True):
    """Rules of a route."""

    ai: Annotated[AiPolicy, _about("What the paths are.")] = AiPolicy()
    api_key: Annotated[ApiKeyPolicy | None, _about("Who may call. Default: anyone.")] = None


class ProviderBody(Block, frozen=True):
    """What may be said of a provider in place; some keys are for some kinds only."""

    model: Annotated[Text | None, _about("Upstream model id, whatever was asked for.")] = None
    formats: Annotated[
        tuple[CustomFormat, ...] | None, _about("custom only: the APIs it speaks.")
    ] = None
    provider_override: Annotated[Text | None, _about("custom only: name in logs and metrics.")] = (
        None
    )
    region: Annotated[Text | None, _about("bedrock, vertex: the region.")] = None
    project_id: Annotated[Text | None, _about("vertex: the project.")] = None
    resource_name: Annotated[Text | None, _about("azure: the resource.")] = None
    resource_type: Annotated[
        AzureType | None, _about("azure: openAI (*.openai.azure.com) or foundry.")
    ] = None
    api_version: Annotated[Text | None, _about("azure: v1, preview or a date.")] = None
    project_name: Annotated[Text | None, _about("azure: project of a foundry resource.")] = None


class AiTarget(Block, frozen=True):
    """One provider to send to."""

    name: Annotated[Text | None, _about("Label in logs and metrics. Default: the kind.")] = None
    provider: Annotated[
        dict[KindOrCustom, ProviderBody] | None, _about("One kind, e.g. {openAI: {}}.")
    ] = None
    base_url: Annotated[Text | None, _about("(Portico) As in the provider's SDK.")] = None
    strip_prefix: Annotated[
        Text | None, _about("(Portico) Removed from the asked name before it is sent on.")
    ] = None
    host_override: Annotated[Text | None, _about("host:port; see backendTLS.")] = None
    path_override: Annotated[Text | None, _about("Whole upstream path.")] = None
    path_prefix: Annotated[Text | None, _about("Replaces /v1 upstream.")] = None
    on_loss: Annotated[OnLoss | None, _ON_LOSS] = None
    fetch_remote_content: Annotated[bool | None, _FETCH] = None
    state: Annotated[ModelState | None, _STATE] = None
    context_window: Annotated[Window | None, _WINDOW] = None
    policies: Annotated[BackendPolicies, _about("How to reach it.")] = BackendPolicies()


class AiGroup(Block, frozen=True):
    """A priority group; this version takes one group of one provider."""

    providers: Annotated[tuple[AiTarget, ...], _about("One provider.")]


class AiBackend(AiTarget, frozen=True):
    """An AI backend: a provider, or `groups` in its place."""

    groups: Annotated[tuple[AiGroup, ...] | None, _about("One group of one provider.")] = None


class Backend(Block, frozen=True):
    """Where a route sends to."""

    ai: Annotated[AiBackend, _about("A model provider.")]
    policies: Annotated[BackendPolicies, _about("How to reach it.")] = BackendPolicies()


class PathMatch(Block, frozen=True):
    """Exactly one of the two."""

    path_prefix: Annotated[Text | None, _about("Whole segments the path starts with.")] = None
    exact: Annotated[Text | None, _about("The whole path.")] = None


class Match(Block, frozen=True):
    """When a route applies."""

    path: Annotated[PathMatch | None, _about("Default: any path.")] = None


class Route(Block, frozen=True):
    """Requests that match go to the backend."""

    backends: Annotated[tuple[Backend, ...], _about("One backend.")]
    name: Annotated[Text | None, _about("Label in logs.")] = None
    hostnames: Annotated[tuple[Text, ...], _about("Host names; *.host below it.")] = ()
    matches: Annotated[tuple[Match, ...], _about("Any of these. Default: everything.")] = ()
    policies: Annotated[RoutePolicies, _about("Rules.")] = RoutePolicies()


class Listener(Block, frozen=True):
    """Routes under a host name."""

    routes: Annotated[tuple[Route, ...], _about("The most specific match wins.")]
    name: Annotated[Text | None, _about("Label in logs.")] = None
    hostname: Annotated[Text | None, _about("Only requests for it; *.host below it.")] = None
    protocol: Annotated[
        Annotated[Literal["HTTP", "HTTPS"], Meta(extra={"not_yet": ("TLS", "TCP", "HBONE")})]
        | None,
        _about("Default: HTTPS if tls is given."),
    ] = None
    tls: Annotated[ListenerTls | None, _about("Serve HTTPS.")] = None


class Bind(Block, frozen=True):
    """One port."""

    port: Annotated[int, Meta(ge=0, le=65535), _about("TCP port.")]
    listeners: Annotated[tuple[Listener, ...], _about("What it serves.")]


# --- config:, frontendPolicies: -----------------------------------------------------------------


class Database(Block, frozen=True):
    """Where things are stored."""

    url: Annotated[
        Url | None,
        _about(
            "sqlite:///file, sqlite::memory: or postgresql://... Default: PORTICO_DATABASE_URL, or "
            "a file in the user's data directory."
        ),
    ] = None
    redis_url: Annotated[
        Url | None, _about("(Portico) redis://, rediss:// or unix://, for what workers share.")
    ] = None


class State(Block, frozen=True):
    """Responses and conversations that requests refer to by id."""

    mode: Annotated[Mode, _MODE] = "gateway"
    retention: Annotated[
        float,
        Meta(ge=60, le=3650 * 86400),
        _about("How long a stored response is kept; seconds or a duration such as 30d."),
    ] = 30 * 86400.0


class Logging(Block, frozen=True):
    """What is logged."""

    level: Annotated[Literal["debug", "info", "warn", "error"], _about("Least level.")] = "info"
    format: Annotated[Literal["json", "console"], _about("Shape of a line.")] = "json"
    access: Annotated[bool, _about("(Portico) One line per request.")] = True


class Process(Block, frozen=True):
    """The process itself."""

    host: Annotated[Text, _about("(Portico) Address every port binds to.")] = "127.0.0.1"
    uds: Annotated[
        Text | None, _about("(Portico) Unix socket to serve on in place of the one TCP port.")
    ] = None
    workers: Annotated[int, Meta(ge=1, le=256), _about("(Portico) Worker processes.")] = 1
    admin_addr: Annotated[
        Text, _about('Health, metrics, admin: "host:port", ":port" (all interfaces) or "off".')
    ] = "127.0.0.1:15000"
    limits: Annotated[Limits, _about("(Portico) Bounds; bytes or sizes such as 32MiB.")] = Limits()
    deadlines: Annotated[Deadlines, _about("(Portico) Times; seconds or durations such as 5m.")] = (
        Deadlines()
    )
    logging: Annotated[Logging, _about("What is logged.")] = Logging()
    database: Annotated[Database, _about("Where things are stored.")] = Database()
    state: Annotated[State, _about("(Portico) Responses that requests refer to by id.")] = State()
    sealing_key: Annotated[
        Secret | None,
        _about(
            "(Portico) Protects what callers carry between requests. 32 bytes in hex or base64, or "
            "32 characters. Default: PORTICO_SEALING_KEY, or one made at start."
        ),
    ] = None


class FrontendHttp(Block, frozen=True):
    """HTTP towards callers."""

    max_buffer_size: Annotated[
        Annotated[int, Meta(ge=1, extra={"form": "size"})] | None,
        _about("Largest request body; the same as config.limits.bodyBytes."),
    ] = None


class FrontendPolicies(Block, frozen=True):
    """Rules towards callers."""

    http: Annotated[FrontendHttp, _about("HTTP towards callers.")] = FrontendHttp()


class Document(Block, frozen=True):
    """A Portico configuration: `llm`, `binds`, or both."""

    llm: Annotated[Llm | None, _about("One listener and a list of models.")] = None
    binds: Annotated[tuple[Bind, ...] | None, _about("Ports, listeners, routes, backends.")] = None
    config: Annotated[Process, _about("The process itself.")] = Process()
    frontend_policies: Annotated[FrontendPolicies, _about("Rules towards callers.")] = (
        FrontendPolicies()
    )
