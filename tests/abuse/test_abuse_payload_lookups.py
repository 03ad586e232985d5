"""Payloads of other trades in every place where something is looked up by a caller's word: keys,
models, ids, queries, controls (D12); and controls that ask for too much (D6, D11)."""

import json
import re
from typing import Any
from urllib.parse import quote

import pytest
from tests.abuse.attackers import Exchange, crowd, exchange, post
from tests.abuse.harness import LANES, SPLICE, Case, Heard, Lane, Stage, body, profiles, served
from tests.abuse.oracles import check_readable
from tests.support.asks import PATHS
from tests.support.gateway import CALLER_KEY

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAYLOADS = (
    "'", '"', "' OR '1'='1", "' OR 1=1 --", "'; DROP TABLE responses; --", "') OR ('a'='a",
    "1; SELECT sqlite_version()", "' UNION SELECT NULL,NULL,NULL--", "admin'--", "1' AND SLEEP(5)#",
    "'; SELECT pg_sleep(5); --", "'||(SELECT 7*191)||'", "%' OR '%'='", "_%", "*", "\\", "\\'",
    "`id`",
    "$(id)", ";id", "|id", "&&id", "{{7*191}}", "${7*191}", "#{7*191}", "<%= 7*191 %>", "{7*191}",
    "{{config}}", "{0.__class__}", "%s%s%n", "%(name)s", "__proto__", "constructor", "$ne",
    "$where",
    '{"$gt":""}', "../../../etc/passwd", "..\\..\\win.ini", "%2e%2e%2f", "....//", "/etc/passwd",
    "file:///etc/passwd", "http://169.254.169.254/", "php://filter", "<script>alert(1)</script>",
    "<!ENTITY x SYSTEM 'file:///etc/passwd'>", "*)(uid=*", "' or ''='", "a\tb", "a" * 1000,
    "${jndi:ldap://evil/a}", "(?:a+)+$", "O:8:stdClass:0:{}", "!!python/object:os.system", "\u2032",
    "\U0001f600", "%00", "NaN", "-1", "null", "undefined", "true", "[]",
)  # fmt: skip
_TOLD = re.compile(
    rb"sqlite|postgres|psycopg|asyncpg|syntax error|traceback|operationalerror"
    rb"|no such (?:table|column)"
    rb"|File \"|line \d+, in|1337|root:x:|KeyError|ValueError|0x7f[0-9a-f]{6}",
    re.IGNORECASE,
)  # fmt: skip
_ECHOED = re.compile(rb"SELECT.(?:sqlite_version|pg_sleep)|sqlite_version", re.IGNORECASE)


def _get(path: str, key: str = CALLER_KEY, method: str = "GET") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {key}\r\n\r\n"
    return head.encode("latin-1", "replace")


def _field(text: str) -> str:
    """As a header can hold it."""
    return text.encode().decode("latin-1").replace("\t", " ")


async def _sent(case: Case, place: str, payload: str, raw: bytes, lane: Lane | None) -> str:
    """What is wrong with the answer, if anything is."""
    case.expect(1)
    found: Exchange = await exchange(case.gateway.port, raw, most=1, quiet=5.0)
    if len(found.answers) != 1:
        return f"{place} {payload!r}: {found}"
    (answer,) = found.answers
    if lane is not None:
        case.heard.append(Heard(lane, "", False, answer, 0.0))
        check_readable(lane.client, False, answer)
    told = answer.body.replace(json.dumps(payload)[1:-1].encode(), b"").replace(
        payload.encode(), b""
    )
    told = _ECHOED.sub(b"", told)
    if answer.status not in _STATUSES.get(place, (400, 404)) or (
        answer.status >= 400 and _TOLD.search(told)
    ):
        return f"{place} {payload!r}: {answer.status} {answer.body[:300]!r}"
    return ""


_STATUSES = {
    "bearer": (400, 401), "x-api-key": (401,), "path": (400, 404, 405), "free": (200, 400),
    "query": (400, 404), "control": (200, 400, 404), "list": (200, 400, 404),
}  # fmt: skip


def _bodies(lane: Lane, text: str) -> list[tuple[str, dict[str, Any]]]:
    """Where in a body a word is looked up, or is anybody's."""
    gateway = {"order": [text], "only": [text], "tags": [text], "user": text, "models": [text],
               "sort": text, "providerTimeouts": {text: 5000}, text: 1}  # fmt: skip
    found: list[tuple[str, dict[str, Any]]] = [
        ("model", {"model": text}),
        ("free", {"user": text}),
        ("free", {"metadata": {text[:60]: text[:500]}}),
        ("control", {"models": [text]}),
        ("control", {"models": text}),
        *[("control", {"provider": {name: [text]}}) for name in ("order", "only", "ignore")],
        ("control", {"provider": {text: text, "sort": text}}),
        ("control", {"provider": text}),
        ("control", {"providerOptions": text}),
        ("control", {"providerOptions": {text: {text: text}}}),
        *[("control", {"providerOptions": {"gateway": {k: v}}}) for k, v in gateway.items()],
        ("control", {"provider_options": {"gateway": {"order": [text, text]}}}),
    ]
    if lane.client == "responses":
        found += [
            ("state", {"previous_response_id": text}),
            ("state", {"conversation": text}),
            ("state", {"conversation": {"id": text}}),
            ("state", {"input": [{"type": "item_reference", "id": text}]}),
            ("free", {"include": [text]}),
            ("free", {"prompt_cache_key": text}),
        ]
    return found


_PATHS = (
    "/v1/responses/{}", "/v1/responses/{}/input_items", "/v1/conversations/{}",
    "/v1/conversations/{}/items", "/v1/conversations/{}/items/{}", "/v1/models/{}",
)  # fmt: skip
_QUERIES = (
    "/v1/responses/resp_0?include[]={}", "/v1/responses/resp_0?starting_after={}",
    "/v1/responses/resp_0?stream={}", "/v1/conversations/conv_0/items?order={}",
    "/v1/responses/resp_0/input_items?after={}&limit={}&order={}",
)  # fmt: skip


def _requests(payload: str) -> list[tuple[str, Lane | None, bytes]]:
    """Place, lane and request for every place."""
    chat = json.dumps(body(SPLICE[0], "", "", False, {})).encode()
    made: list[tuple[str, Lane | None, bytes]] = []
    field = _field(payload)
    made.append(("bearer", SPLICE[0], post(PATHS["chat"], chat, key=field)))
    made.append(
        ("x-api-key", SPLICE[0], post(PATHS["chat"], chat, f"x-api-key: {field}", key=None))
    )
    for name in ("models", "order", "only", "ignore", "sort", "tags", "user", "timeout"):
        line = f"x-portico-{name}: {field}"
        made.append(("control", SPLICE[0], post(PATHS["chat"], chat, line)))
    made.append(
        ("control", SPLICE[0], post(PATHS["chat"], chat, f"x-portico-timeout: {field}=5000"))
    )
    for lane in (SPLICE[0], SPLICE[1], LANES[4]):
        for place, more in _bodies(lane, payload):
            data = json.dumps({**body(lane, "", "", False, {}), **more}).encode()
            made.append((place, lane, post(PATHS[lane.client], data)))
    for text in {quote(payload, safe=""), payload.replace(" ", "+")} - {""}:
        if not text.isascii() or re.search(r"[\x00-\x20]", text):
            continue
        made += [
            ("path", None, _get(path.replace("{}", text), method=method))
            for path in _PATHS for method in ("GET", "DELETE")
        ]  # fmt: skip
        word = text.replace("#", "%23")
        made += [("query", None, _get(path.replace("{}", word))) for path in _QUERIES]
        made.append(("list", None, _get(f"/v1/models?x={text}&limit={text}")))
    return made


@profiles
async def test_d12_payloads_are_words_wherever_they_stand(stage: Stage, full: bool) -> None:
    payloads = PAYLOADS if full else PAYLOADS[::7]
    plan = [(payload, *each) for payload in payloads for each in _requests(payload)]
    async with stage.case("D12 payloads", full=full) as case:

        async def one(number: int) -> str:
            payload, place, lane, raw = plan[number]
            return await _sent(case, place, payload, raw, lane)

        wrong = [each for each in await crowd(len(plan), one, 16) if each]
        assert not wrong, f"{len(wrong)}\n" + "\n".join(wrong[:40])
        slow = [h for h in case.heard if h.seconds > 4.0]
        assert not slow, "nobody made the database sleep"
    print(f"D12: {len(plan)} requests, {case.probes}")


async def test_there_are_fifty_payloads_at_least() -> None:
    assert len(set(PAYLOADS)) >= 50


@profiles
async def test_d12_what_is_stored_is_found_by_its_very_name_only(stage: Stage, full: bool) -> None:
    """An id with anything around it, in another case, or with a wildcard in it, is another id."""
    async with stage.case("D12 near misses", full=full) as case:
        lane = SPLICE[1]
        made = (await case.ask(lane, words="kept")).answer.json()["id"]
        for near in (
            made.upper(), made.swapcase(), made[:-1] + "_", made[:-1] + "%25", made + "%20",
            "%20" + made, made + "%00", made + "'", made + "'--", made + ";", "*", made[:8] + "*",
            "%25", made + "/", made + "/.", f"./{made}", f"x/../{made}", made.replace("_", "-"),
            f"{made},{made}", f"{made}%0a", f"{made}?", f"{made}%3f",
        ):  # fmt: skip
            if near in (made, f"{made}?"):
                continue
            for method in ("DELETE", "GET"):
                case.expect(1)
                found = await exchange(
                    stage.gateway.port, _get(f"/v1/responses/{near}", method=method), most=1
                )
                assert found.statuses[0] in (400, 404, 405), (near, found)
        case.expect(1)
        found = await exchange(stage.gateway.port, _get(f"/v1/responses/{made}"), most=1)
        assert found.statuses == [200], "it is still there"


_GREEDY: tuple[dict[str, Any], ...] = (
    {"models": ["a"] * 17}, {"models": ["a" * 257]}, {"models": [""]}, {"models": [1]},
    {"models": {"a": 1}}, {"models": "a"}, {"models": [["a"]]}, {"models": [None]},
    {"models": ["a\nb"]}, {"models": ["a" * 200] * 10_000}, {"provider": []}, {"provider": 1},
    {"provider": {"order": ["p"] * 33}}, {"provider": {"order": "p" * 10_000}},
    {"provider": {"sort": "fast"}}, {"provider": {"sort": {"by": "price", "partition": "none"}}},
    {"provider": {"allow_fallbacks": "no"}}, {"provider": {"max_price": {"prompt": 0}}},
    {"provider": {"data_collection": "deny"}}, {"provider": {"zdr": True}},
    {"provider": {"quantizations": ["fp8"]}}, {"provider": {"a" * 100_000: True}},
    {"providerOptions": {"gateway": []}}, {"providerOptions": {"gateway": {"tags": ["t"] * 33}}},
    {"providerOptions": {"gateway": {"user": "u" * 257}}},
    {"providerOptions": {"gateway": {"providerTimeouts": {"p": 0}}}},
    {"providerOptions": {"gateway": {"providerTimeouts": {"p": -1}}}},
    {"providerOptions": {"gateway": {"providerTimeouts": {"p": 10**30}}}},
    {"providerOptions": {"gateway": {"providerTimeouts": {"p": True}}}},
    {"providerOptions": {"gateway": {"providerTimeouts": {f"p{n}": 9 for n in range(33)}}}},
    {"providerOptions": {"gateway": {"byok": {"openai": [{"apiKey": "x"}]}}}},
    {"providerOptions": {"gateway": {"caching": "auto"}}},
    {"providerOptions": {"gateway": {"baseUrl": "http://169.254.169.254/"}}},
    {"provider": {"base_url": "http://169.254.169.254/"}}, {"provider": {"api_key": "x"}},
)  # fmt: skip
_GREEDY_LINES = (
    "x-portico-timeout: 0", "x-portico-timeout: -1", "x-portico-timeout: 1e3",
    "x-portico-timeout: NaN",
    "x-portico-timeout: 99999999999", "x-portico-timeout: 5,", "x-portico-timeout: p=5=6",
    "x-portico-timeout: \u0665", "x-portico-sort: fastest", "x-portico-sort: ttft,cost",
    f"x-portico-user: {'u' * 257}", f"x-portico-models: {','.join('abcdefghijklmnopqr')}",
    f"x-portico-tags: {'t' * 129}", "x-portico-only: \u00ff\u00fe", "x-portico-user: a\x7fb",
    "x-portico-tags: a\u00c2\u0085b", "x-portico-user: \u00e2\u0080\u00a8",
    "x-portico-only: nobody",
    "x-portico-ignore: at-chat", "x-portico-models: nowhere", "x-portico-user: \u00ed\u00a0\u0080",
)  # fmt: skip
_FINE = ("x-portico-timeout: 5,", "x-portico-timeout: p=5=6")


@profiles
async def test_d6_d12_controls_that_ask_for_too_much_are_refused_and_nothing_is_asked(
    stage: Stage, full: bool
) -> None:
    """Never a 5xx, never a request to anybody, never a way to another address or key."""
    async with stage.case("D12 controls", full=full) as case:
        for lane in LANES if full else (SPLICE[0], LANES[5]):
            for more in _GREEDY:
                start = len(stage.provider.requests)
                data = json.dumps({**body(lane, "", "", False, {}), **more}).encode()
                wrong = await _sent(case, "model", "", post(PATHS[lane.client], data), lane)
                assert not wrong, (str(more)[:200], wrong)
                assert len(stage.provider.requests) == start, more
        for line in _GREEDY_LINES:
            name, _, value = line.partition(":")
            data = json.dumps(body(SPLICE[0], "", "", False, {})).encode()
            lane, start = SPLICE[0], len(stage.provider.requests)
            value = value.strip() if value.isascii() else value.strip().encode().decode("latin-1")
            raw = post(PATHS["chat"], data, f"{name}: {value}")
            place = "control" if line in _FINE or "ignore" in name else "model"
            wrong = await _sent(case, place, "", raw, lane)
            assert not wrong, (line, wrong)
            assert place == "control" or len(stage.provider.requests) == start, line


@profiles
async def test_d12_controls_reach_no_model_that_the_key_may_not_use(
    stage: Stage, full: bool
) -> None:
    """Through further models, virtual models, aliases and mirrors' names; nor internal ones."""
    limited = "gw-limited-0123456789abcdef"
    keys = [{"key": CALLER_KEY, "metadata": {"team": "abuse"}},
            {"key": limited, "allowedModels": ["allowed", "virtual"]}]  # fmt: skip
    url = stage.provider.url
    models = [served("allowed", stage.refusing, "chat", "allowed-up"),
              served("forbidden", url, "chat", "forbidden-up"),
              served("hidden", url, "chat", "hidden-up", visibility="internal")]  # fmt: skip
    targets = [{"model": "allowed", "priority": 0}, {"model": "hidden", "priority": 1}]
    llm = {"virtualModels": [{"name": "virtual", "routing": {"failover": {"targets": targets}}}]}
    policies = {"apiKey": {"keys": keys}, "ai": {"modelAliases": {"alias": "forbidden"}}}
    tries: list[tuple[dict[str, Any], tuple[str, ...]]] = []
    for name in (
        "forbidden",
        "hidden",
        "alias",
        "FORBIDDEN",
        "forbidden ",
        "canary",
        "*",
        "forbid*",
    ):
        tries += [
            ({"model": name}, ()), ({"models": [name]}, ()), ({"models": ["allowed", name]}, ()),
            ({"providerOptions": {"gateway": {"models": [name]}}}, ()),
            ({"provider_options": {"gateway": {"models": [name]}}}, ()),
            ({}, (f"x-portico-models: {name}",)), ({}, (f"x-portico-models: allowed,{name}",)),
            ({"model": "virtual", "models": [name]}, ()),
        ]  # fmt: skip
    async with (
        stage.configured(models, policies=policies, llm=llm),
        stage.case("D12 rights", full=full) as case,
    ):
        start = len(stage.provider.requests)
        for more, lines in tries:
            asked = {"model": "allowed", "messages": [{"role": "user", "content": "x"}], **more}
            case.expect(1)
            raw = post(PATHS["chat"], json.dumps(asked).encode(), *lines, key=limited)
            found = await exchange(case.gateway.port, raw, most=1)
            assert found.statuses[0] in (400, 403, 404), (more, lines, found)
            assert b"-up" not in found.answers[0].body
        assert len(stage.provider.requests) == start, "nobody was asked"
