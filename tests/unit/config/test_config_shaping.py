"""Changes to bodies, headers and prompts: meaning, levels, bad input, and what is shown of them."""

import json
from typing import Any

import jsonschema
import pytest
import yaml

from portico.config.dump import effective
from portico.config.errors import ConfigError
from portico.config.jsonschema import json_schema
from portico.config.load import loads
from portico.config.settings import HeaderRules, ModelSettings, Prompt, Shaping

KEYS = """
defaults: {temperature: 0.2, metadata: {a: [1, null, {b: "$HOME"}]}}
overrides: {store: false, user: "x: \u00e4"}
prompts:
  prepend: [{role: system, content: "Be $HOW.\\nAlways."}]
  append: [{role: user, content: thanks}]
"""
BODY = {
    "defaults": {"temperature": b"0.2", "metadata": b'{"a":[1,null,{"b":"$HOME"}]}'},
    "overrides": {"store": b"false", "user": '"x: \u00e4"'.encode()},
    "prepend": (Prompt(role="system", content="Be brief.\nAlways."),),
    "append": (Prompt(role="user", content="thanks"),),
}


def document(model: str = "", provider: str = "", policies: str = "") -> str:
    blocks = [yaml.safe_load(text or "{}") for text in (model, provider, policies)]
    providers = [{"name": "p", "provider": "ollama", "defaults": blocks[1]}]
    models = [{"name": "m", "provider": {"reference": "p"}, **blocks[0]}]
    return json.dumps({"llm": {"providers": providers, "models": models, "policies": blocks[2]}})


def route(policies: str) -> str:
    backends = [{"ai": {"provider": {"ollama": {}}}}]
    one = {"backends": backends, "policies": yaml.safe_load(policies)}
    return json.dumps({"binds": [{"port": 1, "listeners": [{"routes": [one]}]}]})


def model(text: str) -> ModelSettings:
    settings = loads(text, {"HOW": "brief", "TOKEN": "t-1"}, name="f")
    return settings.listeners[0].routes[0].models[0]


def shaping(*levels: str) -> Shaping:
    found = model(document(*levels)).shaping
    assert found is not None
    return found


def problem(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        loads(text, {}, name="f")
    (line,) = caught.value.lines()
    return line.partition(": ")[2]


# --- meaning ------------------------------------------------------------------------------------


def test_bodies_are_changed_alike_in_both_forms() -> None:
    assert shaping(KEYS) == Shaping(**BODY)  # type: ignore[arg-type]
    ai = {"ai": yaml.safe_load(KEYS)}
    assert model(route(yaml.safe_dump(ai))).shaping == shaping(KEYS)


def test_header_rules_are_alike_in_both_forms() -> None:
    changes = "{set: {X-Team: core, x-t: $TOKEN}, add: {x-more: a b}, remove: [X-Gone]}"
    rules = HeaderRules(
        set=(("x-team", "core"), ("x-t", "t-1")), add=(("x-more", "a b"),), remove=("x-gone",)
    )
    llm = shaping(f"requestHeaders: {changes}\nresponseHeaders: {changes}")
    assert llm == Shaping(request_headers=rules, response_headers=rules)
    binds = f"requestHeaderModifier: {changes}\nresponseHeaderModifier: {changes}"
    assert model(route(binds)).shaping == llm


def test_a_prompt_may_be_a_file() -> None:
    text = document("prompts: {append: [{role: system, content: 'file:/p'}]}")
    settings = loads(text, {}, name="f", read=lambda path: f"from {path}\nand on")
    found = settings.listeners[0].routes[0].models[0].shaping
    assert found is not None
    assert found.append[0].content == "from /p\nand on"


def test_nothing_to_change_is_no_shaping() -> None:
    assert model(document("requestHeaders: {}\ndefaults: {}\nprompts: {}")).shaping is None


# --- levels -------------------------------------------------------------------------------------


def test_members_are_merged_one_by_one_and_the_model_wins() -> None:
    found = shaping(
        "overrides: {a: 1}\nprompts: {append: [{role: user, content: m}]}",
        "overrides: {a: 2, b: {c: 2}}\ndefaults: {d: 2}\n"
        "prompts: {append: [{role: user, content: p}], prepend: [{role: user, content: p}]}",
        "overrides: {b: {e: 3}, f: 3}",
    )
    assert found == Shaping(
        overrides={"a": b"1", "b": b'{"c":2}', "f": b"3"},
        defaults={"d": b"2"},
        prepend=(Prompt(role="user", content="p"),),
        append=(Prompt(role="user", content="m"),),
    )


def test_whoever_names_a_header_further_in_decides_about_it() -> None:
    found = shaping(
        "requestHeaders: {set: {x-a: m}, remove: [X-B], add: {x-d: m}}",
        "requestHeaders: {set: {x-b: p, x-c: p}, add: {X-A: p}, remove: [x-d, x-e]}",
    )
    assert found.request_headers == HeaderRules(
        set=(("x-a", "m"), ("x-c", "p")), add=(("x-d", "m"),), remove=("x-b", "x-e")
    )


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("overrides: {model: x}", "overrides.model: the model is chosen by name"),
        ("defaults: {stream: true}", "defaults.stream: only the caller knows"),
        ("overrides: {a: null}", "overrides.a: has no value"),
        ("overrides: {a: .inf}", "overrides.a: not a number that JSON has"),
        ("overrides: {a: {b: [0x10000000000000000]}}", "overrides.a.b[0]: the number is out of"),
        ("overrides: [a]", "overrides: expected a mapping, got a list"),
        ("prompts: {prepend: [{role: robot, content: a}]}", "prompts.prepend[0].role: expected"),
        ("prompts: {append: [{role: user, content: ''}]}", "append[0].content: must not be empty"),
        ("prompts: {append: [{role: user}]}", 'prompts.append[0]: the key "content" is missing'),
        ("requestHeaders: {set: {'x a': b}}", 'requestHeaders.set["x a"]: not the name of a'),
        ("requestHeaders: {set: {x-a: \u20ac}}", "requestHeaders.set.x-a: a header's value has"),
        ('requestHeaders: {set: {x-a: "a\\r\\nb: c"}}', "requestHeaders.set.x-a: must not hold"),
        ("requestHeaders: {set: {X-A: b, x-a: c}}", "requestHeaders.set.x-a: is written twice"),
        ("requestHeaders: {add: {Authorization: b}}", "add.Authorization: carries the provider's"),
        ("requestHeaders: {remove: [x-api-key]}", "requestHeaders.remove[0]: carries the provider"),
        ("requestHeaders: {set: {api-key: b}}", "set.api-key: carries the provider's key"),
        ("requestHeaders: {set: {x-goog-api-key: b}}", "set.x-goog-api-key: carries the"),
        ("requestHeaders: {set: {Host: b}}", "set.Host: is written by the gateway itself"),
        ("requestHeaders: {set: {content-length: '1'}}", "content-length: is written by the"),
        ("requestHeaders: {remove: [connection]}", "remove[0]: is written by the gateway itself"),
        ("responseHeaders: {set: {x-request-id: b}}", "x-request-id: is written by the gateway"),
        ("responseHeaders: {add: {X-Portico-A: b}}", "X-Portico-A: is written by the gateway"),
        ("responseHeaders: {set: {transfer-encoding: b}}", "transfer-encoding: is written by"),
        ("requestHeaderModifier: {}", "known from agentgateway, not supported by this version"),
    ],
)
def test_changes_that_cannot_be_are_refused_with_their_path(text: str, message: str) -> None:
    line = problem(f"llm: {{models: [{{name: m, provider: ollama, {text}}}]}}")
    assert line.startswith("$.llm.models[0].")
    assert message in line


def test_a_response_may_carry_what_a_request_may_not() -> None:
    assert model(document("responseHeaders: {set: {authorization: none}}")).shaping


def test_a_bare_word_in_data_is_asked_about() -> None:
    line = problem("llm: {models: [{name: m, provider: ollama, overrides: {a: [no]}}]}")
    assert line == (
        "$.llm.models[0].overrides.a[0]: YAML reads a bare no as false; "
        'write false, or quote it: "no"'
    )


def test_the_two_forms_help_each_other_with_names() -> None:
    line = problem("llm: {models: [{name: m, provider: ollama, requestHeaderModifier: {}}]}")
    assert line.endswith("; use requestHeaders")
    assert problem(route("{requestHeaders: {}}")).endswith("; use requestHeaderModifier")
    providers = "providers: [{name: p, provider: ollama, overrides: {}}]"
    line = problem(f"llm: {{{providers}, models: [{{name: m, provider: ollama}}]}}")
    assert line.endswith("; write overrides into defaults")


def test_problems_of_a_route_have_its_path() -> None:
    where = "$.binds[0].listeners[0].routes[0].policies"
    assert problem(route("{ai: {overrides: {model: x}}}")).startswith(f"{where}.ai.overrides.model")
    line = problem(route("{requestHeaderModifier: {remove: [host]}}"))
    assert line.startswith(f"{where}.requestHeaderModifier.remove[0]")


# --- what is shown ------------------------------------------------------------------------------


def test_the_effective_configuration_shows_changes_and_no_tokens() -> None:
    text = document(
        "overrides: {a: [1, {b: null}]}\n"
        "requestHeaders: {set: {x-token: $TOKEN}, remove: [x-b]}\n"
        "responseHeaders: {add: {x-c: seen}}\n"
        "retry: {codes: [429, 4xx, 503]}",
    )
    shown: Any = effective(loads(text, {"TOKEN": "t-secret"}, name="f"))
    assert "t-secret" not in yaml.safe_dump(shown)
    found = shown["listeners"][0]["routes"][0]["models"][0]
    assert found["shaping"] == {
        "overrides": {"a": [1, {"b": None}]},
        "requestHeaders": {"set": [{"x-token": "***"}], "remove": ["x-b"]},
        "responseHeaders": {"add": [{"x-c": "seen"}]},
    }
    assert found["retry"]["codes"] == ["400-499", 503]
    assert found["health"]["statuses"] == ["500-599"]


def test_the_effective_configuration_shows_conditions_without_what_they_leave_out() -> None:
    text = """
llm:
  models: [{name: a, provider: ollama, params: {apiKeys: [key-of-16-characters, b]}}]
  virtualModels:
  - name: v
    routing:
      conditional:
        targets:
        - {when: {request: {n: {in: [1, b]}}, any: [{caller: {a: 'x'}}]}, model: a}
"""
    everything: Any = effective(loads(text, {}, name="f"))
    shown = everything["listeners"][0]["routes"][0]
    assert shown["models"][0]["provider"]["furtherKeys"] == ["***"]
    assert shown["virtual"][0]["targets"][0]["when"] == {
        "request": {"n": {"oneOf": [1, "b"]}},
        "any": [{"caller": {"a": {"equals": "x"}}}],
    }


SCHEMA = json_schema()


@pytest.mark.parametrize(
    ("rules", "fits"),
    [
        ({"overrides": {"a": [None, {"b": 1}]}}, True),
        ({"retry": {"codes": [429, "5xx"], "backoff": "200ms"}}, True),
        ({"retry": {"codes": [200]}}, False),
        ({"health": {"unhealthyExpression": "response.code > 5", "active": {}}}, True),
        ({"health": {"eviction": {"restoreHealth": 1}}}, False),
        ({"requestHeaders": {"set": {"a": "b"}}}, True),
        ({"prompts": {"prepend": [{"role": "robot", "content": "a"}]}}, False),
        ({"cost": {"input": 0.5, "output": 1}}, True),
        ({"params": {"apiKeys": ["$A", {"file": "/b"}]}}, True),
    ],
)
def test_the_json_schema_knows_the_keys_of_a_model(rules: dict[str, object], fits: bool) -> None:
    tree = {"llm": {"models": [{"name": "m", "provider": "ollama", **rules}]}}
    assert jsonschema.Draft202012Validator(SCHEMA).is_valid(tree) is fits


@pytest.mark.parametrize(
    ("when", "fits"),
    [
        ("apiKey.team == 'ml'", True),
        ({"headers": {"a": "b", "c": {"in": [1, True]}}, "none": [{"caller": {"d": "e"}}]}, True),
        ({"headers": {"a": ["b"]}}, False),
        ({"headers": {"a": {"is": 1}}}, False),
    ],
)
def test_the_json_schema_knows_conditions(when: object, fits: bool) -> None:
    targets = [{"when": when, "model": "m"}]
    virtual = [{"name": "v", "routing": {"conditional": {"targets": targets}}}]
    tree = {"llm": {"models": [{"name": "m", "provider": "ollama"}], "virtualModels": virtual}}
    assert jsonschema.Draft202012Validator(SCHEMA).is_valid(tree) is fits
