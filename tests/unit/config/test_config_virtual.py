"""Virtual models, conditions, aliases, mirrors of the `llm:` form: meaning and bad input."""

import pytest

from portico.config.errors import ConfigError
from portico.config.load import loads
from portico.config.settings import (
    Condition,
    Mirror,
    RetrySettings,
    RouteSettings,
    TimeoutSettings,
    ValueTest,
    VirtualSettings,
    VirtualTarget,
)

MODELS = (
    "models: [{name: a, provider: ollama}, {name: b, provider: ollama, visibility: internal},"
    " {name: 'gpt-*', provider: ollama}]"
)


def route(virtual: str, rest: str = "", models: str = MODELS) -> RouteSettings:
    text = f"llm: {{{models}, virtualModels: [{virtual}]{rest}}}"
    return loads(text, {}, name="f").listeners[0].routes[0]


def problems(virtual: str, rest: str = "", models: str = MODELS) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        route(virtual, rest, models)
    return [line.partition(": ")[2] for line in caught.value.lines()]


def only(virtual: str, rest: str = "", models: str = MODELS) -> str:
    (line,) = problems(virtual, rest, models)
    return line


def when(condition: str) -> object:
    targets = f"[{{when: {condition}, model: a}}, {{model: b}}]"
    found = route(f"{{name: v, routing: {{conditional: {{targets: {targets}}}}}}}")
    return found.virtual[0].targets[0].when


def wrong_when(condition: str) -> str:
    targets = f"[{{when: {condition}, model: a}}, {{model: b}}]"
    return only(f"{{name: v, routing: {{conditional: {{targets: {targets}}}}}}}")


# --- the three kinds ----------------------------------------------------------------------------


def test_agentgateways_virtual_models_load_as_they_are() -> None:
    found = route(
        "{name: ha, routing: {failover: {targets:"
        " [{model: a, priority: 0}, {model: gpt-4o, priority: 1}]}}},"
        "{name: ab, routing: {weighted: {targets: [{model: a, weight: 9}, {model: b}]}}},"
        "{name: smart, routing: {conditional: {targets:"
        " [{when: 'default(llmRequest.max_tokens, 1024) <= 1024', model: ha}, {model: ab}]}}}"
    )
    assert found.virtual == (
        VirtualSettings(
            name="ha",
            routing="failover",
            targets=(VirtualTarget(model="a"), VirtualTarget(model="gpt-4o", priority=1)),
        ),
        VirtualSettings(
            name="ab",
            routing="weighted",
            targets=(VirtualTarget(model="a", weight=9), VirtualTarget(model="b")),
        ),
        VirtualSettings(
            name="smart",
            routing="conditional",
            targets=(
                VirtualTarget(model="ha", when="default(llmRequest.max_tokens, 1024) <= 1024"),
                VirtualTarget(model="ab"),
            ),
        ),
    )


def test_a_virtual_model_has_rules_of_its_own() -> None:
    """Its deadlines are those it names itself: a policy must not pass a model's own through it."""
    found = route(
        "{name: v, visibility: internal, retry: {attempts: 1}, timeout: {requestTimeout: 9s},"
        " requestMirror: {model: b, percentage: 0.5},"
        " routing: {failover: {targets: [{model: a}], sort: cost}}}",
        ", policies: {retry: {backoff: 1s}, timeout: {idleTimeout: 2s}}",
    ).virtual[0]
    assert found.retry == RetrySettings(attempts=1, backoff=1.0)
    assert found.timeout == TimeoutSettings(request=9.0)
    assert (found.visibility, found.sort) == ("internal", "cost")
    assert found.mirror == Mirror(model="b", share=0.5)


def test_a_virtual_model_that_says_nothing_follows_the_model_chosen_first() -> None:
    found = route(
        "{name: v, routing: {weighted: {targets: [{model: a}]}}}",
        ", policies: {retry: {attempts: 5}}",
    ).virtual[0]
    assert (found.retry, found.timeout, found.mirror) == (None, None, None)


# --- conditions ---------------------------------------------------------------------------------


def test_a_mapping_is_a_condition() -> None:
    assert when(
        "{headers: {X-Tier: gold, x-env: {prefix: prod}, x-n: {suffix: a, contains: b}},"
        " caller: {team: {in: [ml, search]}},"
        " request: {max_tokens: {lte: 1024, gt: 0}, stream: true, reasoning.effort: {equals: 1.5},"
        " tools: {present: false}}}"
    ) == Condition(
        headers={
            "x-tier": ValueTest(equals="gold"),
            "x-env": ValueTest(prefix="prod"),
            "x-n": ValueTest(suffix="a", contains="b"),
        },
        caller={"team": ValueTest(one_of=("ml", "search"))},
        request={
            "max_tokens": ValueTest(lte=1024.0, gt=0.0),
            "stream": ValueTest(equals=True),
            "reasoning.effort": ValueTest(equals=1.5),
            "tools": ValueTest(present=False),
        },
    )


def test_conditions_hold_conditions() -> None:
    found = when("{any: [{caller: {a: x}}, {none: [{request: {n: {gte: -1, lt: 2}}}]}]}")
    inner = Condition(none=(Condition(request={"n": ValueTest(gte=-1.0, lt=2.0)}),))
    assert found == Condition(any=(Condition(caller={"a": ValueTest(equals="x")}), inner))


def test_an_expression_is_taken_as_it_stands() -> None:
    text = """'request.headers["x-m"].matches("^a$") && apiKey.team == "file:x"'"""
    assert when(text) == 'request.headers["x-m"].matches("^a$") && apiKey.team == "file:x"'


@pytest.mark.parametrize(
    "text",
    [
        "request.headers.a == 'b' && headers.c == 'd' && request['headers'].e == 'f'",
        "has(llmRequest.request.path) && llm.requestModel != 'request.path' // request.path",
        "llmRequest.tools.exists(tool, type(tool) == map && tool.n == apiKey.n)",
        "llmRequest.tools.all(request, request.path == 1)",
        "default(llmRequest.n, 1) == .llmRequest.m",
    ],
)
def test_an_expression_may_speak_of_the_request_in_every_way_that_cel_has(text: str) -> None:
    assert when(f'"{text}"') == text


TARGET = "$.llm.virtualModels[0].routing.conditional.targets[0].when"


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("'llm.streaming ='", ": not a valid expression in CEL: line 1, column 15: token recog"),
        ("'llm.streaming =='", ": not a valid expression in CEL: line 1, column 17: it ends too"),
        ("'llm.streaming) '", ": not a valid expression in CEL: line 1, column 14: extraneous"),
        ("'foo.bar == 1'", ": speaks of foo, which there is not; there are: apiKey, headers, llm"),
        ("'[1].exists(x, x == y)'", ": speaks of y, which there is not"),
        ("'request.header.a == \"b\"'", ": of request there is nothing but request.headers"),
        ('\'request["path"] == "b"\'', ": of request there is nothing but request.headers"),
        ("'a.all(x, b.all(y, true))'", ": a loop inside a loop"),
        ("{}", ": says nothing; leave it out"),
        ("{headers: {x-a: {}}}", ".headers.x-a: says nothing; write a value"),
        ("{headers: {'x a': b}}", '.headers["x a"]: not the name of a header'),
        ("{headers: {X-a: b, x-a: b}}", ".headers.X-a: is written twice"),
        ("{caller: {team: {in: []}}}", ".caller.team.in: list at least one value"),
        ("{request: {a: {present: false, lt: 1}}}", ".request.a: present: false leaves nothing"),
        ("{request: {a..b: 1}}", '.request["a..b"]: expected a path'),
        ("{request: {a: [1]}}", ".request.a: expected a string, a number or a boolean, got a list"),
        ("{request: {a: yes}}", ".request.a: YAML reads a bare yes as true; write true, or quote"),
        ("{request: {a: .nan}}", ".request.a: not a number that JSON has"),
        ("{request: {a: {lt: b}}}", ".request.a.lt: expected a number, got a string"),
        ("{requests: {a: 1}}", '.requests: unknown key, did you mean "request"?'),
        ("{any: []}", ".any: list at least one condition"),
        ("{any: [" * 9 + "{caller: {a: b}}" + "]}" * 9, ": conditions go 8 deep"),
        ("3", ": expected a string, got a number; quote it"),
    ],
)
def test_a_condition_that_cannot_be_is_refused_with_its_path(condition: str, message: str) -> None:
    line = wrong_when(condition)
    assert line.startswith(TARGET)
    assert message in line


# --- names --------------------------------------------------------------------------------------


def weighted(name: str, *targets: str) -> str:
    listed = ", ".join(f"{{model: '{target}'}}" for target in targets)
    return f"{{name: {name}, routing: {{weighted: {{targets: [{listed}]}}}}}}"


@pytest.mark.parametrize(
    ("virtual", "message"),
    [
        (weighted("v", "nope"), "[0].routing.weighted.targets[0].model: no entry of llm.models"),
        (weighted("v", "gpt-*"), "targets[0].model: has to name one model, without *"),
        (weighted("v"), "[0].routing.weighted.targets: list at least one target"),
        (weighted("a", "b"), "[0].name: a model has this name"),
        (weighted("'v*'", "b"), "[0].name: the name of a virtual model has no *"),
        (
            f"{weighted('v', 'a')}, {weighted('v', 'b')}",
            "[1].name: another virtual model has this name",
        ),
        ("{name: v, routing: {}}", "[0].routing: exactly one of weighted, failover and"),
        (
            (
                "{name: v, routing: {weighted: {targets: [{model: a}]},"
                " failover: {targets: [{model: a}]}}}"
            ),
            "[0].routing: exactly one of weighted, failover and conditional is needed",
        ),
        (
            "{name: v, routing: {weighted: {targets: [{model: a, weight: 0}]}}}",
            "[0].routing.weighted.targets: all weights are 0",
        ),
        (
            "{name: v, routing: {weighted: {targets: [{model: a, weight: -1}]}}}",
            "[0].routing.weighted.targets[0].weight: must be from 0",
        ),
        (
            "{name: v, routing: {conditional: {targets: [{model: a}, {model: b}]}}}",
            "[0].routing.conditional.targets[0]: only the last target may be without when",
        ),
        (
            "{name: v, routing: {failover: {targets: [{model: a}], sort: luck}}}",
            "[0].routing.failover.sort: expected one of",
        ),
        (
            "{name: v, health: {}, routing: {weighted: {targets: [{model: a}]}}}",
            "[0].health: known from agentgateway",
        ),
        (
            ("{name: v, requestMirror: {model: v}, routing: {weighted: {targets: [{model: a}]}}}"),
            "[0].requestMirror.model: is this very model",
        ),
    ],
)
def test_a_virtual_model_that_cannot_be_is_refused_with_its_path(
    virtual: str, message: str
) -> None:
    line = only(virtual)
    assert line.startswith("$.llm.virtualModels[")
    assert message in line


def test_a_circle_is_told_with_its_way() -> None:
    line = only(f"{weighted('v', 'a', 'w')}, {weighted('x', 'a')}, {weighted('w', 'x', 'v')}")
    way = "virtualModels[0] -> virtualModels[2] -> virtualModels[0]"
    assert line == f"$.llm.virtualModels[0].routing: goes round in circles: {way}"
    assert "virtualModels[0] -> virtualModels[0]" in only(weighted("v", "v"))


def test_models_of_models_are_bounded() -> None:
    tree = [weighted("v0", *["a"] * 5)]
    tree += [weighted(f"v{i}", *[f"v{i - 1}"] * 5) for i in range(1, 5)]
    assert "more than 256 models" in problems(", ".join(tree))[0]
    chain = [weighted(f"v{i}", f"v{i + 1}") for i in range(40)]
    lines = problems(", ".join([*chain, weighted("v40", "a")]))
    assert all("more than 8 deep" in line for line in lines)


def test_a_model_that_is_itself_wrong_is_not_also_missing() -> None:
    models = "models: [{name: a, provider: nope}, {name: b, provider: ollama}]"
    assert "[0].provider" in only(weighted("v", "a", "b"), models=models)


# --- aliases, mirrors, fallback -----------------------------------------------------------------


def test_aliases_name_models() -> None:
    rest = ", policies: {ai: {modelAliases: {fast: a, 'o*': v, '*-mini': gpt-4o}}}"
    assert route(weighted("v", "a"), rest).aliases == {"fast": "a", "o*": "v", "*-mini": "gpt-4o"}


@pytest.mark.parametrize(
    ("aliases", "message"),
    [
        ("{fast: nope}", ".fast: no entry of llm.models or llm.virtualModels has this name"),
        ("{fast: 'gpt-*'}", ".fast: has to name one model, without *"),
        ("{a: b}", ".a: a model has this name"),
        ("{x: y, y: a}", ".x: names another alias; name the model itself"),
        ("{'a*b': a}", '["a*b"]: a model name has at most one *'),
    ],
)
def test_an_alias_that_leads_nowhere_is_refused(aliases: str, message: str) -> None:
    line = only("", f", policies: {{ai: {{modelAliases: {aliases}}}}}")
    assert f"$.llm.policies.ai.modelAliases{message}" in line


def test_a_model_may_have_a_mirror_and_a_longer_one() -> None:
    models = (
        "models: [{name: a, provider: ollama, fallbackOnContext: b,"
        " requestMirror: {model: b, percentage: 0.1}}, {name: b, provider: ollama}]"
    )
    found = route("", models=models).models[0]
    assert (found.mirror, found.fallback_on_context) == (Mirror(model="b", share=0.1), "b")


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ("requestMirror: {model: a}", "requestMirror.model: is this very model"),
        ("requestMirror: {model: x}", "requestMirror.model: no entry of llm.models"),
        (
            "requestMirror: {model: a, percentage: 50}",
            "requestMirror.percentage: must be from 0 to 1",
        ),
        ("fallbackOnContext: a", "fallbackOnContext: is this very model"),
        ("fallbackOnContext: x", "fallbackOnContext: no entry of llm.models"),
    ],
)
def test_what_a_model_names_has_to_be_another_model(rules: str, message: str) -> None:
    line = only("", models=f"models: [{{name: a, provider: ollama, {rules}}}]")
    assert f"$.llm.models[0].{message}" in line
