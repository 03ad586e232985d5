"""What can be read in two ways is refused, closed, and never reaches a provider (C1-C13)."""

import asyncio
import json

import pytest
from tests.faults.conftest import ANSWER, BOTH_LOOPS, WELL, Play, Serve
from tests.faults.vectors import (
    AUTH,
    BODY,
    CHUNKED,
    JSON,
    LENGTH,
    PATH,
    TE,
    VECTORS,
    Vector,
    post,
)
from tests.support.gateway import CALLER_KEY, OPERATOR_KEY, Gateway
from tests.support.raw import RawClient, RawResponse
from tests.support.upstream import ScriptedUpstream


def test_there_are_enough_vectors_and_no_two_are_the_same() -> None:
    assert len(VECTORS) >= 150
    assert len({vector.raw for vector in VECTORS}) == len(VECTORS)
    assert len({str(vector) for vector in VECTORS}) == len(VECTORS)


@pytest.mark.parametrize("feed", ["whole", "bytes"])
@pytest.mark.parametrize("vector", VECTORS, ids=str)
async def test_an_ambiguous_request_is_refused_and_never_forwarded(
    vector: Vector, feed: str, play: Play, serve: Serve
) -> None:
    await _refused(vector, feed, await play(default=WELL), serve)


_SAMPLE = VECTORS[::9]


@pytest.mark.asyncio(loop_factories=["asyncio"])
@pytest.mark.parametrize("feed", ["whole", "bytes"])
@pytest.mark.parametrize("vector", _SAMPLE, ids=str)
async def test_the_same_holds_on_the_plain_asyncio_loop(
    vector: Vector, feed: str, play: Play, serve: Serve
) -> None:
    assert isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop)
    await _refused(vector, feed, await play(default=WELL), serve)


async def _refused(vector: Vector, feed: str, upstream: ScriptedUpstream, serve: Serve) -> None:
    gateway = await serve(upstream)
    async with await RawClient.connect(gateway.port) as client:
        try:
            slice_size = max(1, len(vector.raw) // 600) if feed == "bytes" else None
            await client.send(vector.raw, size=slice_size)
        except ConnectionError:
            pass  # refused and closed before everything was said
        answer = await client.response()
        rest = await client.read(1 << 16)
    assert answer.status in vector.statuses, (answer.status, answer.body)
    assert answer.header("connection") == "close"
    assert answer.header("content-type") == "application/json"
    assert answer.json()["error"]["message"]
    assert rest == b"", "nothing follows a refusal"
    assert upstream.requests == []
    await _works(gateway)
    assert len(upstream.requests) == 1


async def _works(gateway: Gateway) -> None:
    async with await RawClient.connect(gateway.port) as client:
        await client.send(post(LENGTH, body=BODY))
        assert (await client.response()).json() == ANSWER


async def _served(gateway: Gateway, raw: bytes, feed: str) -> RawResponse:
    async with await RawClient.connect(gateway.port) as client:
        await client.send(raw, size=1 if feed == "bytes" else None)
        return await client.response()


_GET = b"GET /v1/models HTTP/1.1\r\nHost: test\r\n" + AUTH + b"\r\n\r\n"
_UP = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIA"

LEGAL = {
    "plain": post(LENGTH, body=BODY),
    "chunked": post(TE, body=CHUNKED),
    "chunked in single bytes": post(
        TE, body=b"".join(b"1\r\n%c\r\n" % byte for byte in BODY) + b"0\r\n\r\n"
    ),
    "chunk sizes with leading zeros": post(TE, body=b"0000" + CHUNKED),
    "chunk sizes in upper case": post(TE, body=b"A\r\n" + BODY[:10] + b"\r\n2F\r\n" + BODY[10:]
                                      + b"\r\n0\r\n\r\n"),
    "chunk extension": post(TE, body=CHUNKED.replace(b"\r\n", b";a=b;c=\"d\"\r\n", 1)),
    "harmless trailers": post(TE, body=CHUNKED[:-2] + b"X-Checksum: 1\r\nX-B: 2\r\n\r\n"),
    "leading line ends": b"\r\n\r\n" + post(LENGTH, body=BODY),
    "upper case names": post(b"CONTENT-LENGTH: 57", body=BODY),
    "lower case names": post(b"content-length: 57", body=BODY),
    "no space after the colon": post(b"Content-Length:57", body=BODY),
    "spaces before the value": post(b"Content-Length:   57", body=BODY),
    "tab before the value": post(b"Content-Length:\t57", body=BODY),
    "leading zero": post(b"Content-Length: 057", body=BODY),
    "tab before the coding": post(b"Transfer-Encoding:\tchunked", body=CHUNKED),
    "bytes above 127 in a value": post(b"X-Name: J\xfcrgen \xe2\x82\xac", LENGTH, body=BODY),
    "tab inside a value": post(b"X-Name: a\tb", LENGTH, body=BODY),
    "empty value": post(b"X-Name:", LENGTH, body=BODY),
    "odd but legal name": post(b"X!#$%&'*+.^_`|~9: a", LENGTH, body=BODY),
    "repeated list field": post(b"Accept: a", b"Accept: b", LENGTH, body=BODY),
    "absolute form, same host": post(LENGTH, target=b"http://test" + PATH, body=BODY),
    "absolute form, upper case scheme": post(LENGTH, target=b"HTTP://test" + PATH, body=BODY),
    "query": post(LENGTH, target=PATH + b"?api-version=1&x=%2e%2e//", body=BODY),
    "host with port": post(LENGTH, host=b"Host: test:8080", body=BODY),
    "host as IPv6": post(LENGTH, host=b"Host: [::1]:8080", body=BODY),
    "host as IPv4": post(LENGTH, host=b"Host: 127.0.0.1", body=BODY),
    "HTTP/1.0": post(LENGTH, version=b"HTTP/1.0", body=BODY),
    "HTTP/1.0 without host": post(LENGTH, version=b"HTTP/1.0", host=None, body=BODY),
    "HTTP/1.0 keep-alive": post(
        LENGTH, b"Connection: keep-alive", version=b"HTTP/1.0", body=BODY
    ),
    "connection: close": post(b"Connection: close", LENGTH, body=BODY),
    "unknown expectation": post(b"Expect: something", LENGTH, body=BODY),
    "offer of HTTP/2": post(_UP, LENGTH, body=BODY),
    "offer of a WebSocket": post(
        b"Connection: upgrade", b"Upgrade: websocket", LENGTH, body=BODY
    ),
    "json called text": post(LENGTH, body=BODY).replace(JSON, b"Content-Type: text/plain"),
}  # fmt: skip


@pytest.mark.asyncio(loop_factories=BOTH_LOOPS)
@pytest.mark.parametrize("feed", ["whole", "bytes"])
@pytest.mark.parametrize("name", LEGAL)
async def test_an_odd_but_legal_request_is_served(
    name: str, feed: str, play: Play, serve: Serve
) -> None:
    upstream = await play(default=WELL)
    gateway = await serve(upstream)
    answer = await _served(gateway, LEGAL[name], feed)
    assert (answer.status, answer.json(), answer.ended) == (200, ANSWER, True)
    assert [request.body for request in upstream.requests] == [BODY]


@pytest.mark.parametrize("name", LEGAL)
async def test_the_same_request_works_again_on_one_connection(
    name: str, play: Play, serve: Serve
) -> None:
    upstream = await play(default=WELL)
    gateway = await serve(upstream)
    async with await RawClient.connect(gateway.port) as client:
        await client.send(LEGAL[name])
        first = await client.response()
        ends = first.header("connection") == "close"
        assert ends == (name.startswith("connection: close") or (
            name.startswith("HTTP/1.0") and "keep" not in name
        ))  # fmt: skip
        if ends:
            assert await client.read(1) == b""
            return
        await client.send(LEGAL[name])
        assert (await client.response()).json() == ANSWER
    assert len(upstream.requests) == 2


async def test_an_expected_continue_is_sent_before_the_body(play: Play, serve: Serve) -> None:
    gateway = await serve(await play(default=WELL))
    async with await RawClient.connect(gateway.port) as client:
        await client.send(post(b"Expect: 100-Continue", LENGTH))
        assert await client.read(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(BODY)
        answer = await client.response()
    assert (answer.status, answer.interim, answer.json()) == (200, [], ANSWER)


async def test_http_1_0_gets_no_interim_answer_and_no_chunks(play: Play, serve: Serve) -> None:
    gateway = await serve(await play(default=WELL))
    async with await RawClient.connect(gateway.port) as client:
        await client.send(post(b"Expect: 100-continue", LENGTH, version=b"HTTP/1.0", body=BODY))
        answer = await client.response()
        assert (answer.status, answer.interim, answer.framing) == (200, [], "length")
        assert await client.read(1) == b""


@pytest.mark.parametrize("target", ["/v1/models", "/v1/chat/completions", "/nowhere"])
async def test_an_answer_to_head_has_no_body(target: str, play: Play, serve: Serve) -> None:
    gateway = await serve(await play(default=WELL))
    async with await RawClient.connect(gateway.port) as client:
        await client.request("HEAD", target, headers={"authorization": f"Bearer {CALLER_KEY}"})
        answer = await client.response(head_only=True)
        assert answer.status in (404, 405)
        assert int(answer.header("content-length") or 0) > 0
        assert await client.read(1 << 16) == b""


async def test_a_websocket_where_there_is_none_is_told_to_use_http(
    play: Play, serve: Serve
) -> None:
    gateway = await serve(await play(default=WELL))
    async with await RawClient.connect(gateway.port) as client:
        await client.request(
            "GET",
            "/v1/chat/completions",
            headers={
                "authorization": f"Bearer {CALLER_KEY}",
                "connection": "Upgrade",
                "upgrade": "websocket",
                "sec-websocket-version": "13",
                "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
            },
        )
        answer = await client.response()
    assert (answer.status, answer.json()["error"]["code"]) == (426, "upgrade_required")


async def test_an_upgrade_is_declined_without_losing_what_follows(play: Play, serve: Serve) -> None:
    upstream = await play(default=WELL)
    gateway = await serve(upstream)
    async with await RawClient.connect(gateway.port) as client:
        await client.send(post(_UP, TE, body=CHUNKED) + post(LENGTH, body=BODY))
        assert (await client.response()).json() == ANSWER
        assert (await client.response()).json() == ANSWER
    assert [request.body for request in upstream.requests] == [BODY, BODY]
    assert not {"upgrade", "http2-settings"} & set(upstream.requests[0].head)


async def test_an_upgrade_hides_no_ambiguity(play: Play, serve: Serve) -> None:
    upstream = await play(default=WELL)
    gateway = await serve(upstream)
    for bad in (post(_UP, LENGTH, TE, body=CHUNKED), post(_UP, TE, body=b"-1\r\n")):
        answer = await _served(gateway, bad, "whole")
        assert (answer.status, answer.header("connection")) == (400, "close")
    assert upstream.requests == []


@pytest.mark.parametrize("path", [v.raw for v in VECTORS if v.group == "C9"])
async def test_an_odd_path_without_a_key_is_refused_like_any_other(
    path: bytes, play: Play, serve: Serve
) -> None:
    gateway = await serve(await play(default=WELL))
    answer = await _served(gateway, path.replace(AUTH + b"\r\n", b""), "whole")
    assert answer.status == 401


async def test_connection_options_can_neither_remove_our_auth_nor_leak_the_key(
    play: Play, serve: Serve
) -> None:
    upstream = await play(default=WELL)
    gateway = await serve(upstream)
    named = b"Connection: authorization, x-api-key, host, content-length, keep-alive"
    answer = await _served(gateway, post(named, LENGTH, body=BODY), "whole")
    assert answer.status == 200
    anonymous = post(named, LENGTH, body=BODY).replace(AUTH + b"\r\n", b"")
    assert (await _served(gateway, anonymous, "whole")).status == 401
    (seen,) = upstream.requests
    assert seen.head["authorization"] == f"Bearer {OPERATOR_KEY}"
    assert CALLER_KEY.encode() not in seen.raw


async def test_a_client_cannot_speak_for_the_gateway_or_a_proxy(play: Play, serve: Serve) -> None:
    upstream = await play(default=WELL)
    gateway = await serve(upstream)
    spoofed = {
        b"X-Portico-Caller": b"admin",
        b"X-Portico-Upstream-Request-Id": b"1",
        b"X-Forwarded-For": b"127.0.0.1",
        b"X-Forwarded-Host": b"admin",
        b"X-Real-Ip": b"127.0.0.1",
        b"Forwarded": b"for=127.0.0.1",
        b"X-Original-Url": b"/admin",
        b"X-Http-Method-Override": b"DELETE",
        b"Openai-Organization": b"org-other",
        b"Cookie": b"session=1",
        b"Proxy-Authorization": b"Basic x",
        b"Via": b"1.1 other",
    }
    lines = [b"%b: %b" % pair for pair in spoofed.items()]
    answer = await _served(gateway, post(*lines, LENGTH, body=BODY), "whole")
    assert answer.status == 200
    (seen,) = upstream.requests
    assert not {name.decode().lower() for name in spoofed} & set(seen.head)
    ours = {name: value for name, value in answer.headers if name.startswith("x-portico")}
    assert ours.keys() == {"x-portico-provider", "x-portico-model", "x-portico-attempts"}
    assert ours["x-portico-attempts"] == "1"


async def test_a_refused_request_says_so_in_the_dialect_of_its_path(
    play: Play, serve: Serve
) -> None:
    gateway = await serve(await play(default=WELL))
    raw = post(b"X-A: 1", TE, target=b"/v1/messages", body=b"zz\r\n")
    answer = await _served(gateway, raw, "whole")
    assert (answer.status, json.loads(answer.body)["type"]) == (400, "error")
