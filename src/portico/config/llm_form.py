"""The `llm:` form -> one listener."""

from typing import Final

from msgspec import Struct, structs

from portico.config import resilience, shaping, values, virtual
from portico.config.callers import api_key, checked
from portico.config.clouds import CloudKey, Role
from portico.config.errors import Path, Report
from portico.config.kinds import ALIASES
from portico.config.references import Env
from portico.config.schema import (
    Llm,
    LlmPolicies,
    ModelEntry,
    Params,
    ProviderChoice,
    ProviderEntry,
)
from portico.config.schema_routing import Resilience
from portico.config.schema_shaping import Rules
from portico.config.settings import (
    Address,
    ListenerSettings,
    ModelSettings,
    OnLoss,
    ProviderSettings,
    RouteSettings,
    RouteType,
    ServerTls,
    StateMode,
)
from portico.config.upstream import Upstream, provider

DEFAULT_APIS: Final[dict[str, RouteType]] = {
    "/v1/chat/completions": "completions",
    "/v1/responses": "responses",
    "/v1/messages": "messages",
    "/v1/messages/count_tokens": "anthropicTokenCount",
    "/v1/models": "models",
    "/chat/completions": "completions",
    "/responses": "responses",
    "/messages": "messages",
    "/messages/count_tokens": "anthropicTokenCount",
    "/models": "models",
}
"""Path suffix to API where the document does not say: both forms use it."""


class Found(Struct, frozen=True):
    """A provider, and what it says for all its models: the upstream id, if it forces one, and what
    a model may say better."""

    provider: ProviderSettings
    model: str | None
    on_loss: OnLoss | None = None
    fetch_remote_content: bool | None = None
    state: StateMode | None = None
    context_window: int | None = None
    defaults: Rules = Rules()
    beside: Resilience = Resilience()


_TOP: Path = ("llm",)
_CLOUD: tuple[tuple[str, Role, str], ...] = (
    ("awsRegion", "region", "bedrock"),
    ("vertexRegion", "region", "vertex"),
    ("vertexProject", "project", "vertex"),
    ("azureResourceName", "resource", "azure"),
    ("azureResourceType", "resource type", "azure"),
    ("azureApiVersion", "api version", "azure"),
    ("azureProjectName", "project name", "azure"),
)
_OF_A_MODEL = {"model", "strip_prefix"}
_OWN_PARAMS = tuple(name for name in Params.__struct_fields__ if name not in _OF_A_MODEL)


def listener(
    llm: Llm, address: Address, mode: StateMode, env: Env, report: Report
) -> ListenerSettings:
    """The one listener of the form, on `address`. `mode` is for models that say nothing of it.
    Problems go to `report`."""
    providers = _providers(llm, env, report)
    shaping.check(llm.policies, (*_TOP, "policies"), report)
    names = virtual.Names(llm, report)
    return ListenerSettings(
        address=address,
        tls=None if llm.tls is None else ServerTls(cert=llm.tls.cert, key=llm.tls.key),
        routes=(
            RouteSettings(
                apis=dict(DEFAULT_APIS),
                models=_models(llm, providers, names, mode, env, report),
                virtual=virtual.virtual_models(llm, names, report),
                aliases=virtual.aliases(llm, names, report),
                api_key=api_key(llm.policies.api_key, (*_TOP, "policies", "apiKey"), report),
                name="llm",
            ),
        ),
    )


def _providers(llm: Llm, env: Env, report: Report) -> dict[str, Found]:
    """Name -> the provider and the model id it forces."""
    out: dict[str, Found] = {}
    for i, entry in enumerate(llm.providers):
        path = (*_TOP, "providers", i)
        if entry.name in out:
            report.add((*path, "name"), "another provider has this name")
        if isinstance(entry.provider, ProviderChoice) and entry.provider.reference is not None:
            report.add((*path, "provider"), "a provider cannot refer to another one")
            continue
        if entry.params.strip_prefix is not None:
            report.add((*path, "params", "stripPrefix"), "belongs to a model")
        _check_levels(entry, path, report)
        found = _inline(entry, path, env, report)
        if found is not None:
            out[entry.name] = Found(
                found,
                _forced(entry),
                entry.on_loss,
                entry.fetch_remote_content,
                None if entry.state is None else entry.state.mode,
                entry.context_window,
                entry.defaults,
                Resilience(retry=entry.retry, timeout=entry.timeout, health=entry.health),
            )
    return out


def _check_levels(entry: ProviderEntry, path: Path, report: Report) -> None:
    """The rules that stand beside `defaults`, and those in it."""
    resilience.check(entry, path, report)
    shaping.check(entry.defaults, (*path, "defaults"), report)
    for key in Resilience.__struct_fields__:
        if getattr(entry, key) is not None and getattr(entry.defaults, key) is not None:
            report.add((*path, "defaults", key), "is also written beside defaults")


def _models(
    llm: Llm,
    providers: dict[str, Found],
    names: virtual.Names,
    mode: StateMode,
    env: Env,
    report: Report,
) -> tuple[ModelSettings, ...]:
    if not llm.models:
        report.add((*_TOP, "models"), "list at least one model")
    listed = frozenset(entry.name for entry in llm.providers)
    seen: set[str] = set()
    out: list[ModelSettings] = []
    for i, entry in enumerate(llm.models):
        path = (*_TOP, "models", i)
        checked(values.model_pattern, entry.name, (*path, "name"), report)
        if entry.name in seen:
            report.add((*path, "name"), "another model has this name")
        seen.add(entry.name)
        shaping.check(entry, path, report)
        found = _resolve(entry, path, listed, providers, env, report)
        if found is not None:
            model = _model(entry, found, mode, path, report)
            out.append(_ruled(model, entry, found, llm.policies, path, names))
    return tuple(out)


def _resolve(
    entry: ModelEntry,
    path: Path,
    names: frozenset[str],
    providers: dict[str, Found],
    env: Env,
    report: Report,
) -> Found | None:
    choice = entry.provider
    if not isinstance(choice, ProviderChoice) or choice.reference is None:
        found = _inline(entry, path, env, report)
        return None if found is None else Found(found, _forced(entry))
    if choice.custom is not None:
        report.add((*path, "provider"), "exactly one of reference and custom is needed")
        return None
    own = any(getattr(entry.params, name) is not None for name in _OWN_PARAMS)
    if own or entry.tls is not None:
        report.add((*path, "params"), "a referenced provider is set up at llm.providers, not here")
    if choice.reference in providers:
        return providers[choice.reference]
    if report.sound((*_TOP, "providers")) and choice.reference not in names:
        report.add((*path, "provider", "reference"), "no entry of llm.providers has this name")
    return None


def _inline(
    entry: ModelEntry | ProviderEntry, path: Path, env: Env, report: Report
) -> ProviderSettings | None:
    """The provider written at `entry` itself."""
    choice = entry.provider
    custom = choice.custom if isinstance(choice, ProviderChoice) else None
    if isinstance(choice, ProviderChoice) and custom is None:
        report.add((*path, "provider"), "exactly one of reference and custom is needed")
        return None
    written = "custom" if isinstance(choice, ProviderChoice) else choice
    kind = ALIASES.get(written, written)
    label = custom.provider_override if custom is not None else None
    params = entry.params
    return provider(
        Upstream(
            kind=kind,
            name=label or (entry.name if isinstance(entry, ProviderEntry) else written),
            path=(*path, "params"),
            key_path=(*path, "params", "apiKey"),
            api_key=params.api_key,
            api_keys=params.api_keys,
            keys_path=(*path, "params", "apiKeys"),
            base_url=params.base_url,
            host_override=params.host_override,
            path_override=params.path_override,
            path_prefix=params.path_prefix,
            formats=custom.formats if custom is not None else None,
            formats_path=(*path, "provider", "custom", "formats"),
            tls=entry.tls,
            tls_path=(*path, "tls"),
            cloud=_cloud(params, (*path, "params")),
        ),
        env,
        report,
    )


def _cloud(params: Params, path: Path) -> tuple[CloudKey, ...]:
    said = (
        params.aws_region,
        params.vertex_region,
        params.vertex_project,
        params.azure_resource_name,
        params.azure_resource_type,
        params.azure_api_version,
        params.azure_project_name,
    )
    return tuple(
        CloudKey(role, (kind,), (*path, key), value)
        for (key, role, kind), value in zip(_CLOUD, said, strict=True)
    )


def _forced(entry: ModelEntry | ProviderEntry) -> str | None:
    """The upstream id `entry` sets for every request."""
    custom = entry.provider.custom if isinstance(entry.provider, ProviderChoice) else None
    return entry.params.model or (custom.model if custom is not None else None)


def _model(
    entry: ModelEntry, found: Found, mode: StateMode, path: Path, report: Report
) -> ModelSettings:
    forced = found.model
    params = entry.params
    if params.model is not None:
        checked(values.upstream_model, params.model, (*path, "params", "model"), report)
    if params.strip_prefix is not None and (params.model or forced):
        report.add((*path, "params", "stripPrefix"), "has no effect where the model id is set")
    return ModelSettings(
        name=entry.name,
        provider=found.provider,
        model=params.model or forced,
        strip_prefix=params.strip_prefix or "",
        visibility=entry.visibility,
        on_loss=entry.on_loss or found.on_loss or "warn",
        fetch_remote_content=next(
            (
                said
                for said in (entry.fetch_remote_content, found.fetch_remote_content)
                if said is not None
            ),
            False,
        ),
        state=(entry.state and entry.state.mode) or found.state or mode,
        context_window=entry.context_window or found.context_window,
    )


def _ruled(
    model: ModelSettings,
    entry: ModelEntry,
    found: Found,
    policies: LlmPolicies,
    path: Path,
    names: virtual.Names,
) -> ModelSettings:
    """`model` with its rules: its own, then its provider's, then those for every model."""
    if entry.fallback_on_context is not None:
        names.check(entry.fallback_on_context, (*path, "fallbackOnContext"), entry.name)
    levels = (entry, found.defaults, found.beside, policies)
    return structs.replace(
        model,
        retry=resilience.retry(*(level.retry for level in levels)),
        timeout=resilience.timeout(*(level.timeout for level in levels)),
        health=resilience.health(*(level.health for level in levels)),
        shaping=shaping.shaping((entry, found.defaults, policies)),
        mirror=virtual.mirror(entry.request_mirror, entry.name, path, names),
        fallback_on_context=entry.fallback_on_context,
        cost=shaping.cost(entry.cost),
    )
