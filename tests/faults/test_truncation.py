"""Promise 1: a cut stream never looks finished; and no broken answer spoils the next (A1-A18)."""

import asyncio
import json
import time

import pytest
from tests.faults.conftest import (
    DIALECTS,
    KEY,
    SHORT,
    Launch,
    Play,
    Serve,
    answer_of,
    quiet,
    settled,
)
from tests.faults.streams import CLOSING, OPENING, TERMINAL, WHOLE
from tests.support.asks import PATHS, ask
from tests.support.gateway import OPERATOR_KEY, Gateway, caller, model, provider, route, settings
from tests.support.raw import RawClient, RawResponse
from tests.support.steps import Step, chunk, frame
from tests.support.toxics import TcpProxy, Toxics
from tests.support.upstream import (
    Script,
    ScriptedUpstream,
    expect,
    fin,
    hang,
    http_head,
    http_json,
    rst,
    send,
    sleep,
    sse,
)

_SSE = {"content-type": "text/event-stream", "transfer-encoding": "chunked"}
_JSON = {"content-type": "application/json"}
MIB = 1 << 20


async def _next_twenty_are_right(gateway: Gateway, upstream: ScriptedUpstream) -> None:
    """Whatever happened before, later answers are whole and their own."""
    for number in range(20):
        body = {**WHOLE["chat"], "id": f"next-{number}"}
        upstream.add([expect(), send(http_json(200, body))])
        answer = await answer_of(gateway)
        assert (answer.status, answer.json()) == (200, body)


def _is_cut(answer: RawResponse, dialect: str) -> None:
    """The stream began well, says that it failed, and cannot be taken for a whole one."""
    assert answer.status == 200
    assert (answer.framing, answer.ended) == ("chunked", False), "no last chunk"
    assert answer.body.startswith(OPENING[dialect][0])
    assert not [mark for mark in TERMINAL[dialect] if mark in answer.body], answer.body
    frames = [json.loads(line) for line in answer.data_lines()]
    last = frames[-1]
    if dialect == "responses":
        assert [each["type"] for each in frames[-2:]] == ["error", "response.failed"]
        assert last["response"]["status"] == "failed"
        numbers = [each["sequence_number"] for each in frames]
        assert numbers == list(range(len(frames))), numbers
    elif dialect == "messages":
        assert (last["type"], last["error"]["type"]) in (
            ("error", "api_error"),
            ("error", "timeout_error"),
        )
    else:
        assert last["error"]["message"]


# -- streams that are cut -------------------------------------------------------------------------


def _cuts(dialect: str) -> dict[str, list[Step | Script]]:
    opening = OPENING[dialect]
    partial = opening[1][: len(opening[1]) // 2]
    good = sse(opening, end=False)
    return {
        "FIN between frames": [good, fin()],
        "FIN inside a frame": [sse([*opening, partial], end=False), fin()],
        "FIN inside a chunk": [good, send(b"ff\r\n" + partial), fin()],
        "FIN inside a chunk size": [good, send(b"f"), fin()],
        "FIN after the last chunk's size": [good, send(b"0\r\n"), fin()],
        "ended well, as far as HTTP goes": [sse(opening)],
        "ended well inside a frame": [sse([*opening, partial])],
        "closed without chunks": [sse(opening, chunked=False), fin()],
        "RST between frames": [good, sleep(0.1), rst()],
        "RST inside a frame": [sse([*opening, partial], end=False), sleep(0.1), rst()],
        "silence": [good, hang()],
        "silence inside a frame": [sse([*opening, partial], end=False), hang()],
        "not HTTP any more": [good, sleep(0.1), send(b"zz\r\nwhat is this")],
        "chunk size overflow": [good, sleep(0.1), send(b"f" * 17 + b"\r\n")],
        "length longer than body": [
            send(http_head(200, {"content-type": "text/event-stream", "content-length": "99999"})),
            send(b"".join(opening)),
            fin(),
        ],
        "a second answer instead of the rest": [
            good,
            sleep(0.1),
            send(http_json(200, {"id": "smuggled"})),
        ],
        "a frame that is too long": [good, send(chunk(b"data: " + b"x" * 300_000)), hang()],
        "many comments, then nothing": [good, send(chunk(b": ping\n\n" * 100)), fin()],
    }


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("cut", _cuts("chat"))
async def test_a_cut_stream_never_looks_finished(
    cut: str, dialect: str, play: Play, serve: Serve
) -> None:
    upstream = await play([expect(), *_cuts(dialect)[cut]])
    gateway = await serve(upstream, sse_frame_bytes=200_000)
    _is_cut(await answer_of(gateway, dialect, stream=True), dialect)
    outcome = await gateway.last()
    assert (outcome.verdict, outcome.status) == ("truncated", 200)
    assert outcome.error_code in (
        "upstream_truncated",
        "upstream_timeout",
        "upstream_protocol_error",
        "upstream_error",
    )
    assert len(gateway.outcomes) == 1
    assert gateway.sample("portico_stream_truncated_total") == 1
    await settled(lambda: quiet(gateway))


@pytest.mark.asyncio(loop_factories=["asyncio"])
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("cut", ["FIN between frames", "RST inside a frame", "silence"])
async def test_the_same_holds_on_the_plain_asyncio_loop(
    cut: str, dialect: str, play: Play, serve: Serve
) -> None:
    upstream = await play([expect(), *_cuts(dialect)[cut]])
    gateway = await serve(upstream)
    _is_cut(await answer_of(gateway, dialect, stream=True), dialect)
    assert (await gateway.last()).verdict == "truncated"


async def test_a_cut_stream_closes_an_http_1_0_connection_with_its_error(
    play: Play, serve: Serve
) -> None:
    gateway = await serve(await play([expect(), *_cuts("chat")["FIN between frames"]]))
    body = json.dumps(ask("chat", stream=True)).encode()
    async with await RawClient.connect(gateway.port) as client:
        await client.send(
            b"POST /v1/chat/completions HTTP/1.0\r\nauthorization: %b\r\ncontent-length: %d\r\n\r\n"
            % (KEY["authorization"].encode(), len(body))
            + body
        )
        answer = await client.response()
    assert answer.framing == "close"
    assert b'"error"' in answer.body
    assert b"[DONE]" not in answer.body


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("end", ["fin", "rst", "silence"])
async def test_a_stream_cut_after_its_terminal_event_is_whole(
    end: str, dialect: str, play: Play, serve: Serve
) -> None:
    """The client has everything: only the goodbye is missing."""
    frames = [*OPENING[dialect], *CLOSING[dialect]]
    if dialect == "chat":
        frames = frames[:-1]  # finish_reason was seen, [DONE] was not
    last = {"fin": fin(), "rst": rst(), "silence": hang()}[end]
    upstream = await play([expect(), sse(frames, end=False), sleep(0.1), last])
    gateway = await serve(upstream)
    answer = await answer_of(gateway, dialect, stream=True)
    assert (answer.status, answer.ended) == (200, True)
    assert answer.body == b"".join(frames)
    assert (await gateway.last()).verdict == "ok"


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_an_error_the_provider_streams_is_passed_on_once(
    dialect: str, play: Play, serve: Serve
) -> None:
    error = {
        "chat": frame(json.dumps({"error": {"message": "overloaded"}})),
        "responses": frame({"type": "error", "sequence_number": 2, "message": "overloaded"}),
        "messages": frame({"type": "error", "error": {"type": "overloaded_error"}}),
    }[dialect]
    frames = [*OPENING[dialect], error]
    upstream = await play([expect(), sse(frames, end=False), fin()])
    answer = await answer_of(await serve(upstream), dialect, stream=True)
    assert answer.body == b"".join(frames), "not another error behind it"


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("size", [1, 7])
async def test_the_slices_a_stream_comes_in_do_not_matter(
    size: int, dialect: str, play: Play, serve: Serve
) -> None:
    text = frame(": comment € 🙂\r\n\r\n".encode()) + b"".join(OPENING[dialect][1:] * 40)
    whole = OPENING[dialect][0] + text + b"".join(CLOSING[dialect])
    upstream = await play(default=[expect(), sse([whole])])
    async with await TcpProxy.start(upstream.port, down=Toxics(slicer=size)) as proxy:
        gateway = await serve(f"http://127.0.0.1:{proxy.port}", idle=5.0)
        answer = await answer_of(gateway, dialect, stream=True, within=30.0)
    assert (answer.body, answer.ended) == (whole, True)
    assert (await gateway.last()).verdict == "ok"


# -- before the first byte ------------------------------------------------------------------------

_BEFORE: dict[str, tuple[Script, int, str]] = {
    "FIN before the head": ([expect(), fin()], 502, "upstream_truncated"),
    "RST before the head": ([expect(), rst()], 502, "upstream_truncated"),
    "RST while we send": ([expect(body=False), rst()], 502, "upstream_truncated"),
    "FIN inside the head": (
        [expect(), send(b"HTTP/1.1 200 OK\r\ncontent-ty"), fin()], 502, "upstream_truncated"),
    "FIN after the head": (
        [expect(), send(http_head(200, _SSE)), fin()], 502, "upstream_truncated"),
    "RST after the head": (
        [expect(), send(http_head(200, _SSE)), sleep(0.1), rst()], 502, "upstream_truncated"),
    "first frame unfinished": (
        [expect(), sse([b"data: {"], end=False), fin()], 502, "upstream_truncated"),
    "an empty stream": ([expect(), sse([])], 502, "upstream_truncated"),
    "blackhole": ([expect(), hang()], 504, "upstream_timeout"),
    "blackhole after the head": (
        [expect(), send(http_head(200, _SSE)), hang()], 504, "upstream_timeout"),
    "blackhole inside the head": (
        [expect(), send(b"HTTP/1.1 200 OK\r\n"), hang()], 504, "upstream_timeout"),
    "not HTTP": ([expect(), send(b"SSH-2.0-OpenSSH_9.9\r\n"), hang()], 502,
                 "upstream_protocol_error"),
    "HTTP/2": ([expect(), send(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00")], 502,
               "upstream_protocol_error"),
    "a bad status line": ([expect(), send(b"HTTP/1.1 abc\r\n\r\n")], 502,
                          "upstream_protocol_error"),
    "bare line feeds": ([expect(), send(b"HTTP/1.1 200 OK\ncontent-length: 2\n\n{}")], 502,
                        "upstream_protocol_error"),
    "a control character in a header": (
        [expect(), send(b"HTTP/1.1 200 OK\r\nx-a: a\x00b\r\ncontent-length: 2\r\n\r\n{}")], 502,
        "upstream_protocol_error"),
    "two lengths": (
        [expect(), send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{} ")],
        502, "upstream_protocol_error"),
    "length and chunks": (
        [expect(), send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n"
                        b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")],
        502, "upstream_protocol_error"),
    "an unknown transfer coding": (
        [expect(), send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nxxxx"), fin()],
        502, "upstream_truncated"),
    "a switch of protocols": (
        [expect(), send(b"HTTP/1.1 101 Switching\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n")],
        502, "upstream_protocol_error"),
    "a head of 200 large fields": (
        [expect(), send(b"HTTP/1.1 200 OK\r\n" + b"".join(
            b"x-%d: %b\r\n" % (n, b"a" * 8192) for n in range(200)) + b"\r\n")],
        502, "upstream_protocol_error"),
    "a head that never ends": (
        [expect(), send(b"HTTP/1.1 200 OK\r\nx: " + b"a" * MIB, size=4096), hang()],
        502, "upstream_protocol_error"),
    "one field ten thousand times": (
        [expect(), send(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 60_000 + b"\r\n")],
        502, "upstream_protocol_error"),
    "endless interim answers": (
        [expect(), send(b"HTTP/1.1 102 Processing\r\n\r\n" * 10_000), hang()],
        502, "upstream_protocol_error"),
    "an unasked compression": (
        [expect(), send(http_head(200, {**_JSON, "content-encoding": "gzip",
                                        "content-length": "4"}) + b"\x1f\x8b\x08\x00")],
        502, "upstream_protocol_error"),
    "an unasked compression of a stream": (
        [expect(), send(http_head(200, {**_SSE, "content-encoding": "br"})), hang()],
        502, "upstream_protocol_error"),
    "a redirect": (
        [expect(), send(http_head(302, {"location": "http://169.254.169.254/",
                                        "content-length": "0"}))],
        502, "upstream_protocol_error"),
    "no content": ([expect(), send(http_head(204, {}))], 502, "upstream_protocol_error"),
    "a web page": (
        [expect(), send(http_head(200, {"content-type": "text/html", "content-length": "13"})
                        + b"<html></html>")],
        502, "upstream_protocol_error"),
}  # fmt: skip


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("fault", _BEFORE)
async def test_a_fault_before_the_first_byte_is_a_plain_error_and_spoils_nothing(
    fault: str, stream: bool, play: Play, serve: Serve
) -> None:
    script, status, code = _BEFORE[fault]
    upstream = await play(script)
    gateway = await serve(upstream)
    answer = await answer_of(gateway, stream=stream)
    assert (answer.status, answer.ended) == (status, True)
    assert answer.json()["error"]["code"] == code
    assert OPERATOR_KEY.encode() not in answer.head + answer.body
    assert b"127.0.0.1" not in answer.body
    outcome = await gateway.last()
    assert (outcome.verdict, outcome.status, outcome.error_code) == ("upstream_error", status, code)
    await _next_twenty_are_right(gateway, upstream)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_provider_that_is_not_there_is_502(dialect: str, play: Play, serve: Serve) -> None:
    upstream = await play()
    await upstream.stop()
    gateway = await serve(upstream)
    answer = await answer_of(gateway, dialect)
    assert (answer.status, answer.header("x-should-retry")) == (502, "false")
    assert (await gateway.last()).error_code == "upstream_unreachable"


async def test_a_silent_provider_is_given_up_at_the_first_byte_deadline(
    play: Play, serve: Serve
) -> None:
    gateway = await serve(await play(default=[expect(), hang()]))
    start = time.perf_counter()
    assert (await answer_of(gateway)).status == 504
    assert SHORT.first_byte - 0.05 < time.perf_counter() - start < SHORT.first_byte + 1.0
    assert gateway.sample("portico_limit_hits_total", limit="firstByte") == 1


async def test_a_stalled_stream_is_given_up_at_the_idle_deadline(play: Play, serve: Serve) -> None:
    script = [expect(), sse(OPENING["chat"], end=False), hang()]
    gateway = await serve(await play(script))
    start = time.perf_counter()
    _is_cut(await answer_of(gateway, stream=True), "chat")
    assert SHORT.idle - 0.05 < time.perf_counter() - start < SHORT.idle + 1.0
    assert gateway.sample("portico_limit_hits_total", limit="idle") == 1


async def test_a_trickling_stream_is_given_up_at_the_total_deadline(
    play: Play, serve: Serve
) -> None:
    (_, step) = sse([OPENING["chat"][1]], end=False)
    slow = [[sleep(0.1), step] for _ in range(100)]
    gateway = await serve(await play([expect(), sse(OPENING["chat"], end=False), *slow]), total=1.0)
    _is_cut(await answer_of(gateway, stream=True), "chat")
    assert gateway.sample("portico_limit_hits_total", limit="total") == 1


async def test_a_silent_but_living_stream_is_kept_alive(play: Play, serve: Serve) -> None:
    frames = [*OPENING["chat"], *CLOSING["chat"]]
    upstream = await play([expect(), sse(frames[:1], end=False), sleep(0.6), sse(frames[1:])[1]])
    gateway = await serve(upstream, idle=5.0, sse_keep_alive=0.2)
    async with await RawClient.connect(gateway.port) as client:
        await client.request("POST", PATHS["chat"], ask("chat", stream=True), KEY)
        head = await asyncio.wait_for(client.head(), 5)
        assert head.status == 200
        seen = b""
        while b": keep-alive\n\n" not in seen:
            seen += await client.read(4096)


# -- whole answers that are not -------------------------------------------------------------------

_BODY = json.dumps(WHOLE["chat"]).encode()


def _sized(size: int, body: bytes = _BODY) -> bytes:
    return http_head(200, {**_JSON, "content-length": str(size)}) + body


_PARTIAL: dict[str, Script] = {
    "length longer than the body": [send(_sized(len(_BODY) + 10)), fin()],
    "length longer, reset": [send(_sized(len(_BODY) + 10)), sleep(0.1), rst()],
    "no last chunk": [
        send(http_head(200, {**_JSON, "transfer-encoding": "chunked"}) + chunk(_BODY)),
        fin(),
    ],
    "half a body until close": [send(http_head(200, _JSON) + _BODY[:40]), fin()],
}


@pytest.mark.parametrize("fault", _PARTIAL)
async def test_half_an_answer_is_an_error_and_spoils_nothing(
    fault: str, play: Play, serve: Serve
) -> None:
    upstream = await play([expect(), *_PARTIAL[fault]])
    gateway = await serve(upstream)
    answer = await answer_of(gateway)
    assert (answer.status, answer.json()["error"]["code"]) == (502, "upstream_truncated")
    await _next_twenty_are_right(gateway, upstream)


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("end", ["fin", "rst", "silence", "garbage"])
async def test_a_large_answer_that_breaks_off_visibly_breaks_off(
    end: str, framing: str, play: Play, serve: Serve
) -> None:
    """Too large to be held: the client has half of it already."""
    half = b'{"pad":"' + b"x" * 200_000
    if framing == "length":
        steps: list[Step | Script] = [send(_sized(500_000, half))]
        broken = "rst" if end == "garbage" else end  # every byte is body there
    else:
        head = http_head(200, {**_JSON, "transfer-encoding": "chunked"})
        steps = [send(head + chunk(half))]
        broken = end
    last: dict[str, list[Step | Script]] = {
        "fin": [fin()],
        "rst": [sleep(0.1), rst()],
        "silence": [hang()],
        "garbage": [send(b"zz\r\n"), hang()],
    }
    gateway = await serve(await play([expect(), *steps, *last[broken]]), response_hold_bytes=50_000)
    answer = await answer_of(gateway)
    assert (answer.status, answer.ended) == (200, False)
    assert half.startswith(answer.body)
    assert (await gateway.last()).verdict == "truncated"
    await settled(lambda: quiet(gateway))


async def test_an_answer_over_the_cap_is_refused_or_cut_off(play: Play, serve: Serve) -> None:
    body = b" " * (4 * MIB)
    chunked = http_head(200, {**_JSON, "transfer-encoding": "chunked"}) + chunk(body)
    upstream = await play([expect(), send(_sized(len(body), body))], [expect(), send(chunked)])
    gateway = await serve(upstream, response_hold_bytes=100_000, response_bytes=MIB)
    announced, found = await answer_of(gateway), await answer_of(gateway)
    assert (announced.status, announced.ended) == (502, True)
    assert (found.status, found.ended) == (200, False)
    assert len(found.body) <= MIB
    assert [each.verdict for each in gateway.outcomes] == ["upstream_error", "truncated"]
    await upstream.wait_closed(1.0)


@pytest.mark.parametrize(
    "surplus",
    [b"surplus", b" ", b"\r\n\r\n", http_json(500, {"error": {"message": "smuggled"}}),
     http_json(200, {"id": "smuggled"}), b"HTTP/1.1 100 Continue\r\n\r\n"],
    ids=["text", "space", "line ends", "error answer", "good answer", "interim"],
)  # fmt: skip
@pytest.mark.parametrize("later", [False, True], ids=["at once", "later"])
async def test_bytes_behind_an_answer_never_become_the_next_one(
    surplus: bytes, later: bool, play: Play, serve: Serve
) -> None:
    """A length shorter than the body, or two answers to one request."""
    gap: list[Step] = [sleep(0.05)] if later else []
    first = [send(_sized(len(_BODY))), *gap, send(surplus)]
    if not later:
        first = [send(_sized(len(_BODY)) + surplus)]
    upstream = await play([expect(), *first])
    gateway = await serve(upstream)
    answer = await answer_of(gateway)
    assert (answer.status, answer.body) == (200, _BODY)
    if later:
        await settled(lambda: upstream.open_now == 0 or surplus == b"\r\n\r\n")
    await _next_twenty_are_right(gateway, upstream)


@pytest.mark.parametrize(
    "unread",
    [
        http_head(200, {**_JSON, "content-encoding": "gzip", "content-length": "9"}) + b"gzip-junk",
        http_head(200, {"content-type": "text/html", "content-length": "9"}) + b"html-junk",
    ],
    ids=["compressed", "web page"],
)
async def test_an_answer_that_was_not_passed_on_never_begins_the_next_one(
    unread: bytes, play: Play, serve: Serve
) -> None:
    upstream = await play([expect(), send(unread)])
    gateway = await serve(upstream)
    assert (await answer_of(gateway)).status == 502
    await _next_twenty_are_right(gateway, upstream)


async def test_a_refused_model_list_never_begins_the_next_answer(
    play: Play, launch: Launch
) -> None:
    upstream = await play([expect(), send(http_json(404, {"error": "no such path"}))])
    served = model("*", provider(upstream.url, "openAI"))
    gateway = await launch(settings(route([served], [caller()]), deadlines=SHORT))
    async with await RawClient.connect(gateway.port) as client:
        await client.request("GET", "/v1/models", headers=KEY)
        assert (await client.response()).json()["data"] == []
    assert len(upstream.requests) == 1
    await _next_twenty_are_right(gateway, upstream)


async def test_interim_answers_are_skipped(play: Play, serve: Serve) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
    upstream = await play([expect(), send(interim), send(_sized(len(_BODY)))])
    gateway = await serve(upstream)
    answer = await answer_of(gateway)
    assert (answer.status, answer.body, answer.interim) == (200, _BODY, [])
    assert answer.header("link") is None
    await _next_twenty_are_right(gateway, upstream)
    assert upstream.opened == 1
