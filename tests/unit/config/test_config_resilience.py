"""`retry`, `timeout`, `health`, credentials and costs in both forms: meaning, levels, bad input."""

import sys

import pytest

from portico.config.errors import ConfigError
from portico.config.expressions import MISSING, check, compile_expression, statuses
from portico.config.load import loads
from portico.config.settings import (
    RETRIED,
    ActiveCheck,
    Cost,
    HealthSettings,
    ModelSettings,
    RetrySettings,
    TimeoutSettings,
    secrets_of,
)

SERVER_ERRORS = frozenset(range(500, 600))


def model(text: str) -> ModelSettings:
    """The last model of a document."""
    return loads(text, {}, name="f").listeners[0].routes[0].models[-1]


def llm(rules: str, *, policies: str = "", provider: str = "") -> ModelSettings:
    return model(f"""
llm:
  providers: [{{name: p, provider: ollama{provider}}}]
  models: [{{name: m, provider: {{reference: p}}, {rules}}}]
  policies: {{{policies}}}
""")


def binds(target: str = "", backend: str = "", route: str = "") -> ModelSettings:
    ai = f"{{provider: {{ollama: {{}}}}, policies: {{{target}}}}}"
    policies = f"policies: {{{backend}}}"
    backends = f"[{{ai: {ai}, {policies}}}]"
    return model(
        f"binds: [{{port: 1, listeners: [{{routes: [{{backends: {backends},"
        f" policies: {{{route}}}}}]}}]}}]"
    )


def problem(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        loads(text, {}, name="f")
    (line,) = caught.value.lines()
    return line.partition(": ")[2]


def in_policies(text: str) -> str:
    return problem(f"llm: {{models: [{{name: m, provider: ollama}}], policies: {{{text}}}}}")


# --- what is written ----------------------------------------------------------------------------


def test_without_a_word_the_rules_are_those_of_the_settings() -> None:
    for found in (llm("visibility: public"), binds()):
        assert found.retry == RetrySettings()
        assert found.timeout == TimeoutSettings()
        assert found.health == HealthSettings()
        assert (found.shaping, found.mirror, found.cost) == (None, None, None)


RULES = """
    retry: {attempts: 3, codes: [429, 5xx], backoff: 200ms, maxBackoff: 2s,
            budget: {share: 0.1, perSecond: 1}},
    timeout: {requestTimeout: 2m, backendRequestTimeout: 60, connectTimeout: 1s,
              firstByteTimeout: 20s, firstTokenTimeout: 30s, idleTimeout: 10.5},
    health: {eviction: {duration: 10s, consecutiveFailures: 3, failures: 4, window: 20s, share: 1},
             unhealthyExpression: 'response.code >= 500 || response.code == 429',
             cooldown: {duration: 2s, max: 30s}, whenAllUnhealthy: try,
             active: {interval: 5s, timeout: 1s, kind: connect}}
"""


@pytest.mark.parametrize(
    "found", [lambda: llm(RULES), lambda: binds(RULES), lambda: binds(route=RULES)]
)
def test_every_key_has_its_meaning_in_both_forms(found: object) -> None:
    assert callable(found)
    what = found()
    assert what.retry == RetrySettings(
        attempts=3,
        codes=SERVER_ERRORS | {429},
        backoff=0.2,
        max_backoff=2.0,
        budget=0.1,
        budget_per_second=1.0,
    )
    assert what.timeout == TimeoutSettings(
        request=120.0, attempt=60.0, connect=1.0, first_byte=20.0, first_token=30.0, idle=10.5
    )
    assert what.health == HealthSettings(
        failures=4,
        window=20.0,
        share=1.0,
        consecutive=3,
        open_for=10.0,
        statuses=SERVER_ERRORS | {429},
        cooldown=2.0,
        max_cooldown=30.0,
        when_all="try",
        active=ActiveCheck(interval=5.0, timeout=1.0, kind="connect"),
    )


def test_agentgateways_own_health_block_loads() -> None:
    found = llm("health: {eviction: {duration: 10s, consecutiveFailures: 3}}").health
    assert (found.open_for, found.consecutive, found.statuses) == (10.0, 3, SERVER_ERRORS)


def test_an_empty_active_block_asks_with_the_defaults() -> None:
    assert llm("health: {active: {}}").health.active == ActiveCheck()


def test_words_and_references_stand_for_statuses() -> None:
    text = "llm: {models: [{name: m, provider: ollama, retry: {codes: [4XX, $CODE, '500']}}]}"
    found = loads(text, {"CODE": "503"}, name="f").listeners[0].routes[0].models[0]
    assert found.retry.codes == frozenset(range(400, 500)) | {500, 503}


# --- levels -------------------------------------------------------------------------------------


def test_every_key_is_taken_from_the_innermost_place_that_has_it() -> None:
    found = llm(
        "retry: {attempts: 1, budget: {share: 0.5}}",
        provider=", retry: {attempts: 2, backoff: 1s}, timeout: {idleTimeout: 5s},"
        " defaults: {health: {eviction: {duration: 9s}}}",
        policies="retry: {attempts: 3, backoff: 2s, maxBackoff: 4s, budget: {perSecond: 9}},"
        " timeout: {idleTimeout: 6s, requestTimeout: 7s},"
        " health: {eviction: {duration: 1s, failures: 2}}",
    )
    assert found.retry == RetrySettings(
        attempts=1, backoff=1.0, max_backoff=4.0, budget=0.5, budget_per_second=9.0
    )
    assert found.timeout == TimeoutSettings(request=7.0, idle=5.0)
    assert (found.health.open_for, found.health.failures) == (9.0, 2)


def test_in_binds_the_target_wins_over_the_backend_and_this_over_the_route() -> None:
    found = binds(
        target="retry: {attempts: 1}",
        backend="retry: {attempts: 2, backoff: 1s}",
        route="retry: {attempts: 3, backoff: 2s, maxBackoff: 3s}, health: {whenAllUnhealthy: try}",
    )
    assert found.retry == RetrySettings(attempts=1, backoff=1.0, max_backoff=3.0)
    assert found.health.when_all == "try"


def test_a_longer_backoff_lifts_the_usual_bound() -> None:
    assert llm("retry: {backoff: 10s}").retry.max_backoff == 10.0
    assert llm("retry: {codes: [429]}").retry.codes == frozenset({429}) != RETRIED


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("retry: {attempts: 21}", "retry.attempts: must be from 0 to 20"),
        ("retry: {codes: [200]}", "retry.codes[0]: expected a status from 400 to 599"),
        ("retry: {codes: [5yy]}", "retry.codes[0]: expected a status"),
        ("retry: {codes: [true]}", "retry.codes[0]: expected a status"),
        ("retry: {codes: []}", "retry.codes: lists no status; write attempts: 0"),
        ("retry: {backoff: 9s, maxBackoff: 1s}", "retry.maxBackoff: is less than backoff"),
        ("retry: {budget: {share: 2}}", "retry.budget.share: must be from 0 to 1"),
        ("retry: {budget: {share: .nan}}", "retry.budget.share: must be from 0 to 1"),
        ("retry: {budget: {share: 20%}}", "retry.budget.share: expected a number, got a string"),
        ("retry: {backof: 1s}", 'retry.backof: unknown key, did you mean "backoff"?'),
        ("timeout: {requestTimeout: 0}", "timeout.requestTimeout: must be from 0.001"),
        ("timeout: {idleTimeout: soon}", "timeout.idleTimeout: expected seconds"),
        ("timeout:", "timeout: has no value"),
        ("health: {eviction: {restoreHealth: 0.5}}", "eviction.restoreHealth: known from"),
        ("health: {whenAllUnhealthy: wait}", "health.whenAllUnhealthy: expected one of"),
        ("health: {cooldown: {duration: 5s, max: 1s}}", "health.cooldown.max: is less than"),
        ("health: {active: {interval: 10ms}}", "health.active.interval: must be from 1"),
        (
            "health: {unhealthyExpression: 'response.code >'}",
            "health.unhealthyExpression: not a valid expression in CEL",
        ),
        (
            "health: {unhealthyExpression: 'request.method == \"x\"'}",
            "health.unhealthyExpression: cannot be evaluated; it may refer to response.code only",
        ),
        (
            "health: {unhealthyExpression: response.code}",
            "health.unhealthyExpression: has to be true or false for every response.code",
        ),
        (
            "health: {unhealthyExpression: '[429].exists(c, c == response.code)'}",
            "health.unhealthyExpression: no loops here",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_its_path(text: str, message: str) -> None:
    line = in_policies(text)
    assert line.startswith("$.llm.policies."), line
    assert message in line


def test_a_rule_is_checked_where_it_stands_and_once() -> None:
    bad = "health: {unhealthyExpression: '1'}"
    models = "[{name: a, provider: {reference: p}}, {name: b, provider: {reference: p}}]"
    provider = f"{{name: p, provider: ollama, defaults: {{{bad}}}}}"
    line = problem(f"llm: {{providers: [{provider}], models: {models}}}")
    assert line.startswith("$.llm.providers[0].defaults.health.unhealthyExpression:")
    ai = "ai: {groups: [{providers: [{provider: {ollama: {}}}, {provider: {vllm: {}}}]}]}"
    routes = f"[{{backends: [{{{ai}, policies: {{{bad}}}}}]}}]"
    line = problem(f"binds: [{{port: 1, listeners: [{{routes: {routes}}}]}}]")
    assert ".backends[0].policies.health.unhealthyExpression:" in line


def test_a_provider_says_a_rule_once() -> None:
    text = (
        "llm: {models: [{name: m, provider: {reference: p}}], providers: [{name: p,"
        " provider: ollama, retry: {attempts: 1}, defaults: {retry: {attempts: 2}}}]}"
    )
    assert problem(text).startswith("$.llm.providers[0].defaults.retry: is also written beside")


# --- expressions --------------------------------------------------------------------------------


def test_an_expression_is_evaluated_once_for_every_status() -> None:
    assert statuses("response.code in [429, 503]") == {429, 503}
    assert statuses("true") == frozenset(range(100, 600))


def test_an_expression_without_a_value_is_a_value_error() -> None:
    found = compile_expression("llmRequest.max_tokens > 3")
    assert found.evaluate({"llmRequest": {"max_tokens": 4}}) is True
    for variables in ({}, {"llmRequest": {}}, {"llmRequest": {"max_tokens": "x"}}):
        with pytest.raises(ValueError, match="no value here"):
            found.evaluate(variables)


def test_expressions_are_bounded() -> None:
    with pytest.raises(ValueError, match="at most 4096"):
        check("1 == 1 && " * 1000 + "true")
    with pytest.raises(ValueError, match="a loop inside a loop"):
        check("a.all(x, b.exists(y, x == y))")
    check("a.all(x, x > 1) && b.exists(y, y == '.all(.map(') // .map(")


def test_without_the_package_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "cel", None)
    line = in_policies("health: {unhealthyExpression: 'response.code == 418'}")
    assert line == f"$.llm.policies.health.unhealthyExpression: {MISSING}"
    assert "pip install 'portico[cel]'" in line


# --- credentials and costs ----------------------------------------------------------------------


@pytest.mark.parametrize("form", ["llm", "binds"])
def test_several_keys_are_the_first_and_the_rest(form: str) -> None:
    if form == "llm":
        text = "llm: {models: [{name: m, provider: openAI, params: {apiKeys: [a, $B, c]}}]}"
    else:
        auth = "policies: {backendAuth: {keys: [a, $B, c]}}"
        text = (
            "binds: [{port: 1, listeners: [{routes: [{backends: "
            f"[{{ai: {{provider: {{openAI: {{}}}}}}}}], {auth}}}]}}]}}]"
        )
    found = loads(text, {"B": "b"}, name="f").listeners[0].routes[0].models[0].provider
    assert [secret.reveal() for secret in secrets_of(found)] == ["a", "b", "c"]
    assert found.api_key is not None
    assert found.api_key.reveal() == "a"


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ("{apiKeys: [a, b, a]}", "params.apiKeys[2]: another entry has this key"),
        ("{apiKeys: []}", "params.apiKeys: list at least one key"),
        ("{apiKeys: [a], apiKey: b}", "params.apiKeys: one key, or several; not both"),
        ("{apiKeys: ['a b']}", "params.apiKeys[0]: a key holds visible ASCII"),
    ],
)
def test_keys_that_make_no_sense_are_refused(params: str, message: str) -> None:
    text = f"llm: {{models: [{{name: m, provider: openAI, params: {params}}}]}}"
    assert f"$.llm.models[0].{message}" in problem(text)


def test_key_and_keys_exclude_each_other() -> None:
    ai = "{ai: {provider: {openAI: {}}, policies: {backendAuth: {key: a, keys: [b]}}}}"
    text = f"binds: [{{port: 1, listeners: [{{routes: [{{backends: [{ai}]}}]}}]}}]"
    assert "ai.policies.backendAuth: exactly one of key, keys, aws and gcp" in problem(text)


def test_a_cost_is_dollars_for_a_million_tokens() -> None:
    assert llm("cost: {input: 1, output: 2.5}").cost == Cost(input=1.0, output=2.5)
    text = (
        "binds: [{port: 1, listeners: [{routes: [{backends: "
        "[{ai: {provider: {ollama: {}}, cost: {input: 0, output: 0.5}}}]}]}]}]"
    )
    assert model(text).cost == Cost(input=0.0, output=0.5)
    line = problem("llm: {models: [{name: m, provider: ollama, cost: {input: -1, output: 1}}]}")
    assert line.startswith("$.llm.models[0].cost.input: must be from 0")
