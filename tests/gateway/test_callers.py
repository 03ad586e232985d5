"""Who may call: keys, modes, allowed models, the cap per key."""

import hashlib

import pytest
from tests.conftest import Launch, Play
from tests.support.asks import PATHS, ask
from tests.support.gateway import (
    CALLER_KEY,
    Gateway,
    caller,
    model,
    provider,
    route,
    settings,
)
from tests.support.raw import RawClient, RawResponse
from tests.support.upstream import ScriptedUpstream, expect, hang, http_json, send

from portico.config.settings import CallerKey
from portico.limits import Limits

OK = {"id": "x", "model": "m", "usage": {"prompt_tokens": 1, "completion_tokens": 1}}


@pytest.fixture
async def upstream(play: Play) -> ScriptedUpstream:
    return await play(default=[expect(), send(http_json(200, OK))])


async def call(
    gate: Gateway, headers: dict[str, str] | None = None, name: str = "m"
) -> RawResponse:
    async with await RawClient.connect(gate.port) as client:
        await client.request("POST", PATHS["chat"], ask("chat", model=name), headers)
        return await client.response()


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def test_either_header_and_either_case_of_bearer_will_do(
    launch: Launch, upstream: ScriptedUpstream
) -> None:
    gate = await launch(settings(route([model("m", provider(upstream.url))], [caller()])))
    for headers in (
        bearer(CALLER_KEY),
        {"authorization": f"bearer  {CALLER_KEY} "},
        {"x-api-key": CALLER_KEY},
        {"authorization": "Basic dXNlcg==", "x-api-key": CALLER_KEY},
    ):
        assert (await call(gate, headers)).status == 200
    # A wrong bearer is not saved by a right key next to it: two readers must not disagree.
    assert (await call(gate, {**bearer("no"), "x-api-key": CALLER_KEY})).status == 401


async def test_the_record_says_who_called_and_never_with_what(
    launch: Launch, upstream: ScriptedUpstream
) -> None:
    keys = [caller("key-of-alice", user="alice", team="ml"), caller("key-of-bob", user="bob")]
    gate = await launch(settings(route([model("m", provider(upstream.url))], keys)))
    await call(gate, bearer("key-of-alice"))
    assert gate.outcomes[-1].caller == {"user": "alice", "team": "ml"}
    await call(gate, {"x-api-key": "key-of-bob"})
    assert gate.outcomes[-1].caller == {"user": "bob"}
    await call(gate, bearer("key-of-nobody"))
    assert gate.outcomes[-1].caller is None
    table = gate.worker.snapshot.fronts[0].routes[0].keys
    held = repr(vars(type(table))) + repr(table._callers)  # type: ignore[union-attr]
    assert "key-of-alice" not in held
    assert hashlib.sha256(b"key-of-alice").digest() not in table._callers  # type: ignore[union-attr]


WRONG = [
    "",
    " ",
    "x",
    CALLER_KEY + "x",
    CALLER_KEY[:-1],
    CALLER_KEY.upper(),
    "' OR '1'='1' --",
    "{{7*7}}${jndi:ldap://x}",
    "../../etc/passwd",
    "a" * 4096,
    "a" * 5000,
    "a" * 30_000,
    "caf\u00e9",
    hashlib.sha256(CALLER_KEY.encode()).hexdigest(),
    f"sha256:{hashlib.sha256(CALLER_KEY.encode()).hexdigest()}",
    f"{CALLER_KEY}, {CALLER_KEY}",
]


@pytest.mark.parametrize("key", WRONG, ids=range(len(WRONG)))
async def test_whatever_is_not_the_key_is_a_401(
    key: str, launch: Launch, upstream: ScriptedUpstream
) -> None:
    gate = await launch(settings(route([model("m", provider(upstream.url))], [caller()])))
    for headers in (bearer(key), {"x-api-key": key}):
        async with await RawClient.connect(gate.port) as client:
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            head = f"POST {PATHS['chat']} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n"
            await client.send(f"{head}{lines}\r\n{{}}".encode())
            answer = await client.response()
        assert answer.status == 401
        assert answer.json()["error"]["code"] == "invalid_api_key"
        assert not key.strip() or key[:200] not in answer.json()["error"]["message"]
    assert upstream.opened == 0


@pytest.mark.parametrize(
    ("mode", "none", "wrong", "right"),
    [("strict", 401, 401, 200), ("optional", 200, 401, 200), ("permissive", 200, 200, 200)],
)
async def test_what_each_mode_lets_through(
    mode: str, none: int, wrong: int, right: int, launch: Launch, upstream: ScriptedUpstream
) -> None:
    served = [model("m", provider(upstream.url))]
    gate = await launch(settings(route(served, [caller(user="a")], mode=mode)))
    assert (await call(gate)).status == none
    assert (await call(gate, bearer("wrong"))).status == wrong
    assert (await call(gate, bearer(CALLER_KEY))).status == right
    assert gate.outcomes[-1].caller == {"user": "a"}
    for outcome in gate.outcomes[:-1]:
        assert outcome.caller is None


async def test_strict_without_any_key_lets_nobody_in(
    launch: Launch, upstream: ScriptedUpstream
) -> None:
    gate = await launch(settings(route([model("m", provider(upstream.url))], [])))
    for headers in ({}, bearer("x")):
        assert (await call(gate, headers)).status == 401


async def test_allowed_models_are_exact_or_wildcards(
    launch: Launch, upstream: ScriptedUpstream
) -> None:
    served = provider(upstream.url)
    models = [model("*", served), model("team/*", served, "inner"), model("exact", served)]
    keys = [
        caller("k1", ["exact"]),
        caller("k2", ["team/*"]),
        caller("k3", ["*-mini"]),
        caller("k4", ["*"]),
        caller("k5", []),
    ]
    gate = await launch(settings(route(models, keys)))
    used = {
        "k1": {"exact"},
        "k2": {"team/a", "team/"},
        "k3": {"gpt-mini"},
        "k4": {"exact", "team/a", "team/", "gpt-mini", "exactly", "Exact", "team", "mini"},
        "k5": set(),
    }
    for key, allowed in used.items():
        for name in used["k4"]:
            status = (await call(gate, bearer(key), name)).status
            assert status == (200 if name in allowed else 404), (key, name)


async def test_keys_belong_to_their_route(launch: Launch, upstream: ScriptedUpstream) -> None:
    served = [model("m", provider(upstream.url))]
    gate = await launch(
        settings(
            route(served, [caller("key-a")], path_prefix="/a", name="a"),
            route(served, [caller("key-b")], path_prefix="/b", name="b"),
        )
    )

    async def visit(prefix: str, key: str) -> int:
        async with await RawClient.connect(gate.port) as client:
            await client.request("POST", f"{prefix}{PATHS['chat']}", ask("chat", model="m"),
                                 bearer(key))  # fmt: skip
            return (await client.response()).status

    assert await visit("/a", "key-a") == await visit("/b", "key-b") == 200
    assert await visit("/a", "key-b") == await visit("/b", "key-a") == 401
    assert await visit("/ab", "key-a") == 404
    assert await visit("/a/../b", "key-a") == 404
    assert await visit("/b/..%2fa", "key-a") == 401


async def test_one_key_has_its_cap_and_frees_it(launch: Launch, play: Play) -> None:
    ok = [expect(), send(http_json(200, OK))]
    upstream = await play([expect(), hang()], [expect(), hang()], default=ok)
    keys = [caller("busy"), caller("calm")]
    gate = await launch(
        settings(
            route([model("m", provider(upstream.url))], keys), limits=Limits(in_flight_per_key=2)
        )
    )
    waiting = [await RawClient.connect(gate.port) for _ in range(2)]
    for client in waiting:
        await client.request("POST", PATHS["chat"], ask("chat", model="m"), bearer("busy"))
    await upstream.wait_requests(2)
    answer = await call(gate, bearer("busy"))
    assert answer.status == 429
    assert answer.json()["error"]["type"] == "rate_limit_error"
    assert answer.json()["error"]["code"] == "too_many_requests_in_flight"
    assert gate.sample("portico_limit_hits_total", limit="inFlightPerKey") == 1
    assert (await call(gate, bearer("calm"))).status == 200, "the cap is per key"
    waiting[0].rst()
    await gate.last(3)
    assert (await call(gate, bearer("busy"))).status == 200, "who leaves frees the place"
    waiting[1].close()


async def test_a_failed_or_refused_call_frees_its_place(
    launch: Launch, upstream: ScriptedUpstream
) -> None:
    gate = await launch(
        settings(
            route([model("m", provider(upstream.url))], [caller()]),
            limits=Limits(in_flight_per_key=1),
        )
    )
    for _ in range(3):
        assert (await call(gate, bearer(CALLER_KEY), "unknown")).status == 404
        assert (await call(gate, bearer(CALLER_KEY))).status == 200


async def test_keys_of_any_unicode_are_compared_as_bytes(
    launch: Launch, upstream: ScriptedUpstream
) -> None:
    digest = hashlib.sha256("caf\u00e9".encode()).hexdigest()
    keys = [CallerKey(digest=digest)]
    gate = await launch(settings(route([model("m", provider(upstream.url))], keys)))
    async with await RawClient.connect(gate.port) as client:
        await client.request("GET", "/v1/models", None, {"authorization": "Bearer caf\u00e9"})
        assert (await client.response()).status == 200
