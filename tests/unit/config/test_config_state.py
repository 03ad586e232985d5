"""Who keeps responses, for how long, and how many tokens a model takes in."""

from typing import Any

import pytest

from portico.config.errors import ConfigError
from portico.config.jsonschema import json_schema
from portico.config.load import loads
from portico.config.settings import ModelSettings, Settings


def llm(model: str = "", provider: str = "", config: str = "") -> ModelSettings:
    text = (
        "llm:\n"
        f"  providers: [{{name: p, provider: ollama, {provider}}}]\n"
        f"  models: [{{name: m, provider: {{reference: p}}, {model}}}]\n"
    )
    return _only(text + (f"config: {config}" if config else ""))


def binds(ai: str = "", config: str = "") -> ModelSettings:
    text = (
        "binds: [{port: 1, listeners: [{routes: [{backends: "
        f"[{{ai: {{provider: {{ollama: {{}}}}, {ai}}}}}]}}]}}]}}]\n"
    )
    return _only(text + (f"config: {config}" if config else ""))


def _only(text: str) -> ModelSettings:
    (model,) = loads(text, {}, name="f").listeners[0].routes[0].models
    return model


def process(config: str) -> Settings:
    return loads(
        f"llm: {{models: [{{name: m, provider: ollama}}]}}\nconfig: {config}", {}, name="f"
    )


def problem(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        loads(text, {}, name="f")
    (line,) = caught.value.lines()
    return line


def test_the_gateway_keeps_responses_for_thirty_days_unless_told_otherwise() -> None:
    assert llm().state == binds().state == "gateway"
    assert llm().context_window is binds().context_window is None
    assert process("{}").state_retention == Settings(listeners=()).state_retention == 30 * 86400


@pytest.mark.parametrize("mode", ["gateway", "provider", '"off"', "off"])
def test_the_mode_of_all_models_is_written_once(mode: str) -> None:
    config = f"{{state: {{mode: {mode}}}}}"
    wanted = mode.strip('"')
    assert llm(config=config).state == binds(config=config).state == wanted


def test_the_innermost_word_wins() -> None:
    config = "{state: {mode: off}}"
    provider, model = "state: {mode: provider}", "state: {mode: gateway}"
    assert llm(provider=provider, config=config).state == "provider"
    assert llm(model=model, provider=provider, config=config).state == "gateway"
    assert llm(model="state: {}", provider=provider, config=config).state == "provider"
    assert binds("state: {mode: provider}", config).state == "provider"
    assert binds("state: {}", config).state == "off"


def test_a_model_knows_its_window_better_than_its_provider() -> None:
    assert llm(provider="contextWindow: 8192").context_window == 8192
    assert llm(model="contextWindow: 4096", provider="contextWindow: 8192").context_window == 4096
    assert binds("contextWindow: 131072").context_window == 131072


def test_aliases_and_groups_of_a_route_have_its_word_too() -> None:
    text = """
binds:
- port: 1
  listeners:
  - routes:
    - backends:
      - ai:
          groups:
          - providers:
            - {provider: {ollama: {}}, state: {mode: off}, contextWindow: 100}
      policies: {ai: {modelAliases: {fast: small}}}
"""
    models = loads(text, {}, name="f").listeners[0].routes[0].models
    assert [(m.name, m.state, m.context_window) for m in models] == [
        ("fast", "off", 100),
        ("*", "off", 100),
    ]


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("60", 60), ("12h", 43200), ("30d", 2592000), ("1d12h", 129600), ('"90000"', 90000)],
)
def test_retention_takes_seconds_and_durations(written: str, seconds: float) -> None:
    assert process(f"{{state: {{retention: {written}}}}}").state_retention == seconds


MODEL = "llm: {{models: [{{name: m, provider: ollama, {0}}}]}}"
CONFIG = "llm: {{models: [{{name: m, provider: ollama}}]}}\nconfig: {0}"


@pytest.mark.parametrize(
    ("form", "written", "message"),
    [
        (CONFIG, "{state: {retention: 59}}", "retention: must be from 60 to 315360000"),
        (CONFIG, "{state: {retention: 0}}", "retention: must be from 60"),
        (CONFIG, "{state: {retention: 20y}}", "or a duration such as"),
        (CONFIG, "{state: {retention: forever}}", "or a duration such as"),
        (CONFIG, "{state: {retention: true}}", "expected a number of seconds, got a boolean"),
        (CONFIG, "{state: {retention: .nan}}", "retention: must be from 60"),
        (CONFIG, "{state: {mod: off}}", '$.config.state.mod: unknown key, did you mean "mode"?'),
        (CONFIG, "{state: {mode: gatway}}", 'mode: did you mean "gateway"? expected one of'),
        (CONFIG, "{state: {mode: no}}", "YAML reads a bare no as false"),
        (CONFIG, "{state: {mode: false}}", "$.config.state.mode: expected a string"),
        (CONFIG, "{state: off}", "$.config.state: expected a mapping"),
        (MODEL, "state: {retention: 1h}", "$.llm.models[0].state.retention: unknown key"),
        (MODEL, "state: {mode: on}", "YAML reads a bare on as true"),
        (MODEL, "state: gateway", "$.llm.models[0].state: expected a mapping, got a string"),
        (MODEL, "contextWindow: 0", "$.llm.models[0].contextWindow: must be from 1"),
        (MODEL, "contextWindow: 128k", "contextWindow: expected an integer, got a string"),
        (MODEL, "context_window: 1", 'unknown key, did you mean "contextWindow"?'),
    ],
)
def test_what_cannot_be_meant_is_refused(form: str, written: str, message: str) -> None:
    assert message in problem(form.format(written))


def test_editors_are_told_the_same() -> None:
    definitions: Any = json_schema()["$defs"]
    retention = definitions["State"]["properties"]["retention"]
    assert retention["default"] == 2592000
    assert retention["anyOf"][0] == {"type": "number", "minimum": 60, "maximum": 315360000}
    mode = definitions["ModelState"]["properties"]["mode"]
    assert mode["anyOf"][0] == {"enum": ["gateway", "off", "provider"]}
    for block in ("ModelEntry", "ProviderEntry", "AiTarget", "AiBackend"):
        window = definitions[block]["properties"]["contextWindow"]
        assert window["anyOf"][0]["minimum"] == 1
