"""No configuration file: what the keys in the environment are enough for."""

from portico.config import database, values
from portico.config.compile import sealing_key
from portico.config.errors import ConfigError, Report
from portico.config.kinds import KINDS
from portico.config.llm_form import DEFAULT_APIS
from portico.config.references import Env
from portico.config.schema_process import Database
from portico.config.secret import Secret
from portico.config.settings import (
    Address,
    ListenerSettings,
    ModelSettings,
    ProviderSettings,
    RouteSettings,
    Settings,
)
from portico.config.upstream import sdk_base_url, sdk_key

DEFAULT_PORT = 4000

_PREFIXES = {"openAI": "openai/", "anthropic": "anthropic/", "gemini": "google/"}

_OWN_NAMES = {
    # https://platform.openai.com/docs/models (2026-11-21)
    "openAI": ("gpt-*", "o1*", "o3*", "o4*", "chatgpt-*"),
    # https://platform.claude.com/docs/en/about-claude/models/overview (2026-11-21)
    "anthropic": ("claude-*",),
    # https://ai.google.dev/gemini-api/docs/models (2026-11-21)
    "gemini": ("gemini-*",),
}
"""Names that can only mean this provider, so that callers may leave the prefix out."""


def from_environment(env: Env) -> Settings | None:
    """Settings for every provider whose key is set; None if there is none.

    `openai/*`, `anthropic/*` and `google/*` reach the provider without the prefix, and so do the
    names above; with one provider only, every other name goes to it too. Raises `ConfigError` for a
    key or base URL that cannot be used.
    """
    report = Report({})
    found = [p for kind in _PREFIXES if (p := _provider(kind, env, report)) is not None]
    sealed = sealing_key(None, env, (), report)
    stored = database.settings(Database(), env, (), report)
    if report.problems:
        raise ConfigError(report.problems, "environment")
    if not found:
        return None
    models = [model for who in found for model in _models(who)]
    if len(found) == 1:
        models.append(ModelSettings(name="*", provider=found[0]))
    route = RouteSettings(apis=dict(DEFAULT_APIS), models=tuple(models), name="environment")
    listener = ListenerSettings(address=Address(port=DEFAULT_PORT), routes=(route,))
    return Settings(listeners=(listener,), sealing_key=sealed, database=stored)


def _models(who: ProviderSettings) -> list[ModelSettings]:
    prefix = _PREFIXES[who.kind]
    own = [ModelSettings(name=name, provider=who) for name in _OWN_NAMES[who.kind]]
    return [ModelSettings(name=f"{prefix}*", provider=who, strip_prefix=prefix), *own]


def _provider(kind: str, env: Env, report: Report) -> ProviderSettings | None:
    key = sdk_key(kind, env)
    if key is None:
        return None
    try:
        values.credential(key)
    except ValueError as error:
        report.add((), f"{' or '.join(KINDS[kind].key_env)}: {error}")
    return ProviderSettings(
        kind=kind,
        name=kind,
        base_url=sdk_base_url(kind, env, (), report),
        api_key=Secret(key),
    )
