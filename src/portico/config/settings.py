"""What a configuration means, whichever of the two document forms it was written in.

`config.load` turns YAML into `Settings`; `gateway.snapshot.assemble` turns `Settings` into the
running snapshot. References (`$VAR`, `file:`) are resolved, defaults filled, names checked: nothing
behind this file reads the environment or the disk for configuration.
"""

from typing import Final, Literal, TypeAlias

from msgspec import Struct

from portico.config.secret import Secret
from portico.limits import Deadlines, Limits

RouteType = Literal["completions", "responses", "messages", "anthropicTokenCount", "models"]
"""The kinds of endpoint a path can be, in agentgateway's words."""

OnLoss = Literal["ignore", "warn", "reject"]
"""What to do about what a translation cannot carry: nothing, say so, or refuse the request."""

StateMode = Literal["gateway", "provider", "off"]
"""Who keeps responses and conversations: this gateway, the provider, or nobody."""


class ValueTest(Struct, frozen=True, kw_only=True):
    """A test of one value: all that is given has to hold. `present` False: there is none. Numbers
    are compared as numbers. `equals` and `one_of` hold JSON scalars."""

    equals: str | int | float | bool | None = None
    one_of: tuple[str | int | float | bool, ...] = ()
    prefix: str | None = None
    suffix: str | None = None
    contains: str | None = None
    present: bool | None = None
    lt: float | None = None
    lte: float | None = None
    gt: float | None = None
    gte: float | None = None


class Condition(Struct, frozen=True, kw_only=True):
    """A typed condition on a request; all that is given has to hold. `headers` by lower-case name,
    `caller` by name of the key's metadata, `request` by dotted path into the body
    (`reasoning.effort`). `any`: one of them at least; `none`: not one."""

    headers: dict[str, ValueTest] = {}
    caller: dict[str, ValueTest] = {}
    request: dict[str, ValueTest] = {}
    any: tuple["Condition", ...] = ()
    none: tuple["Condition", ...] = ()


When: TypeAlias = Condition | str
"""When a choice applies: a condition, or an expression in CEL."""


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
    further_keys: tuple[Secret, ...] = ()
    """More credentials of equal standing: a request uses one of them and `api_key`."""


def secrets_of(provider: ProviderSettings) -> list[Secret]:
    """The credentials of a provider, as written."""
    aws = provider.aws
    held = [provider.api_key, *provider.further_keys]
    if aws is not None:
        held += [aws.secret_access_key, aws.session_token]
    return [secret for secret in held if secret is not None]


RETRIED: Final = frozenset((408, 409, 429, *range(500, 600)))
"""Statuses of a provider after which a request is tried again, where nothing else is said."""


class RetrySettings(Struct, frozen=True, kw_only=True):
    """When a request that failed before its first byte is sent again. `attempts`: how often at
    most, after the first time. `codes`: statuses that are worth it. Between two tries at the same
    place passes a random time up to `backoff`, doubled each time, up to `max_backoff` (seconds).
    Retries are at most the share `budget` of the requests of the last ten seconds and
    `budget_per_second` besides."""

    attempts: int = 2
    codes: frozenset[int] = RETRIED
    backoff: float = 0.25
    max_backoff: float = 8.0
    budget: float = 0.2
    budget_per_second: float = 3.0


class TimeoutSettings(Struct, frozen=True, kw_only=True):
    """Deadlines in seconds; None: those of `Settings.deadlines`. `request` is for everything,
    retries and pauses included; `attempt` for one try, from its start to its last byte;
    `first_byte` from the moment it was sent, `first_token` from its start; `idle` between two
    reads."""

    request: float | None = None
    attempt: float | None = None
    connect: float | None = None
    first_byte: float | None = None
    first_token: float | None = None
    idle: float | None = None


class ActiveCheck(Struct, frozen=True, kw_only=True):
    """Asking a provider that nobody asks, every `interval` seconds, for `timeout` at most. `models`
    reads its list of models, which costs nothing; `connect` only connects."""

    interval: float = 30.0
    timeout: float = 5.0
    kind: Literal["models", "connect"] = "models"


class HealthSettings(Struct, frozen=True, kw_only=True):
    """When a target is left alone. It is, for `open_for` seconds, after `failures` failures in
    `window` seconds if they are at least the `share` of its calls in that time, or after
    `consecutive` in a row (None: no such rule); then one request finds out. `statuses` are the
    answers that are failures. A 429 without `retry-after` puts a credential off for `cooldown`
    seconds, doubled each time up to `max_cooldown`. `when_all`: what happens while every target of
    a request is left alone: `fail` at once, or `try` one of them."""

    failures: int = 5
    window: float = 10.0
    share: float = 0.25
    consecutive: int | None = None
    open_for: float = 15.0
    statuses: frozenset[int] = frozenset(range(500, 600))
    cooldown: float = 1.0
    max_cooldown: float = 60.0
    when_all: Literal["fail", "try"] = "fail"
    active: ActiveCheck | None = None


class HeaderRules(Struct, frozen=True, kw_only=True):
    """Changes to header fields, names in lower case: `remove`, then `set` (in place of what is
    there), then `add` (beside it)."""

    set: tuple[tuple[str, str], ...] = ()
    add: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()


class Prompt(Struct, frozen=True, kw_only=True):
    """A message that the operator puts around a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class Shaping(Struct, frozen=True, kw_only=True):
    """What is changed about requests and answers. `defaults` and `overrides` are members of the
    body, in the dialect of the client, as JSON text by name."""

    defaults: dict[str, bytes] = {}
    overrides: dict[str, bytes] = {}
    request_headers: HeaderRules | None = None
    response_headers: HeaderRules | None = None
    prepend: tuple[Prompt, ...] = ()
    append: tuple[Prompt, ...] = ()


class Mirror(Struct, frozen=True, kw_only=True):
    """`share` (0 to 1) of the requests also go to `model`, a name of the same route; nobody gets
    to see the answers."""

    model: str
    share: float = 1.0


class Cost(Struct, frozen=True, kw_only=True):
    """US dollars for a million tokens."""

    input: float
    output: float


class ModelSettings(Struct, frozen=True, kw_only=True):
    """One entry of the model list.

    `name` is what callers ask for: exact, `prefix*`, `*suffix` or `*`. `model` is the upstream id;
    None sends the asked name on, without `strip_prefix`. `fetch_remote_content`: media that a
    client names by URL and the provider cannot fetch are fetched here. `context_window` is in
    tokens; None: what is known of the model. `fallback_on_context` is the name of the model to ask
    when a conversation is too long for this one. `cost`, None: what is known of it. `keeps_name`:
    a virtual model hands on the name that the caller wrote, not that of this entry.
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
    retry: RetrySettings = RetrySettings()
    timeout: TimeoutSettings = TimeoutSettings()
    health: HealthSettings = HealthSettings()
    shaping: Shaping | None = None
    mirror: Mirror | None = None
    fallback_on_context: str | None = None
    cost: Cost | None = None
    keeps_name: bool = False


class VirtualTarget(Struct, frozen=True, kw_only=True):
    """One choice of a virtual model. `model` names a model of the same route, virtual ones
    included. `priority`: lower first (failover). `when`: None for always (conditional)."""

    model: str
    weight: int = 1
    priority: int = 0
    when: When | None = None


class VirtualSettings(Struct, frozen=True, kw_only=True):
    """A name that stands for several models. `weighted`: each in its share; `failover`: the group
    of the lowest priority that is well; `conditional`: the first whose condition holds. `sort`
    orders the targets of a group; None: by latency and health. `retry` and `timeout` None: those
    of the model chosen first."""

    name: str
    routing: Literal["weighted", "failover", "conditional"]
    targets: tuple[VirtualTarget, ...]
    sort: Literal["cost", "ttft", "throughput"] | None = None
    visibility: Literal["public", "internal"] = "public"
    retry: RetrySettings | None = None
    timeout: TimeoutSettings | None = None
    mirror: Mirror | None = None


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
    `path_prefix` is the whole path. `aliases` are other names (or patterns) of models: the name
    asked for is replaced before it is looked up.
    """

    apis: dict[str, RouteType]
    models: tuple[ModelSettings, ...]
    virtual: tuple[VirtualSettings, ...] = ()
    aliases: dict[str, str] = {}
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
