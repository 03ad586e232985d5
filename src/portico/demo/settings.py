"""The configuration of demo mode: every model name is answered by the demo provider.

`cloud_models` are the same provider seen as each cloud shows itself, to try any pair of dialects:
`demo-gemini` and the others go to the paths, credentials and formats of their vendor.
"""

from portico.config.llm_form import DEFAULT_APIS
from portico.config.secret import Secret
from portico.config.settings import (
    Address,
    AwsKeys,
    HealthSettings,
    ListenerSettings,
    ModelSettings,
    ProviderSettings,
    RetrySettings,
    RouteSettings,
    Settings,
)
from portico.demo.models import MODELS

__all__ = ["DEFAULT_PORT", "cloud_models", "demo_settings"]

DEFAULT_PORT = 4000
_KEY = Secret("demo-key-of-no-value")


def demo_settings(url: str, *, clouds: bool = False) -> Settings:
    """Settings that send everything to the demo provider at `url` (no path).

    With `clouds` the models of `cloud_models` are there too.
    """
    provider = ProviderSettings(
        kind="custom",
        name="demo",
        base_url=url,
        formats={
            "completions": "/v1/chat/completions",
            "responses": "/v1/responses",
            "messages": "/v1/messages",
        },
    )
    models = [_model(name, provider) for name in MODELS]
    if clouds:
        models.extend(cloud_models(url))
    models.append(_model("*", provider))
    route = RouteSettings(apis=dict(DEFAULT_APIS), models=tuple(models), name="demo")
    listener = ListenerSettings(address=Address(port=DEFAULT_PORT), routes=(route,))
    return Settings(listeners=(listener,))


def cloud_models(url: str) -> tuple[ModelSettings, ...]:
    """One model per upstream dialect and cloud, all answered by the demo provider at `url`."""
    signed = AwsKeys(access_key_id="AKIDDEMO", secret_access_key=_KEY)
    vertex = _provider("vertex", url, project="demo", region="global")
    rows: tuple[tuple[str, ProviderSettings, str], ...] = (
        ("demo-openai", _provider("openAI", f"{url}/v1"), "demo-small"),
        ("demo-chat", _custom(url, "completions", "/v1/chat/completions"), "demo-small"),
        ("demo-claude", _provider("anthropic", url), "demo-small"),
        ("demo-gemini", _provider("gemini", url), "demo-gemini"),
        ("demo-gemini-3", _provider("gemini", url), "demo-gemini-3"),
        ("demo-vertex", vertex, "demo-gemini-3"),
        ("demo-vertex-claude", vertex, "claude-demo"),
        ("demo-bedrock", _provider("bedrock", url, region="us-east-1"), "demo.converse-v1:0"),
        (
            "demo-bedrock-signed",
            ProviderSettings(
                kind="bedrock", name="bedrock", base_url=url, region="us-east-1", aws=signed
            ),
            "demo.converse-v1:0",
        ),
        ("demo-azure", _provider("azure", url), "demo-small"),
        (
            "demo-azure-dated",
            _provider("azure", url, api_version="2024-10-21"),
            "demo-small",
        ),
    )
    return tuple(_model(name, provider, model) for name, provider, model in rows)


def _model(name: str, provider: ProviderSettings, model: str | None = None) -> ModelSettings:
    """Without second tries and breakers: who asks the demo for a fault wants to see it."""
    return ModelSettings(
        name=name,
        provider=provider,
        model=model,
        retry=RetrySettings(attempts=0),
        health=HealthSettings(failures=1_000_000),
    )


def _provider(
    kind: str,
    url: str,
    *,
    region: str | None = None,
    project: str | None = None,
    api_version: str | None = None,
) -> ProviderSettings:
    return ProviderSettings(
        kind=kind,
        name=kind.lower(),
        base_url=url,
        api_key=_KEY,
        region=region,
        project=project,
        api_version=api_version,
    )


def _custom(url: str, route_type: str, path: str) -> ProviderSettings:
    return ProviderSettings(
        kind="custom", name=f"demo-{route_type}", base_url=url, formats={route_type: path}
    )
