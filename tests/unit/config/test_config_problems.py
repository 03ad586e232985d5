"""What is wrong is said: all of it, where it is, and how to put it right."""

from typing import get_args

import pytest

from portico.config import schema, schema_process, schema_routing, schema_shaping
from portico.config.errors import ConfigError
from portico.config.known import NOT_YET, every_key
from portico.config.load import loads

ENV = {"OPENAI_API_KEY": "sk-openai-0123456789"}
MODELS = "llm: {models: [{name: m, provider: openAI}]}\n"


def problems(text: str, env: dict[str, str] | None = None, form: str = "yaml") -> list[str]:
    assert form in ("yaml", "toml", "json")
    with pytest.raises(ConfigError) as caught:
        loads(text, ENV if env is None else env, name="f", form=form)  # type: ignore[arg-type]
    return caught.value.lines()


def only(text: str, env: dict[str, str] | None = None) -> str:
    (line,) = problems(text, env)
    return line


OPENAI = "{ai: {provider: {openAI: {}}}}"


def binds(route: str) -> str:
    return f"binds: [{{port: 1, listeners: [{{routes: [{route}]}}]}}]"


# --- all at once, with lines --------------------------------------------------------------------


def test_every_problem_of_a_document_is_reported_at_once() -> None:
    text = """\
llm:
  port: high
  gateways: []
  models:
  - name: a
    provider: openAI
    parms: {model: x}
  - name: no
    provider: opnAI
  - name: b*c
    provider: {reference: nope}
config:
  limits: {bodyBytes: 1 furlong}
mcp: {}
"""
    kinds = ", ".join(f'"{kind}"' for kind in sorted(get_args(schema.ServedKind)))
    assert problems(text) == [
        "f:2: $.llm.port: expected an integer, got a string",
        f"f:3: $.llm.gateways: {NOT_YET}",
        'f:7: $.llm.models[0].parms: unknown key, did you mean "params"?',
        (
            "f:8: $.llm.models[1].name: expected a string, and YAML reads a bare no as false; "
            'quote it: "no"'
        ),
        f'f:9: $.llm.models[1].provider: did you mean "openAI"? expected one of {kinds}',
        "f:10: $.llm.models[2].name: a model name has at most one *, at its start or end",
        "f:11: $.llm.models[2].provider.reference: no entry of llm.providers has this name",
        (
            "f:13: $.config.limits.bodyBytes: expected bytes as an integer, "
            "or a size such as 64KiB, 32MiB, 1GiB"
        ),
        f"f:14: $.mcp: {NOT_YET}",
    ]


def test_a_misspelt_block_is_not_also_reported_as_missing() -> None:
    text = "llm: {models: [{name: m, provider: openAI, parms: {apiKey: k}}]}"
    assert "parms" in only(text, {})


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("api_key", "apiKey"),
        ("apikey", "apiKey"),
        ("base-url", "baseUrl"),
        ("modle", "model"),
    ],
)
def test_a_misspelt_key_gets_a_suggestion(written: str, meant: str) -> None:
    text = f"llm: {{models: [{{name: m, provider: openAI, params: {{{written}: x}}}}]}}"
    assert only(text).endswith(
        f'$.llm.models[0].params.{written}: unknown key, did you mean "{meant}"?'
    )


def test_a_key_like_nothing_gets_no_suggestion() -> None:
    assert only(MODELS + "zzzzqqq: 1") == "f:2: $.zzzzqqq: unknown key"


def test_a_strange_key_is_quoted_in_the_path() -> None:
    assert only(MODELS + '"a b\\n": 1') == 'f:2: $["a b\\n"]: unknown key'


# --- known, not yet -----------------------------------------------------------------------------

PLACES: dict[type, tuple[str, str]] = {
    schema.Document: ("{key}: {{}}", "$.{key}"),
    schema.Llm: ("llm: {{models: [], {key}: {{}}}}", "$.llm.{key}"),
    schema.ProviderEntry: ("llm: {{models: [], providers: [{{{key}: 1}}]}}", "$.llm.providers[0]."),
    schema.ModelEntry: ("llm: {{models: [{{{key}: 1}}]}}", "$.llm.models[0].{key}"),
    schema.Params: ("llm: {{models: [{{params: {{{key}: 1}}}}]}}", "$.llm.models[0].params.{key}"),
    schema.LlmPolicies: ("llm: {{models: [], policies: {{{key}: 1}}}}", "$.llm.policies.{key}"),
    schema.LlmAi: (
        "llm: {{models: [], policies: {{ai: {{{key}: 1}}}}}}",
        "$.llm.policies.ai.{key}",
    ),
    schema_shaping.ProviderDefaults: (
        "llm: {{models: [], providers: [{{defaults: {{{key}: 1}}}}]}}",
        "$.llm.providers[0].defaults.{key}",
    ),
    schema_routing.VirtualModel: (
        "llm: {{models: [], virtualModels: [{{{key}: 1}}]}}",
        "$.llm.virtualModels[0].{key}",
    ),
    schema_routing.Retry: (
        "llm: {{models: [], policies: {{retry: {{{key}: 1}}}}}}",
        "$.llm.policies.retry.{key}",
    ),
    schema_routing.Eviction: (
        "llm: {{models: [], policies: {{health: {{eviction: {{{key}: 1}}}}}}}}",
        "$.llm.policies.health.eviction.{key}",
    ),
    schema.ApiKeyPolicy: (
        "llm: {{models: [], policies: {{apiKey: {{{key}: 1}}}}}}",
        "$.llm.policies.apiKey.{key}",
    ),
    schema.CallerKeyEntry: (
        "llm: {{models: [], policies: {{apiKey: {{keys: [{{{key}: 1}}]}}}}}}",
        "$.llm.policies.apiKey.keys[0].{key}",
    ),
    schema.ListenerTls: ("llm: {{models: [], tls: {{{key}: 1}}}}", "$.llm.tls.{key}"),
    schema.ClientTls: ("llm: {{models: [{{tls: {{{key}: 1}}}}]}}", "$.llm.models[0].tls.{key}"),
    schema.Bind: ("binds: [{{{key}: 1}}]", "$.binds[0].{key}"),
    schema.Listener: ("binds: [{{listeners: [{{{key}: 1}}]}}]", "$.binds[0].listeners[0].{key}"),
    schema_process.Process: ("config: {{{key}: 1}}", "$.config.{key}"),
    schema_process.Logging: ("config: {{logging: {{{key}: 1}}}}", "$.config.logging.{key}"),
    schema_process.Database: ("config: {{database: {{{key}: 1}}}}", "$.config.database.{key}"),
    schema_process.FrontendPolicies: ("frontendPolicies: {{{key}: 1}}", "$.frontendPolicies.{key}"),
    schema_process.FrontendHttp: (
        "frontendPolicies: {{http: {{{key}: 1}}}}",
        "$.frontendPolicies.http.{key}",
    ),
}
IN_ROUTE: dict[type, tuple[str, str]] = {
    schema.Route: ("{{{key}: 1}}", "{key}"),
    schema.Match: ("{{matches: [{{{key}: 1}}]}}", "matches[0].{key}"),
    schema.PathMatch: ("{{matches: [{{path: {{{key}: 1}}}}]}}", "matches[0].path.{key}"),
    schema.RoutePolicies: ("{{policies: {{{key}: 1}}}}", "policies.{key}"),
    schema.AiPolicy: ("{{policies: {{ai: {{{key}: 1}}}}}}", "policies.ai.{key}"),
    schema.BackendAuth: (
        "{{policies: {{backendAuth: {{{key}: 1}}}}}}",
        "policies.backendAuth.{key}",
    ),
    schema.GcpAuth: (
        "{{policies: {{backendAuth: {{gcp: {{{key}: 1}}}}}}}}",
        "policies.backendAuth.gcp.{key}",
    ),
    schema.Backend: ("{{backends: [{{{key}: 1}}]}}", "backends[0].{key}"),
    schema.BackendPolicies: (
        "{{backends: [{{policies: {{{key}: 1}}}}]}}",
        "backends[0].policies.{key}",
    ),
    schema.AiBackend: ("{{backends: [{{ai: {{{key}: 1}}}}]}}", "backends[0].ai.{key}"),
    schema.AiTarget: (
        "{{backends: [{{ai: {{groups: [{{providers: [{{{key}: 1}}]}}]}}}}]}}",
        "backends[0].ai.groups[0].providers[0].{key}",
    ),
    schema.AiGroup: (
        "{{backends: [{{ai: {{groups: [{{{key}: 1}}]}}}}]}}",
        "backends[0].ai.groups[0].{key}",
    ),
    schema.ProviderBody: (
        "{{backends: [{{ai: {{provider: {{openAI: {{{key}: 1}}}}}}}}]}}",
        "backends[0].ai.provider.openAI.{key}",
    ),
}


def _place(block: type, key: str) -> tuple[str, str]:
    """A document with `key` in a `block`, and the path it has there."""
    if block in PLACES:
        text, path = PLACES[block]
    else:
        inner, below = IN_ROUTE[block]
        text, path = _join(inner), f"$.binds[0].listeners[0].routes[0].{below}"
    return text.format(key=key), path.format(key=key)


def _join(inner: str) -> str:
    return "binds: [{{listeners: [{{routes: [" + inner + "]}}]}}]"


@pytest.mark.parametrize(
    ("block", "key"), every_key(), ids=[f"{b.__name__}.{k}" for b, k in every_key()]
)
def test_a_key_agentgateway_knows_and_we_do_not_is_named_as_such(block: type, key: str) -> None:
    text, path = _place(block, key)
    assert any(f" {path}" in line and NOT_YET in line for line in problems(text)), text


@pytest.mark.parametrize("kind", ["copilot"])
def test_a_provider_kind_that_comes_later_is_named_as_such(kind: str) -> None:
    llm = f"llm: {{models: [{{name: m, provider: {kind}}}]}}"
    assert only(llm) == f'f:1: $.llm.models[0].provider: "{kind}": {NOT_YET}'
    line = only(binds(f"{{backends: [{{ai: {{provider: {{{kind}: {{}}}}}}}}]}}"))
    assert line.endswith(f"backends[0].ai.provider.{kind}: {NOT_YET}")


@pytest.mark.parametrize(
    "api", ["embeddings", "rerank", "realtime", "generateContent", "detect", "passthrough"]
)
def test_an_api_that_comes_later_is_named_as_such(api: str) -> None:
    policies = f"{{ai: {{routes: {{/v1/x: {api}}}}}, backendAuth: {{key: k}}}}"
    line = only(binds(f"{{backends: [{OPENAI}], policies: {policies}}}"))
    assert line.endswith(f'policies.ai.routes["/v1/x"]: "{api}": {NOT_YET}')


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("statsAddr", "metrics are served on config.adminAddr"),
        ("readinessAddr", "readiness is served on config.adminAddr"),
    ],
)
def test_addresses_that_moved_say_where_to(key: str, hint: str) -> None:
    assert hint in only(MODELS + f"config: {{{key}: ':15020'}}")


# --- YAML's own traps ---------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["no", "on", "off", "yes", "No", "OFF"])
def test_a_bare_yaml_boolean_where_text_belongs_says_quote_it(word: str) -> None:
    line = only(f"llm: {{models: [{{name: {word}, provider: openAI}}]}}")
    assert line.endswith(f'quote it: "{word}"')


def test_a_key_that_yaml_reads_as_a_boolean_is_still_the_key() -> None:
    assert only(MODELS + "on: 1") == "f:2: $.on: unknown key"


def test_duplicate_keys_are_an_error_in_every_form() -> None:
    assert only("llm:\n  port: 1\n  port: 2\n") == (
        "f:3: $.llm.port: duplicate key, the first is on line 2"
    )
    assert "duplicate" in problems('{"llm": 1, "llm": 2}', form="json")[0]
    assert "TOML" in problems("a = 1\na = 2", form="toml")[0]


def test_an_alias_bomb_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    assert "aliases expanded" in only("\n".join(lines))


def test_a_value_that_contains_itself_is_refused() -> None:
    assert "nested deeper" in only("llm: &a [*a]")


@pytest.mark.parametrize(
    ("text", "form"),
    [("[" * 5000, "yaml"), ("[" * 200_000, "json"), ("a: " + "[" * 80 + "]" * 80, "yaml")],
)
def test_deep_nesting_is_refused(text: str, form: str) -> None:
    assert problems(text, form=form)


def test_an_anchor_may_be_used_and_merged() -> None:
    text = """
llm:
  models:
  - &base {name: a, provider: openAI, params: &p {apiKey: k}}
  - {<<: *base, name: b}
  - {name: c, provider: openAI, params: *p}
"""
    names = [m.name for m in loads(text, {}, name="f").listeners[0].routes[0].models]
    assert names == ["a", "b", "c"]


def test_custom_yaml_tags_are_refused() -> None:
    assert "tags" in only("llm: !!python/object/apply:os.system [id]")


def test_a_file_over_the_size_cap_is_refused() -> None:
    assert "larger than" in only("#" * (1024 * 1024 + 1))


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n...\n"])
def test_an_empty_document_is_an_error(text: str) -> None:
    assert problems(text)


@pytest.mark.parametrize("text", ["a: b\n---\nc: d", "a: [", "\t", "a: 'b", "@", "a: *b"])
def test_malformed_yaml_is_one_problem_with_a_line(text: str) -> None:
    assert only(text).startswith("f:")


# --- an emptied block switches nothing off ------------------------------------------------------


def test_an_empty_policy_block_is_an_error_not_an_open_door() -> None:
    text = "llm:\n  models: [{name: m, provider: openAI}]\n  policies:\n    apiKey:\n"
    assert only(text) == ("f:4: $.llm.policies.apiKey: has no value; give it one or remove the key")


def test_strict_mode_without_keys_is_an_error() -> None:
    text = "llm: {models: [{name: m, provider: openAI}], policies: {apiKey: {}}}"
    assert "refuse every call" in only(text)


# --- sense --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "$: nothing to serve"),
        ("llm: {models: []}", "$.llm.models: list at least one model"),
        ("llm: {}", '$.llm: the key "models" is missing'),
        (
            "llm: {models: [{name: m, provider: openAI}, {name: m, provider: openAI}]}",
            "$.llm.models[1].name: another model has this name",
        ),
        (
            "llm: {models: [{name: m, provider: openAI, params: {model: 'a*'}}]}",
            "$.llm.models[0].params.model: the provider's model id cannot hold a *",
        ),
        (
            "llm: {models: [{name: m, provider: openAI, params: {model: a, stripPrefix: b}}]}",
            "stripPrefix: has no effect",
        ),
        (
            (
                "llm: {providers: [{name: p, provider: openAI}], models: "
                "[{name: m, provider: {reference: p}, params: {baseUrl: 'https://x'}}]}"
            ),
            "$.llm.models[0].params: a referenced provider is set up at llm.providers",
        ),
        (
            "llm: {models: [{name: m, provider: {}}]}",
            "$.llm.models[0].provider: exactly one of reference and custom",
        ),
        (
            "llm: {models: [{name: m, provider: {custom: {formats: [{type: messages}]}}}]}",
            "$.llm.models[0].params: a custom provider needs baseUrl",
        ),
        (
            "llm: {models: [{name: m, provider: openAI, tls: {cert: c}}]}",
            "$.llm.models[0].tls: cert and key go together",
        ),
        (MODELS + "config: {adminAddr: nonsense}", '$.config.adminAddr: expected "host:port"'),
        (MODELS + "config: {host: 'a b'}", "$.config.host: not a host name"),
        (MODELS + "config: {workers: 0}", "$.config.workers: must be from 1 to 256"),
        (MODELS + "config: {deadlines: {idle: 0}}", "$.config.deadlines.idle: must be from"),
        (MODELS + "config: {deadlines: {idle: .nan}}", "$.config.deadlines.idle: must be from"),
        (MODELS + "config: {deadlines: {idle: 5 min}}", "or a duration such as"),
        (
            MODELS + "config: {limits: {bodyBytes: 1}}\n"
            "frontendPolicies: {http: {maxBufferSize: 2}}",
            "maxBufferSize: differs from config.limits.bodyBytes",
        ),
        (
            MODELS + binds("{backends: [{ai: {provider: {ollama: {}}}}]}").replace("1,", "4000,"),
            "$.binds[0].port: two listeners on one port",
        ),
        (
            binds("{hostnames: [a.b], backends: [{ai: {provider: {ollama: {}}}}]}").replace(
                "{routes", "{hostname: x.y, routes"
            ),
            "none of these lies within the listener's hostname",
        ),
        (binds("{backends: [{ai: {}}]}"), "exactly one provider is needed"),
        (
            binds("{backends: [{ai: {provider: {openAI: {}, gemini: {}}}}]}"),
            "exactly one provider is needed",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(text: str, message: str) -> None:
    assert message in only(text)


def test_no_more_than_a_hundred_problems_are_listed() -> None:
    assert len(problems("\n".join(f"zz{i}: 1" for i in range(500)))) == 100
