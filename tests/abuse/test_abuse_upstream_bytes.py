"""Answers in slices, in floods, compressed, senseless, too early (A8, A10, A11, A12, A17, A18)."""

import asyncio
import functools
import gzip
import json
import re
import time
import zlib

import pytest
from tests.abuse.harness import (
    KEY,
    LANES,
    MIB,
    SPLICE,
    TRANSLATE,
    Case,
    Heard,
    Lane,
    Named,
    Stage,
    next_twenty,
    profiles,
    served,
)
from tests.abuse.provider import Heard as Asked
from tests.abuse.speech import SSE, Speech, told
from tests.support.asks import PATHS, ask
from tests.support.raw import RawClient
from tests.support.steps import (
    LAST_CHUNK,
    Script,
    chunk,
    expect,
    fin,
    frame,
    hang,
    http_head,
    http_json,
    send,
)
from tests.support.steps import sleep as pause
from tests.support.toxics import CLEAN, Toxics

pytestmark = pytest.mark.asyncio(loop_scope="session")

_JSON = {"content-type": "application/json"}


# -- slices ---------------------------------------------------------------------------------------


def _ragged(asked: Asked, count: int) -> bytes:
    """A long stream with a byte order mark, every line end there is, comments, and characters of
    four bytes; its data split over lines where JSON allows it."""
    first, *middle, text = asked.speech.opening
    frames = [first, *middle, *[text] * count, *asked.speech.closing]
    ends = (b"\n", b"\r\n", b"\r")
    made = []
    for number, each in enumerate(frames):
        if number % 5 == 3:
            each = b": \xf0\x9f\x98\x80\n" + each
        if number % 7 == 5:
            each = each.replace(b', "', b',\ndata: "', 1)
        made.append(each.replace(b"\n", ends[number % 3]))
    return b"\xef\xbb\xbf" + b"".join(made)


@profiles
async def test_a8_the_slices_a_stream_comes_in_do_not_matter(stage: Stage, full: bool) -> None:
    count, sent = (2000 if full else 60), {}

    def ragged(asked: Asked) -> Script:
        sent[asked.dialect] = _ragged(asked, count)
        return [send(http_head(200, SSE)), send(chunk(sent[asked.dialect])), send(LAST_CHUNK)]

    stage.provider.plays["ragged"] = ragged
    stage.proxy.down = Toxics(slicer=1)
    try:
        async with stage.case("A8 slices of one byte", full=full) as case:
            for lane in LANES:
                heard = await case.ask(lane, "ragged", stream=True, parse=False)
                sliced = await case.ask(
                    lane.to("via"), "ragged", stream=True, within=300.0, parse=False
                )
                assert heard.answer.ended
                assert sliced.answer.ended
                assert _told(sliced) == _told(heard)
                assert len(_told(heard)) >= count
                if lane in SPLICE:
                    assert _plain(sliced) == _plain(heard)
                    if lane.client != "chat":  # whose last frame was asked for by the gateway
                        whole = _NUMBERS.sub(b"", sent[lane.upstream])
                        assert _plain(sliced).rstrip() == whole.rstrip()
    finally:
        stage.proxy.down = CLEAN


_NUMBERS = re.compile(rb"(?<=resp_)\d+|(?<=msg_)\d+|(?<=chatcmpl-)\d+")


def _plain(heard: Heard) -> bytes:
    """The bytes, without numbers that differ from answer to answer and without keep-alives."""
    return _NUMBERS.sub(b"", heard.answer.body.replace(b": keep-alive\n\n", b""))


def _told(heard: Heard) -> list[str]:
    """The kinds and words of the events."""
    body = heard.answer.body.replace(b"\xef\xbb\xbf", b"").replace(b"\r\n", b"\n")
    found = []
    for each in body.replace(b"\r", b"\n").split(b"\n\n"):
        data = b"".join(line[5:].strip() for line in each.split(b"\n") if line[:5] == b"data:")
        if data and data != b"[DONE]":
            event = json.loads(data)
            delta = event.get("delta") or [c["delta"] for c in event.get("choices", ())]
            found.append(f"{event.get('type')} {delta}")
    return found


# -- floods ---------------------------------------------------------------------------------------


def _flood(asked: Asked, count: int) -> Script:
    pings = b": xxxxxx\n\n" * 1000
    many = [send(chunk(pings))] * (count // 1000)
    return [*told(asked.speech.opening, end=False), many, told(asked.speech.closing)[1:]]


_LONG = chunk(b"data: " + b"x" * MIB)
_FLOODS = {
    "a frame of 5 MiB": lambda asked: [
        *told(asked.speech.opening, end=False), [send(_LONG)] * 5, hang()],
    "a head of 200 large fields": lambda asked: [send(
        b"HTTP/1.1 200 OK\r\n"
        + b"".join(b"x-%d: %b\r\n" % (n, b"a" * 8192) for n in range(200)) + b"\r\n")],
    "an error of 1 GiB": lambda asked: [
        send(http_head(500, {**_JSON, "content-length": str(1 << 30)})),
        [send(b"e" * MIB)] * 1024],
    "an endless chunked error": lambda asked: [
        send(http_head(503, {"transfer-encoding": "chunked"})), [send(_LONG)] * 1024],
}  # fmt: skip


@profiles
async def test_a10_floods_stop_at_their_limits(stage: Stage, full: bool) -> None:
    count = 200_000 if full else 20_000
    stage.provider.plays.update(_FLOODS)
    stage.provider.plays["tiny frames"] = lambda asked: _flood(asked, count)
    before = stage.gateway.rss()
    async with stage.case("A10 floods", full=full) as case:
        for lane in LANES:
            heard = await case.ask(lane, "a frame of 5 MiB", stream=True)
            assert (heard.answer.status, heard.answer.ended) == (200, False)
            assert len(heard.answer.body) < 5 * MIB
        for lane in LANES if full else LANES[2:4]:
            heard = await case.ask(lane, "tiny frames", stream=True, within=120.0)
            assert (heard.answer.status, heard.answer.ended) == (200, True)
        for lane in LANES if full else LANES[1:5]:
            answer = (await case.ask(lane, "a head of 200 large fields")).answer
            assert answer.status == 502
            answer = (await case.ask(lane, "an error of 1 GiB")).answer
            assert (answer.status, len(answer.body) < 100_000) == (500, True)
            answer = (await case.ask(lane, "an endless chunked error", stream=True)).answer
            assert (answer.status, len(answer.body) < 100_000) == (503, True)
        peak = stage.gateway.peak() - before
    print(f"A10: peak +{peak / MIB:.1f} MiB")
    assert peak <= 40 * MIB, f"{peak / MIB:.1f} MiB"


@profiles
async def test_a10_an_answer_that_says_it_is_too_large_is_refused_before_it_is_read(
    stage: Stage, full: bool
) -> None:
    head = http_head(200, {**_JSON, "content-length": str(65 * MIB)})
    stage.provider.plays["65 MiB"] = lambda asked: [send(head), [send(b" " * MIB)] * 65]
    before = stage.gateway.rss()
    async with stage.case("A10 an answer of 65 MiB", full=full) as case:
        for lane in LANES:
            assert (await case.ask(lane, "65 MiB")).answer.status == 502
        peak = stage.gateway.peak() - before
    assert peak <= 40 * MIB, f"{peak / MIB:.1f} MiB"


@profiles
async def test_a12_a_usage_beyond_reason_does_not_stop_the_counters(
    stage: Stage, full: bool
) -> None:
    """Counters are floats: above 2**53 they do not see a single token any more."""
    stage.provider.plays["huge usage"] = lambda asked: _with_usage(asked, 10**30, 10**19)
    models = [served("huge", stage.provider.url, "chat")]
    lane = Named("chat", "chat", name="huge")
    async with stage.configured(models):
        async with stage.case("A12 huge usage", full=full) as case:
            await case.ask(lane, "huge usage", stream=True, parse=False)
        async with stage.case("A12 after huge usage", full=full) as case:
            for _ in range(5):
                await case.ask(lane)
    assert case.grew("portico_tokens_total", model="huge", type="input_uncached") == 5 * 10


@functools.cache
def _bomb_of(coding: str, size: int) -> bytes:
    """Zeros that inflate a thousandfold."""
    if coding == "gzip":
        return gzip.compress(b"\0" * (size * 1000), 6)
    if coding == "deflate":
        return zlib.compress(b"\0" * (size * 1000), 6)
    return b"\x8b\xff\xff\xff\x0f" * (size // 5)  # never looked at


def _bomb(asked: Asked, coding: str, size: int) -> Script:
    data = _bomb_of(coding, size)
    kind = SSE["content-type"] if asked.stream else "application/json"
    head = {"content-type": kind, "content-encoding": coding, "content-length": str(len(data))}
    return [send(http_head(200, head)), send(data)]


@profiles
async def test_a11_a_compression_nobody_asked_for_is_never_inflated(
    stage: Stage, full: bool
) -> None:
    codings = ("gzip", "br", "zstd", "deflate", "gzip, gzip")
    size = 256 * 1024 if full else 16 * 1024
    for coding in codings:
        _bomb_of(coding, size)
        stage.provider.plays[coding] = lambda asked, coding=coding: _bomb(asked, coding, size)  # type: ignore[misc]
    first = len(stage.provider.requests)
    before = stage.gateway.rss()
    async with stage.case("A11 bombs", full=full) as case:
        asks = [
            case.ask(lane, coding, stream=stream)
            for lane in LANES for coding in codings for stream in (False, True)
        ]  # fmt: skip
        for heard in await asyncio.gather(*asks):
            assert heard.answer.status == 502, heard
        peak = stage.gateway.peak() - before
        await next_twenty(case)
    for request in stage.provider.requests[first:]:
        assert request.head.get("accept-encoding", "identity") == "identity"
    print(f"A11: peak +{peak / MIB:.1f} MiB")
    assert peak <= 8 * MIB, f"{peak / MIB:.1f} MiB"


# -- nonsense -------------------------------------------------------------------------------------


def _with_usage(asked: Asked, taken: object, given: object) -> Script:
    """The good stream with other numbers."""
    frames = [*asked.speech.opening, *asked.speech.closing]
    for name, value, now in zip(("prompt", "input", "completion", "output"),
                                (asked.speech.tokens[0],) * 2 + (asked.speech.tokens[1],) * 2,
                                (taken, taken, given, given), strict=True):  # fmt: skip
        old = f'"{name}_tokens": {value}'.encode()
        frames = [each.replace(old, f'"{name}_tokens": {now}'.encode()) for each in frames]
    return told(frames)


def _between(asked: Asked, *more: bytes) -> Script:
    return told([*asked.speech.opening, *more, *asked.speech.closing])


_NONSENSE = {
    "a frame that is no JSON": lambda asked: _between(asked, b'data: {"choices": [\n\n'),
    "a frame with NaN": lambda asked: _between(asked, b'data: {"type": "x", "choices": NaN}\n\n'),
    "a frame that is a list": lambda asked: _between(asked, b"data: [1, 2]\n\n"),
    "an unknown event": lambda asked: _between(asked, frame({"type": "response.from.the.future",
                                                             "sequence_number": 6})),
    "no usage": lambda asked: told(
        [each for each in [*asked.speech.opening, *asked.speech.closing] if b'"choices": []'
         not in each]),
    "negative usage": lambda asked: _with_usage(asked, -5, -7),
    "usage that is text": lambda asked: _with_usage(asked, '"many"', "null"),
    "two ends": lambda asked: told([*asked.speech.opening, *asked.speech.closing[:-1] * 2,
                                    asked.speech.closing[-1]]),
    "more after the end": lambda asked: told([*asked.speech.opening, *asked.speech.closing,
                                              *asked.speech.opening]),
}  # fmt: skip


@profiles
async def test_a12_nonsense_in_a_stream_is_relayed_or_refused_and_never_counted(
    stage: Stage, full: bool
) -> None:
    stage.provider.plays.update(_NONSENSE)
    async with stage.case("A12 nonsense", full=full) as case:
        asks = [case.ask(lane, play, stream=True, parse=False)
                for lane in LANES for play in _NONSENSE]  # fmt: skip
        for heard in await asyncio.gather(*asks):
            _sane(heard)
        await next_twenty(case)
    for line in case.lines:
        counted = line.get("tokens", {"input": 0, "output": 0})
        assert 0 <= counted["input"] <= 1000, line
        assert 0 <= counted["output"] <= 1000, line
        assert line["verdict"] in ("ok", "truncated", "upstream_error"), line


def _sane(heard: Heard) -> None:
    """Spliced: what came is passed on. Translated: whole and readable, or openly broken."""
    answer = heard.answer
    assert answer.status in (200, 502), heard
    if heard.lane in TRANSLATE:
        for line in answer.data_lines():
            assert line == b"[DONE]" or isinstance(json.loads(line), dict)
        broken = b'"error":{' in answer.body
        assert answer.ended != broken or answer.status == 502, heard
    elif heard.play.startswith("a frame"):
        assert b"choices" in answer.body or b"[1, 2]" in answer.body or heard.lane.client != "chat"


# -- too early ------------------------------------------------------------------------------------


@profiles
async def test_a17_a18_an_answer_before_the_request_was_read_ends_the_upload(
    stage: Stage, full: bool
) -> None:
    """The way to the provider is slow, so that most of the body is still here."""
    size, provider = (20 if full else 12) * MIB, stage.provider
    stage.proxy.up = Toxics(bandwidth=4 * MIB)
    refusal = http_json(413, {"error": {"message": "too large", "type": "x", "code": None}})
    try:
        async with stage.case("A17 A18 early answers", full=full, spare=40 * MIB) as case:
            for lane in (lane.to("via") for lane in (SPLICE if full else SPLICE[:1])):
                whole = Speech(lane.upstream, ("early",), (1, 1), number=-len(case.lines))
                good = http_json(200, whole.whole)
                for said, status in ((refusal, 413), (good, 200)):
                    last = [hang()] if status == 413 else [pause(0.05), fin()]
                    provider.add([expect(body=False), send(said), *last])
                    read, took = await _early(case, lane, size, status)
                    assert read < size, "the rest was not sent"
                    assert took <= (0.2 if full else 1.0), took
                    stage.proxy.up = CLEAN
                    heard = await case.ask(lane, words="after it")
                    assert b"after it" in heard.answer.body
                    stage.proxy.up = Toxics(bandwidth=4 * MIB)
            stage.proxy.up = CLEAN
            await next_twenty(case)
    finally:
        stage.proxy.up = CLEAN


async def _early(case: Case, lane: Lane, size: int, status: int) -> tuple[int, float]:
    """Ask with a large body. How much of it the provider got, and how long after the answer the
    gateway held on to the connection."""
    before = case.stage.provider.bytes_read
    gateway, port = case.gateway, case.stage.proxy.port
    async with await RawClient.connect(case.gateway.port) as client:
        case.expect(1)
        body = ask(lane.client, "x" * size, model=lane.model, max_tokens=5)
        await client.request("POST", PATHS[lane.client], body, KEY)
        answer = await client.response(10.0)
        assert answer.status == status, answer
        start = time.perf_counter()
        while gateway.connections_to(port) and time.perf_counter() < start + 3.0:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        took = time.perf_counter() - start
    return case.stage.provider.bytes_read - before, took
