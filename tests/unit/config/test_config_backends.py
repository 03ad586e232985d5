"""Routes of the `binds:` form with several providers: groups, weights, aliases, mirrors."""

import pytest

from portico.config.errors import ConfigError
from portico.config.load import loads
from portico.config.settings import (
    Mirror,
    ModelSettings,
    RetrySettings,
    RouteSettings,
    VirtualSettings,
    VirtualTarget,
)


def text(backends: str, policies: str = "") -> str:
    route = f"{{backends: [{backends}], policies: {{{policies}}}}}"
    return f"binds: [{{port: 1, listeners: [{{routes: [{route}]}}]}}]"


def route(backends: str, policies: str = "") -> RouteSettings:
    return loads(text(backends, policies), {}, name="f").listeners[0].routes[0]


def problem(backends: str, policies: str = "") -> str:
    with pytest.raises(ConfigError) as caught:
        loads(text(backends, policies), {}, name="f")
    (line,) = caught.value.lines()
    return line.partition("routes[0].")[2]


def groups(*providers: str) -> str:
    listed = ", ".join(f"{{providers: [{each}]}}" for each in providers)
    return f"{{ai: {{groups: [{listed}]}}}}"


def provider(name: str, model: str = "", more: str = "") -> str:
    body = f"model: {model}" if model else ""
    return f"{{name: {name}, provider: {{ollama: {{{body}}}}}{more}}}"


def names(models: tuple[ModelSettings, ...]) -> list[tuple[str, str | None]]:
    return [(model.name, model.model) for model in models]


def failover(name: str, *groups: tuple[str, ...]) -> VirtualSettings:
    return VirtualSettings(
        name=name,
        routing="failover",
        targets=tuple(
            VirtualTarget(model=model, priority=i)
            for i, group in enumerate(groups)
            for model in group
        ),
    )


def test_groups_are_priorities() -> None:
    found = route(groups(f"{provider('a')}, {provider('a')}", provider("b", "small")))
    assert found.virtual == (failover("*", ("backend:a", "backend:a-2"), ("backend:b",)),)
    assert names(found.models) == [
        ("backend:a", None),
        ("backend:a-2", None),
        ("backend:b", "small"),
    ]
    assert all(model.visibility == "internal" and model.keeps_name for model in found.models)


def test_one_group_of_several_providers_chooses_among_them() -> None:
    found = route(groups(f"{provider('a')}, {provider('b')}"))
    assert found.virtual == (failover("*", ("backend:a", "backend:b")),)


def test_backends_have_weights() -> None:
    one, two = (
        f"{{ai: {provider(name)}, weight: {weight}}}" for name, weight in (("a", 9), ("b", 0))
    )
    (virtual,) = route(f"{one}, {two}, {{ai: {provider('c')}}}").virtual
    assert virtual == VirtualSettings(
        name="*",
        routing="weighted",
        targets=(
            VirtualTarget(model="backend:a", weight=9),
            VirtualTarget(model="backend:b", weight=0),
            VirtualTarget(model="backend:c", weight=1),
        ),
    )


def test_a_backend_with_groups_among_others_is_a_choice_of_its_own() -> None:
    found = route(f"{groups(provider('a'), provider('b'))}, {{ai: {provider('c')}, weight: 3}}")
    inner, outer = found.virtual
    assert (inner.name, inner.visibility) == ("groups:a", "internal")
    assert inner.targets == failover("", ("backend:a",), ("backend:b",)).targets
    assert outer.targets == (
        VirtualTarget(model="groups:a"),
        VirtualTarget(model="backend:c", weight=3),
    )


def test_one_provider_stays_a_model_without_a_choice() -> None:
    alone = route(f"{{ai: {provider('a')}, weight: 5}}", "ai: {modelAliases: {fast: small}}")
    assert names(alone.models) == [("fast", "small"), ("*", None)]
    assert alone.virtual == ()
    assert all(model.visibility == "public" and not model.keeps_name for model in alone.models)


def test_an_alias_goes_to_every_provider_without_a_model_of_its_own() -> None:
    found = route(
        groups(provider("a"), provider("b", "forced")), "ai: {modelAliases: {'fast-*': small}}"
    )
    assert names(found.models) == [
        ("backend:a", None),
        ("backend:b", "forced"),
        ("backend:a-2", "small"),
    ]
    assert found.virtual == (
        failover("fast-*", ("backend:a-2",), ("backend:b",)),
        failover("*", ("backend:a",), ("backend:b",)),
    )


def test_each_provider_has_its_own_policies_and_the_routes() -> None:
    found = route(
        groups(
            provider("a", more=", policies: {retry: {attempts: 1}, backendAuth: {key: inner}}"),
            provider("b", more=", cost: {input: 1, output: 2}"),
        ),
        "retry: {attempts: 4, backoff: 1s}, backendAuth: {key: outer}, ai: {overrides: {x: 1}}",
    )
    a, b = found.models
    assert a.retry == RetrySettings(attempts=1, backoff=1.0)
    assert b.retry == RetrySettings(attempts=4, backoff=1.0)
    assert [m.provider.api_key.reveal() for m in (a, b) if m.provider.api_key] == ["inner", "outer"]
    assert a.shaping == b.shaping
    assert a.shaping is not None
    assert b.cost is not None
    assert found.virtual[0].retry is None


# --- mirrors ------------------------------------------------------------------------------------


def mirror(backend: str, more: str = "") -> str:
    return f"requestMirror: {{backend: {{ai: {backend}{more}}}, percentage: 0.25}}"


def test_a_mirror_is_a_model_only_the_gateway_asks() -> None:
    found = route(f"{{ai: {provider('a')}}}", mirror(provider("shadow", "trial")))
    every, copy = found.models
    assert every.mirror == Mirror(model="mirror:shadow", share=0.25)
    assert (copy.name, copy.model, copy.visibility) == ("mirror:shadow", "trial", "internal")
    assert copy.mirror is None


def test_a_mirror_of_several_is_that_of_the_choice() -> None:
    found = route(groups(provider("a"), provider("b")), mirror(provider("a")))
    assert found.virtual[0].mirror == Mirror(model="mirror:a", share=0.25)
    assert all(model.mirror is None for model in found.models)


def test_a_mirror_is_asked_for_what_an_alias_stands_for() -> None:
    policies = f"{mirror(provider('s'))}, ai: {{modelAliases: {{fast: small}}}}"
    found = route(f"{{ai: {provider('a')}}}", policies)
    assert names(found.models) == [
        ("fast", "small"),
        ("*", None),
        ("mirror:s-2", "small"),
        ("mirror:s", None),
    ]
    assert [m.mirror.model for m in found.models if m.mirror] == ["mirror:s-2", "mirror:s"]


def test_a_mirror_does_not_get_the_routes_credentials() -> None:
    found = route(
        f"{{ai: {provider('a')}}}", f"backendAuth: {{key: outer}}, {mirror(provider('s'))}"
    )
    assert found.models[0].provider.api_key is not None
    assert found.models[1].provider.api_key is None
    own = mirror(provider("s"), ", policies: {backendAuth: {key: mine}}")
    key = route(f"{{ai: {provider('a')}}}", own).models[1].provider.api_key
    assert key is not None
    assert key.reveal() == "mine"


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backends", "policies", "message"),
    [
        ("", "", "backends: list at least one backend"),
        ("{ai: {groups: []}}", "", "backends[0].ai.groups: list at least one group"),
        (groups(""), "", "backends[0].ai.groups[0].providers: list at least one provider"),
        (
            "{ai: {name: x, groups: [{providers: [{provider: {ollama: {}}}]}]}}",
            "",
            "backends[0].ai: groups takes the place of provider and its keys",
        ),
        (
            f"{{ai: {provider('a')}, weight: 0}}, {{ai: {provider('b')}, weight: 0}}",
            "",
            "backends: all weights are 0",
        ),
        (
            groups("{provider: {openAI: {}}}", provider("b")),
            "",
            "backends[0].ai.groups[0].providers[0].policies.backendAuth: no key: set OPENAI",
        ),
        (
            groups(provider("a"), "{provider: {ollama: {}, vllm: {}}}"),
            "",
            "backends[0].ai.groups[1].providers[0].provider: exactly one provider is needed",
        ),
        (
            f"{{ai: {provider('a')}}}",
            f"requestMirror: {{backend: {groups(provider('b'), provider('c'))}}}",
            "policies.requestMirror.backend.ai.groups: a mirror has one provider",
        ),
        (
            f"{{ai: {provider('a')}}}",
            "requestMirror: {backend: {ai: {provider: {openAI: {}}}}}",
            "policies.requestMirror.backend.ai.policies.backendAuth: no key: set OPENAI",
        ),
        (
            f"{{ai: {provider('a')}}}",
            "requestMirror: {percentage: 1}",
            'policies.requestMirror: the key "backend" is missing',
        ),
        (
            groups(provider("a"), provider("b")),
            "ai: {modelAliases: {'*': small}}",
            'policies.ai.modelAliases["*"]: an alias for every name',
        ),
        (
            f"{{ai: {provider('a')}, weight: 1.5}}",
            "",
            "backends[0].weight: expected an integer",
        ),
    ],
)
def test_backends_that_make_no_sense_are_refused_with_their_path(
    backends: str, policies: str, message: str
) -> None:
    assert problem(backends, policies).startswith(message)


def test_names_times_providers_are_bounded() -> None:
    many = ", ".join(provider("a") for _ in range(70))
    aliases = ", ".join(f"a{i}: b" for i in range(60))
    line = problem(groups(many), f"ai: {{modelAliases: {{{aliases}}}}}")
    assert "come to more than 4096 models" in line
