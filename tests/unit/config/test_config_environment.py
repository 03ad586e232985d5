"""No file at all: the keys in the environment are enough."""

import pytest

from portico.config.environment import from_environment
from portico.config.errors import ConfigError
from portico.config.settings import Address, ModelSettings, Settings


def models(settings: Settings | None) -> dict[str, ModelSettings]:
    assert settings is not None
    (listener,) = settings.listeners
    assert listener.address == Address("127.0.0.1", 4000)
    return {m.name: m for m in listener.routes[0].models}


@pytest.mark.parametrize("env", [{}, {"OPENAI_API_KEY": ""}, {"OPENAI_BASE_URL": "http://x"}])
def test_without_a_key_there_are_no_settings(env: dict[str, str]) -> None:
    assert from_environment(env) is None


def test_a_single_key_takes_every_name() -> None:
    found = models(from_environment({"ANTHROPIC_API_KEY": "k"}))
    assert list(found) == ["anthropic/*", "claude-*", "*"]
    assert found["anthropic/*"].strip_prefix == "anthropic/"
    assert {m.provider.kind for m in found.values()} == {"anthropic"}


def test_with_several_keys_only_unambiguous_names_are_served() -> None:
    env = {"OPENAI_API_KEY": "a", "ANTHROPIC_API_KEY": "b", "GOOGLE_API_KEY": "c"}
    found = models(from_environment(env))
    assert "*" not in found
    kinds = {name: m.provider.kind for name, m in found.items()}
    assert kinds["openai/*"] == kinds["gpt-*"] == kinds["o3*"] == "openAI"
    assert kinds["google/*"] == kinds["gemini-*"] == "gemini"
    assert kinds["claude-*"] == "anthropic"


def test_base_url_variables_count() -> None:
    env = {"OPENAI_API_KEY": "a", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1/"}
    assert models(from_environment(env))["*"].provider.base_url == "http://127.0.0.1:9/v1"


@pytest.mark.parametrize(
    "env",
    [
        {"OPENAI_API_KEY": "a\nb"},
        {"OPENAI_API_KEY": "a", "OPENAI_BASE_URL": "not a url"},
    ],
)
def test_what_cannot_be_used_is_an_error(env: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="OPENAI"):
        from_environment(env)
