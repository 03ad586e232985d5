"""What a target knows of state: who keeps responses, and how much its model takes in."""

from typing import Any

import pytest
from msgspec import structs
from tests.support.gateway import model, route, settings

from portico.config.secret import Secret
from portico.config.settings import ProviderSettings
from portico.gateway.snapshot import Target, assemble
from portico.http.client import HttpClient
from portico.providers.table import PROVIDERS

PLACES: dict[str, dict[str, str]] = {
    "azure": {"base_url": "https://r.openai.azure.com"},
    "vertex": {"project": "p", "region": "global"},
    "bedrock": {"region": "us-east-1"},
}


def target(kind: str, place: dict[str, Any] | None = None, **more: Any) -> Target:
    where = PLACES.get(kind, {}) if place is None else place
    served_by = ProviderSettings(kind=kind, name=kind, api_key=Secret("k"), **where)
    entry = structs.replace(model("m", served_by), **more)
    snapshot = assemble(settings(route([entry])), HttpClient(), {})
    return snapshot.fronts[0].routes[0].entries[0].target


@pytest.mark.parametrize("kind", PROVIDERS)
def test_openai_azure_and_xai_keep_responses_and_no_other_is_taken_to(kind: str) -> None:
    assert target(kind).keeps("some-model") == (kind in {"openAI", "azure", "xai"})


@pytest.mark.parametrize(
    "place",
    [
        {"base_url": "https://r.openai.azure.com", "api_version": "2025-04-01-preview"},
        {"base_url": "https://r.openai.azure.com", "api_version": "preview"},
        {"base_url": "https://r.services.ai.azure.com", "project": "p"},
    ],
)
def test_azure_keeps_them_in_every_way_of_addressing_it(place: dict[str, str]) -> None:
    assert target("azure", place).keeps("gpt-5.2")


def test_azure_keeps_none_of_a_model_that_speaks_another_dialect() -> None:
    assert not target("azure").keeps("claude-sonnet-4-5")


def test_a_custom_provider_is_not_taken_to_keep_responses() -> None:
    place = {"base_url": "https://models.example.com", "formats": {"responses": "/v1/responses"}}
    assert not target("custom", place).keeps("m")


def test_the_words_of_the_settings_arrive() -> None:
    assert (target("openAI").state, target("openAI").context_window) == ("gateway", None)
    told = target("openAI", state="off", context_window=4096)
    assert (told.state, told.context_window) == ("off", 4096)
