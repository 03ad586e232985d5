"""The configuration of demo mode: every model name is answered by the demo provider."""

from portico.config.llm_form import DEFAULT_APIS
from portico.config.settings import (
    Address,
    ListenerSettings,
    ModelSettings,
    ProviderSettings,
    RouteSettings,
    Settings,
)
from portico.demo.models import MODELS

DEFAULT_PORT = 4000


def demo_settings(url: str) -> Settings:
    """Settings that send everything to the demo provider at `url` (no path)."""
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
    models = tuple(ModelSettings(name=name, provider=provider) for name in (*MODELS, "*"))
    route = RouteSettings(apis=dict(DEFAULT_APIS), models=models, name="demo")
    listener = ListenerSettings(address=Address(port=DEFAULT_PORT), routes=(route,))
    return Settings(listeners=(listener,))
