"""What a document comes to: defaults, models, callers, routes, limits."""

import hashlib
from urllib.parse import urlsplit

import pytest

from portico.config.kinds import KINDS
from portico.config.load import loads
from portico.config.settings import Address, RouteSettings, Settings, UpstreamTls
from portico.limits import Deadlines, Limits
from portico.providers.table import PROVIDERS

MODELS = "llm: {models: [{name: m, provider: ollama}]}\n"


def settings(text: str) -> Settings:
    return loads(text, {}, name="f")


def routes(*bodies: str, listener: str = "") -> tuple[RouteSettings, ...]:
    text = f"binds: [{{port: 1, listeners: [{{{listener}routes: [{', '.join(bodies)}]}}]}}]"
    return settings(text).listeners[0].routes


BACKENDS = "backends: [{ai: {provider: {ollama: {}}}}]"


def test_defaults_are_those_of_the_settings() -> None:
    assert settings(MODELS) == Settings(listeners=settings(MODELS).listeners)
    assert settings(MODELS).limits == Limits()
    assert settings(MODELS).deadlines == Deadlines()
    assert settings(MODELS).listeners[0].address == Address("127.0.0.1", 4000)


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ('"localhost:15000"', Address("127.0.0.1", 15000)),
        ('":15001"', Address("0.0.0.0", 15001)),
        ('"10.0.0.1:1"', Address("10.0.0.1", 1)),
        ('"[::1]:15000"', Address("::1", 15000)),
        ('"off"', None),
    ],
)
def test_the_admin_address_can_be_moved_or_turned_off(written: str, wanted: Address | None) -> None:
    assert settings(MODELS + f"config: {{adminAddr: {written}}}").admin == wanted


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("30", 30.0), ("0.5", 0.5), ("300s", 300.0), ("5m", 300.0), ("250ms", 0.25), ("1h30m", 5400)],
)
def test_deadlines_take_seconds_and_go_durations(written: str, seconds: float) -> None:
    found = settings(MODELS + f"config: {{deadlines: {{idle: {written}}}}}")
    assert found.deadlines.idle == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("written", "size"),
    [("1048576", 2**20), ("1MiB", 2**20), ("64KiB", 65536), ("1Gi", 2**30), ("10MB", 10**7)],
)
def test_sizes_take_bytes_and_units(written: str, size: int) -> None:
    found = settings(MODELS + f"config: {{limits: {{bodyBytes: {written}}}}}")
    assert found.limits.body_bytes == size


def test_max_buffer_size_is_the_body_limit() -> None:
    found = settings(MODELS + "frontendPolicies: {http: {maxBufferSize: 20971520}}")
    assert found.limits.body_bytes == 20971520


def test_a_unix_socket_takes_the_place_of_the_port() -> None:
    found = settings(MODELS + "config: {uds: /run/p.sock}")
    assert found.listeners[0].address.path == "/run/p.sock"


def test_the_host_holds_for_every_port() -> None:
    text = f"{MODELS}binds: [{{port: 1, listeners: [{{routes: [{{{BACKENDS}}}]}}]}}]\n"
    found = settings(text + "config: {host: 0.0.0.0}")
    assert [a.address for a in found.listeners] == [Address("0.0.0.0", 4000), Address("0.0.0.0", 1)]


def test_a_referenced_provider_serves_many_models() -> None:
    text = """
llm:
  providers:
  - name: box
    provider: openAI
    params: {apiKey: k, baseUrl: "http://box/v1", model: base}
    tls: {root: ca.pem, hostname: box.internal, insecure: false}
  models:
  - {name: a, provider: {reference: box}, params: {model: up}}
  - {name: b, provider: {reference: box}, visibility: internal, id: "17"}
"""
    a, b = settings(text).listeners[0].routes[0].models
    assert a.provider == b.provider
    assert (a.provider.name, a.provider.kind) == ("box", "openAI")
    assert a.provider.tls == UpstreamTls(root="ca.pem", hostname="box.internal")
    assert (a.model, b.model) == ("up", "base")
    assert (a.visibility, b.visibility) == ("public", "internal")


def test_callers_are_known_by_digest() -> None:
    digest = hashlib.sha256(b"sk-bob").hexdigest()
    text = MODELS.replace("}]}", "}], policies: {apiKey: {keys: [%s]}}}") % (
        "{key: sk-alice, metadata: {user: alice}}, "
        f"{{keyHash: 'sha256:{digest.upper()}', allowedModels: [m, 'a/*']}}"
    )
    policy = settings(text).listeners[0].routes[0].api_key
    assert policy is not None
    assert policy.mode == "strict"
    alice, bob = policy.keys
    assert alice.digest == hashlib.sha256(b"sk-alice").hexdigest()
    assert (alice.metadata, alice.allowed_models) == ({"user": "alice"}, None)
    assert (bob.digest, bob.allowed_models) == (digest, ("m", "a/*"))


def test_aliases_come_before_the_model_every_other_name_goes_to() -> None:
    policies = "policies: {ai: {modelAliases: {fast: small, 'gpt-*': big}}}"
    body = f"{{backends: [{{ai: {{provider: {{ollama: {{model: only}}}}}}}}], {policies}}}"
    (route,) = routes(body)
    assert [(m.name, m.model) for m in route.models] == [
        ("fast", "small"),
        ("gpt-*", "big"),
        ("*", "only"),
    ]


def test_the_innermost_credentials_win() -> None:
    body = (
        "{backends: [{ai: {provider: {openAI: {}}, policies: {backendAuth: {key: inner}}}}],"
        " policies: {backendAuth: {key: outer}, backendTLS: {root: ca.pem}}}"
    )
    who = routes(body)[0].models[0].provider
    assert who.api_key is not None
    assert who.api_key.reveal() == "inner"
    assert who.tls == UpstreamTls(root="ca.pem")


def test_one_group_of_one_provider_is_a_provider() -> None:
    grouped = "{backends: [{ai: {groups: [{providers: [{provider: {ollama: {}}}]}]}}]}"
    assert routes(grouped) == routes(f"{{{BACKENDS}}}")


def test_the_most_specific_match_comes_first() -> None:
    found = routes(
        f"{{name: any, {BACKENDS}}}",
        f"{{name: wild, hostnames: ['*.b.c'], {BACKENDS}}}",
        f"{{name: short, matches: [{{path: {{pathPrefix: /a/}}}}], {BACKENDS}}}",
        f"{{name: exact, matches: [{{path: {{exact: /a}}}}], {BACKENDS}}}",
        f"{{name: long, matches: [{{path: {{pathPrefix: /a/b}}}}], {BACKENDS}}}",
        f"{{name: host, hostnames: [a.b.c], {BACKENDS}}}",
    )
    assert [r.name for r in found] == ["host", "wild", "exact", "long", "short", "any"]
    assert [(r.path_prefix, r.path_exact) for r in found[2:5]] == [
        ("/a", True),
        ("/a/b", False),
        ("/a", False),
    ]


def test_a_listeners_hostname_narrows_its_routes() -> None:
    found = routes(
        f"{{name: both, hostnames: [x.b.c, other.d, '*.c'], {BACKENDS}}}",
        f"{{name: none, {BACKENDS}}}",
        listener="hostname: '*.B.c', ",
    )
    assert {(r.name, r.hostnames) for r in found} == {
        ("both", ("x.b.c",)),
        ("both", ("*.b.c",)),
        ("none", ("*.b.c",)),
    }


def test_the_tables_of_kinds_and_of_providers_agree() -> None:
    assert set(KINDS) - {"custom"} == set(PROVIDERS)
    for kind, row in PROVIDERS.items():
        assert KINDS[kind].base_path == urlsplit(row.base_url).path
