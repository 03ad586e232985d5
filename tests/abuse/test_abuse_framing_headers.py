"""What a client says in headers is a claim, not a fact: expectations, connection options, other
people's names, controls (C11 to C13); and the names under which the admin listener answers."""

import asyncio
import contextlib
import json
from typing import Any

import pytest
from tests.abuse.attackers import crowd, exchange, post
from tests.abuse.framing_vectors import KEYED, MODEL
from tests.abuse.harness import LANES, SPLICE, Case, Heard, Lane, Stage, body, profiles, served
from tests.abuse.oracles import check_readable
from tests.faults.vectors import AUTH, BODY, LENGTH, TE
from tests.faults.vectors import post as request
from tests.support.asks import PATHS
from tests.support.gateway import CALLER_KEY, OPERATOR_KEY
from tests.support.raw import RawClient, RawResponse

pytestmark = pytest.mark.asyncio(loop_scope="session")

_OURS = ("x-portico-model", "x-portico-provider", "x-portico-attempts")


async def _asked(case: Case, lane: Lane, *lines: str, words: str = "", **more: Any) -> RawResponse:
    """One request with further header lines."""
    stream = bool(more.pop("stream", False))
    data = json.dumps(body(lane, "", words, stream, more)).encode()
    case.expect(1)
    found = await exchange(case.gateway.port, post(PATHS[lane.client], data, *lines), most=1)
    (answer,) = found.answers
    case.heard.append(Heard(lane, "", stream, answer, 0.0))
    check_readable(lane.client, stream, answer)
    return answer


@profiles
async def test_c11_an_expectation_is_answered_by_the_head_alone(stage: Stage, full: bool) -> None:
    large = 33 << 20
    refused = {
        413: post("/v1/chat/completions", b"", "expect: 100-continue").replace(
            b"content-length: 0", b"content-length: %d" % large),
        401: post("/v1/chat/completions", b"", "expect: 100-continue", key="no").replace(
            b"content-length: 0", b"content-length: %d" % large),
        400: request(b"Expect: 100-continue", LENGTH, TE),
    }  # fmt: skip
    async with stage.case("C11 Expect", full=full) as case:
        start = len(stage.provider.requests)
        for _ in range(20 if full else 2):
            for status, raw in refused.items():
                case.expect(1)
                found = await exchange(stage.gateway.port, raw, quiet=5.0)
                (answer,) = found.answers
                assert (answer.status, answer.interim, found.rest) == (status, [], b"")
                assert found.closed, "so that the body is not read as a request"
        assert len(stage.provider.requests) == start
        case.expect(1)
        async with await RawClient.connect(stage.gateway.port) as client:  # and nothing follows
            await client.send(post("/v1/chat/completions", BODY, "expect: 100-continue", key="no"))
            assert (await client.response()).status == 401
            with contextlib.suppress(ConnectionError):
                await client.send(KEYED)
            assert await client.read(1 << 16) == b""


@profiles
async def test_c12_connection_options_neither_remove_a_key_nor_leak_one(
    stage: Stage, full: bool
) -> None:
    named = (
        "authorization, x-api-key", "Authorization", "host, content-length, content-type",
        "close, authorization", "keep-alive, x-portico-only, x-portico-tags", "x-request-id",
        "anthropic-version, anthropic-beta", "transfer-encoding", ", ,authorization,", "*",
        "traceparent" + ", authorization" * 50,
    )  # fmt: skip
    lanes = LANES if full else LANES[::2]
    async with stage.case("C12 Connection", full=full) as case:
        start = len(stage.provider.requests)
        for lane in lanes:
            for value in named:
                answer = await _asked(case, lane, f"connection: {value}")
                assert answer.status == 200, (value, answer)
                case.expect(1)
                data = json.dumps(body(lane, "", "", False, {})).encode()
                stranger = post(PATHS[lane.client], data, f"connection: {value}", key=None)
                found = await exchange(stage.gateway.port, stranger, most=1)
                assert found.statuses == [401], value
        seen = stage.provider.requests[start:]
    assert len(seen) == len(lanes) * len(named)
    for each in seen:
        assert CALLER_KEY.encode() not in each.raw
        presented = each.head.get("authorization", each.head.get("x-api-key", ""))
        assert OPERATOR_KEY in presented
        assert int(each.head["content-length"]) == len(each.body)


_SPOOFED = {
    "x-portico-caller": "admin", "x-portico-upstream-request-id": "1", "x-portico-provider": "evil",
    "x-portico-model": "evil", "x-portico-attempts": "99", "x-portico-losses": "none",
    "x-portico-tenant": "other", "x-portico-api-key": "k", "x-portico-admin": "true",
    "x-forwarded-for": "127.0.0.1", "x-forwarded-host": "admin", "x-forwarded-proto": "https",
    "x-forwarded-prefix": "/admin", "x-real-ip": "127.0.0.1", "forwarded": "for=127.0.0.1",
    "x-original-url": "/config_dump", "x-rewrite-url": "/config_dump", "via": "1.1 other",
    "x-http-method-override": "DELETE", "openai-organization": "org-other",
    "openai-project": "proj-other", "cookie": "session=1", "proxy-authorization": "Basic x",
    "x-goog-api-key": "other", "api-key": "other", "x-amz-security-token": "other",
    "x-goog-user-project": "other", "x-api-base": "http://169.254.169.254/",
    "x-request-id": "req_spoofed", "request-id": "req_spoofed", "host-override": "evil",
    "x-stainless-helper-method": "stream", "accept-encoding": "gzip, br", "te": "trailers",
    "upgrade-insecure-requests": "1", "x-tenant": "evil", "x-envoy-original-path": "/",
}  # fmt: skip


@profiles
async def test_c13_a_client_speaks_for_nobody_else(stage: Stage, full: bool) -> None:
    lines = [f"{name}: {value}" for name, value in _SPOOFED.items()]
    async with stage.case("C13 spoofing", full=full) as case:
        for lane in LANES:
            start = len(stage.provider.requests)
            answer = await _asked(case, lane, *lines, stream=full)
            assert answer.status == 200
            (seen,) = stage.provider.requests[start:]
            taken = {name: seen.head[name] for name in _SPOOFED if name in seen.head}
            assert taken.pop("accept-encoding", "identity") == "identity"
            assert not taken, taken
            assert [answer.header(name) for name in _OURS] == ["m", lane.model, "1"]
            assert "spoofed" not in (answer.header("x-request-id") or "")
            assert {name for name, _ in answer.headers} & set(_SPOOFED) <= {
                "x-request-id", "request-id", "x-portico-provider", "x-portico-model",
                "x-portico-attempts", "x-portico-losses", "x-portico-upstream-request-id",
            }  # fmt: skip
    for line in case.lines:
        assert line["peer"] == "127.0.0.1"
        assert line["caller"] == {"team": "abuse"}


@profiles
async def test_c13_trailers_are_no_controls(stage: Stage, full: bool) -> None:
    """A field that comes behind the body says nothing: it was decided without it."""
    data = json.dumps(body(SPLICE[0], "", "", False, {})).encode()
    chunks = b"%x\r\n%b\r\n0\r\n" % (len(data), data)
    async with stage.case("C13 trailers", full=full) as case:
        for line in (b"x-portico-only: nobody", b"x-portico-models: canary", b"x-portico-user: u",
                     b"x-portico-tags: t", b"x-portico-timeout: 1", b"anthropic-beta: b",
                     b"traceparent: 00-1-1-01", b"x-forwarded-for: 1.2.3.4"):  # fmt: skip
            case.expect(1)
            raw = request(TE, body=chunks + line + b"\r\n\r\n")
            found = await exchange(stage.gateway.port, raw, most=1)
            assert found.statuses == [200], line
    assert not [line for line in case.lines if "user" in line or "tags" in line]


@profiles
async def test_c13_what_the_operator_sets_a_client_cannot_say(stage: Stage, full: bool) -> None:
    rules = {
        "requestHeaders": {
            "set": {"x-tenant": "house", "anthropic-beta": "set-by-us"},
            "add": {"traceparent": "added"}, "remove": ["idempotency-key", "openai-beta"],
        },
        "responseHeaders": {
            "set": {"x-served-by": "the house"}, "remove": ["retry-after", "x-should-retry"],
        },
    }  # fmt: skip
    models = [served(f"ruled-{d}", stage.provider.url, d, **rules) for d in PATHS]
    said = (
        "x-tenant: evil", "X-TENANT: evil two", "anthropic-beta: evil", "x-served-by: evil",
        "idempotency-key: evil", "openai-beta: evil", "connection: x-tenant, anthropic-beta",
    )  # fmt: skip
    async with stage.configured(models), stage.case("C13 rules", full=full) as case:
        for lane in LANES:
            start = len(stage.provider.requests)
            answer = await _asked(case, lane.to("ruled"), *said)
            assert answer.status == 200
            assert answer.header("x-served-by") == "the house"
            (seen,) = stage.provider.requests[start:]
            assert seen.head["x-tenant"] == "house"
            assert seen.head["anthropic-beta"] == "set-by-us"
            assert b"evil" not in seen.raw, lane


# -- the admin listener ---------------------------------------------------------------------------

_STRANGE_HOSTS = (
    "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "127.0.0.1.nip.io",
    "evil@localhost", "localhost@evil", "localhost:80:80", "localhost, evil", "localhost evil",
    "localhost/..", "localhost#evil", "localhost?", "localhost\\@evil", "[::1].evil", "::1",
    "[::ffff:7f00:1]", "127.1", "127.0.0.2", "0.0.0.0", "2130706433", "0x7f.1", "localhost.",
    "localhost%00.evil", "localhost\x00.evil", "xn--lcalhost-5ya", "", " ", ":80", "localhost:",
    "localhost:+80", "localhost:\u00b2", "LOCALHOST.evil", "l\u00f6calhost",
)  # fmt: skip
_PAGES = ("/", "/config_dump", "/metrics", "/api/targets", "/api/requests", "/healthz/live")


async def _at_admin(port: int, raw: bytes) -> tuple[int, RawResponse | None]:
    found = await exchange(port, raw, most=1, quiet=2.0)
    return (found.statuses[0], found.answers[0]) if found.answers else (0, None)


@profiles
async def test_c7_a_rebound_name_sees_nothing_of_the_admin_listener(
    stage: Stage, full: bool
) -> None:
    port = stage.gateway.admin
    asked: list[tuple[int, bytes]] = []
    for page in _PAGES if full else _PAGES[1:4]:
        hosts = [b"host: " + name.encode() for name in _STRANGE_HOSTS]
        hosts += [b"host: localhost\r\nhost: evil", b"host: evil\r\nhost: localhost"]
        asked += [(0, b"GET %b HTTP/1.1\r\n%b\r\n\r\n" % (page.encode(), h)) for h in hosts]
        asked.append((0, b"GET http://evil%b HTTP/1.1\r\nhost: evil\r\n\r\n" % page.encode()))
        asked.append((200, b"GET %b HTTP/1.1\r\nhost: localhost:99\r\n\r\n" % page.encode()))
    async with stage.case("C7 rebinding", full=full, spare=5 << 20) as case:

        async def one(number: int) -> str:
            wanted, raw = asked[number]
            status, answer = await _at_admin(port, raw)
            if wanted == 200:
                wrong = status != 200
            else:  # refused by the guard, or not even HTTP, or closed
                wrong = status not in (0, 400, 403)
            for name, value in answer.headers if answer is not None else ():
                wrong = wrong or name.startswith("access-control") or "evil" in value
            return f"{raw!r}: {status}" if wrong else ""

        wrong = [each for each in await crowd(len(asked), one, 8) if each]
        assert not wrong, "\n".join(wrong)
        assert case.gateway.process.returncode is None


@profiles
async def test_c9_d12_ids_and_paths_of_admin_pages_are_looked_up_and_nothing_else(
    stage: Stage, full: bool
) -> None:
    ids = (
        "..", ".", "%2e%2e", "..%2f..%2fconfig_dump", "req_1%00", "req_1%0d%0ax: y", "%", "%zz",
        "%ff%fe", "'%20OR%20'1'='1", "{{7*191}}", "${7*191}", "<script>alert(1)</script>",
        "%3Cscript%3E", "a" * 4000, "*", "%25", "req_1/attempts", "//", "\\..\\..", "req_1;a=b",
        "..;/config_dump", "__class__", "0", "-1", "%e2%80%ae", "None", "null", "[]",
    )  # fmt: skip
    queries = (
        "limit=0", "limit=-1", "limit=1001", "limit=1e3", "limit=%00", "limit=\u0661", "limit=",
        "status='", "status=9xx", "status=2%20OR%201", "model=" + "a" * 4000, "provider[]=a",
        "verdict=ok&verdict=denied&x=y", "__proto__=1", "limit=10&limit=0", "%00=1", "unknown=1",
    )  # fmt: skip
    port = stage.gateway.admin
    raws = [f"GET /api/requests/{each} HTTP/1.1" for each in ids]
    raws += [f"GET /api/requests?{each} HTTP/1.1" for each in queries]
    raws += [f"GET /api/targets/{each} HTTP/1.1" for each in ids[:6]]
    raws += [f"{method} {page} HTTP/1.1" for method in ("POST", "PUT", "DELETE", "PATCH", "TRACE")
             for page in _PAGES]  # fmt: skip
    async with stage.case("C9 admin paths", full=full, spare=5 << 20) as case:

        async def one(number: int) -> str:
            raw = f"{raws[number]}\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n".encode()
            status, answer = await _at_admin(port, raw)
            if answer is None:
                return "" if status == 0 else raws[number]
            kind = answer.header("content-type") or ""
            good = status == 200 and raws[number].startswith("GET /api/requests?")
            bad = not good and status not in (400, 404, 405)
            bad = bad or (status == 200 and "application/json" not in kind)
            bad = bad or b"1337" in answer.body or b"Traceback" in answer.body
            bad = bad or "html" in kind or answer.header("x") is not None
            return f"{raws[number][:200]}: {status} {kind} {answer.body[:200]!r}" if bad else ""

        wrong = [each for each in await crowd(len(raws), one, 8) if each]
        assert not wrong, "\n".join(wrong)
        known = await case.ask(SPLICE[0])
        id = known.answer.header("x-request-id") or ""
        async with asyncio.timeout(5):
            while (await case.gateway.page(f"/api/requests/{id}")).status != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        for trick in (f"./{id}", f"x/../{id}", f"{id}/", f"{id}%00", id.upper(), f" {id}"):
            status, _ = await _at_admin(
                port, f"GET /api/requests/{trick} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
            )
            assert status in (0, 400, 404), trick


@profiles
async def test_c12_a_key_in_several_places_is_one_key_or_none(stage: Stage, full: bool) -> None:
    """Nobody can make one reader check one key and another count another."""
    good, other = AUTH, b"Authorization: Bearer other"
    variants = {
        "two authorizations": (b"%b\r\n%b" % (good, other), 400),
        "joined": (AUTH + b", Bearer other", 401),
        "lower-case scheme": (AUTH.replace(b"Bearer", b"bearer"), 200),
        "basic": (AUTH.replace(b"Bearer", b"Basic"), 401),
        "no scheme": (AUTH.replace(b"Bearer ", b""), 401),
        "quoted": (b'Authorization: Bearer "%b"' % CALLER_KEY.encode(), 401),
        "wrong bearer, right x-api-key": (
            b"%b\r\nx-api-key: %b" % (other, CALLER_KEY.encode()), 401),
        "right bearer, wrong x-api-key": (b"%b\r\nx-api-key: other" % good, 200),
        "in a cookie": (b"Cookie: authorization=%b" % CALLER_KEY.encode(), 401),
        "proxy-authorization": (b"Proxy-" + AUTH, 401),
        "with an underscore": (b"x_api_key: %b" % CALLER_KEY.encode(), 401),
        "upper case": (AUTH.replace(CALLER_KEY.encode(), CALLER_KEY.upper().encode()), 401),
        "prefix of it": (AUTH[:-1], 401),
        "and more": (AUTH + b"x", 401),
        "5 KiB": (b"Authorization: Bearer " + b"k" * 5000, 401),
        "bytes": (b"Authorization: Bearer \xff\xfe\x80", 401),
    }  # fmt: skip
    served_too = [served(MODEL, stage.provider.url, "chat")]
    async with stage.configured(served_too), stage.case("C12 keys", full=full) as case:
        for name, (line, status) in variants.items():
            case.expect(1)
            raw = request(LENGTH, body=BODY).replace(AUTH, line)
            found = await exchange(stage.gateway.port, raw, most=1)
            assert found.statuses == [status], name
        # A key that was accepted on a connection is not remembered for the next request on it.
        case.expect(2)
        raw = KEYED + KEYED.replace(AUTH, other)
        assert (await exchange(stage.gateway.port, raw, most=2)).statuses == [200, 401]
