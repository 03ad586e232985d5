"""What a configuration means, whichever of the two document forms it was written in.

`config.load` turns YAML into `Settings`; `gateway.snapshot.assemble` turns `Settings` into the
running snapshot. References (`$VAR`, `file:`) are resolved, defaults filled, names checked: nothing
behind this file reads the environment or the disk for configuration.
"""

from typing import Literal

from msgspec import Struct

from portico.config.secret import Secret
from portico.limits import Deadlines, Limits

RouteType = Literal["completions", "responses", "messages", "anthropicTokenCount", "models"]
"""The kinds of endpoint a path can be, in agentgateway's words."""

OnLoss = Literal["ignore", "warn", "reject"]
"""What to do about what a translation cannot carry: nothing, say so, or refuse the request."""

StateMode = Literal["gateway", "provider", "off"]
"""Who keeps responses and conversations: this gateway, the provider, or nobody."""


class Address(Struct, frozen=True):
    """Where to listen: `host` and `port`, or a unix socket `path`."""

    host: str = "127.0.0.1"
    port: int = 0
    path: str | None = None


class ServerTls(Struct, frozen=True, kw_only=True):
    """PEM files of a listener."""

    cert: str
    key: str


class UpstreamTls(Struct, frozen=True, kw_only=True):
    """How to verify, and present ourselves to, a provider. `root` is a PEM bundle path."""

    root: str | None = None
    cert: str | None = None
    key: str | None = None
    hostname: str | None = None
    insecure: bool = False


class AwsKeys(Struct, frozen=True, kw_only=True):
    """An AWS credential written in the document."""

    access_key_id: str
    secret_access_key: Secret
    session_token: Secret | None = None


class ProviderSettings(Struct, frozen=True, kw_only=True):
    """Who serves a model. `kind` is a row of `portico.providers`; `name` labels logs and metrics.

    `base_url` has that provider's official SDK's meaning; None means the SDK's variable, resolved
    by the loader, or the public default. `formats` (custom providers only) maps a route type to
    the upstream path, relative to the base URL.

    `region` and `project` are those of the clouds that have such; `api_version` is Azure's, None
    for its v1 API. Without `api_key` (and `aws`), Bedrock and Vertex use the credentials they
    find around the process.
    """

    kind: str
    name: str
    base_url: str | None = None
    api_key: Secret | None = None
    formats: dict[str, str] | None = None
    tls: UpstreamTls | None = None
    region: str | None = None
    project: str | None = None
    api_version: str | None = None
    aws: AwsKeys | None = None


def secrets_of(provider: ProviderSettings) -> list[Secret]:
    """The credentials of a provider, as written."""
    aws = provider.aws
    held = [provider.api_key]
    if aws is not None:
        held += [aws.secret_access_key, aws.session_token]
    return [secret for secret in held if secret is not None]


class ModelSettings(Struct, frozen=True, kw_only=True):
    """One entry of the model list.

    `name` is what callers ask for: exact, `prefix*`, `*suffix` or `*`. `model` is the upstream id;
    None sends the asked name on, without `strip_prefix`. `fetch_remote_content`: media that a
    client names by URL and the provider cannot fetch are fetched here. `context_window` is in
    tokens; None: what is known of the model.
    """

    name: str
    provider: ProviderSettings
    model: str | None = None
    strip_prefix: str = ""
    visibility: Literal["public", "internal"] = "public"
    on_loss: OnLoss = "warn"
    fetch_remote_content: bool = False
    state: StateMode = "gateway"
    context_window: int | None = None


class CallerKey(Struct, frozen=True, kw_only=True):
    """One caller. `digest` is SHA-256 of the key, hex; the key itself is not kept."""

    digest: str
    metadata: dict[str, str] = {}
    allowed_models: tuple[str, ...] | None = None


class ApiKeySettings(Struct, frozen=True, kw_only=True):
    """`strict` refuses a call without a valid key; `optional` lets keyless calls through but
    refuses wrong keys; `permissive` lets both through, unnamed."""

    mode: Literal["strict", "optional", "permissive"] = "strict"
    keys: tuple[CallerKey, ...] = ()


class RouteSettings(Struct, frozen=True, kw_only=True):
    """What one listener serves under a path prefix and for some host names.

    `apis` maps a path suffix to a route type; the longest suffix wins. `hostnames` empty means any;
    `*.example.com` is every name below it. A prefix matches whole segments; with `path_exact`,
    `path_prefix` is the whole path.
    """

    apis: dict[str, RouteType]
    models: tuple[ModelSettings, ...]
    api_key: ApiKeySettings | None = None
    path_prefix: str = "/"
    path_exact: bool = False
    hostnames: tuple[str, ...] = ()
    name: str = ""


class ListenerSettings(Struct, frozen=True, kw_only=True):
    """One socket and what it serves; the first route that matches wins."""

    address: Address
    routes: tuple[RouteSettings, ...]
    tls: ServerTls | None = None


class LogSettings(Struct, frozen=True, kw_only=True):
    """`access` turns the per-request line on; `format` is for the human log."""

    level: Literal["debug", "info", "warn", "error"] = "info"
    format: Literal["json", "console"] = "json"
    access: bool = True


class DatabaseSettings(Struct, frozen=True, kw_only=True):
    """Where things are stored: checked URLs, see `config.database`. They may hold passwords."""

    url: Secret
    redis_url: Secret | None = None


class Settings(Struct, frozen=True, kw_only=True):
    """Everything the gateway needs to run. `sealing_key` protects what clients carry between
    requests for a provider; None: a key that is made at start and lost at the end. `database`
    None: one in memory, that of this worker. `state_retention`: seconds a stored response is
    kept."""

    listeners: tuple[ListenerSettings, ...]
    admin: Address | None = Address("127.0.0.1", 15000)
    limits: Limits = Limits()
    deadlines: Deadlines = Deadlines()
    log: LogSettings = LogSettings()
    workers: int = 1
    sealing_key: Secret | None = None
    database: DatabaseSettings | None = None
    state_retention: float = 30 * 86400.0
