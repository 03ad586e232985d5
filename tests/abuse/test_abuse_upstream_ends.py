"""Providers that are not there, or stop in the middle of a word (A1, A2, A5, A6, A7, A9)."""

import asyncio

import pytest
from tests.abuse.harness import LANES, SPLICE, Case, Heard, Stage, next_twenty, profiles
from tests.abuse.official import check_stream
from tests.abuse.provider import Heard as Asked
from tests.abuse.speech import SSE, told
from tests.faults.streams import TERMINAL
from tests.support.steps import Script, chunk, fin, hang, http_head, http_json, rst, send
from tests.support.steps import sleep as pause

pytestmark = pytest.mark.asyncio(loop_scope="session")

_JSON = {"content-type": "application/json"}


async def _everywhere(case: Case, play: str, times: int, *, stream: bool) -> list[Heard]:
    """In all lanes at once."""
    asks = [case.ask(lane, play, stream=stream) for lane in LANES for _ in range(times)]
    return list(await asyncio.gather(*asks))


def _cut(heard: Heard) -> None:
    """The stream began well, says that it failed, and cannot be taken for a whole one."""
    answer = heard.answer
    assert (answer.status, answer.framing, answer.ended) == (200, "chunked", False), heard
    assert not [mark for mark in TERMINAL[heard.lane.client] if mark in answer.body], heard
    assert not check_stream(heard.lane.client, answer)
    assert b'"error"' in answer.body


@profiles
async def test_a1_a_provider_that_is_not_there_is_an_error_at_once(
    stage: Stage, full: bool
) -> None:
    async with stage.case("A1 refuse connect", full=full) as case:
        asks = [case.ask(lane.to("gone"), stream=s) for lane in LANES for s in (False, True)]
        for heard in await asyncio.gather(*asks):
            assert heard.answer.status == 502
            assert heard.answer.header("x-should-retry") == "false"
            assert heard.seconds <= 3.0
    for line in case.lines:
        assert (line["verdict"], line["error_code"]) == ("upstream_error", "upstream_unreachable")
        assert "tokens" not in line, "nothing was asked, nothing is owed"
        assert line["attempts"] <= 3


@profiles
async def test_a2_a9_silence_ends_at_its_deadline_and_a_trickle_is_kept_alive(
    stage: Stage, full: bool
) -> None:
    slack, gap, events = (0.3, 1.0, 30) if full else (1.3, 0.7, 3)

    def trickle(asked: Asked) -> Script:
        opening, *more = asked.speech.opening
        pieces = (more[-1:] * events)[:events]
        steps = [[pause(gap), send(chunk(piece))] for piece in pieces]
        return [*told([opening, *more], end=False), *steps, *told(asked.speech.closing)[1:]]

    stage.provider.plays["blackhole"] = lambda asked: [hang()]
    stage.provider.plays["trickle"] = trickle
    stage.provider.plays["stall"] = lambda asked: [*told(asked.speech.opening, end=False), hang()]
    lanes = LANES if full else LANES[2:5]
    async with stage.case("A2 blackhole, A9 trickle and stall", full=full) as case:
        asks = [case.ask(lane, "blackhole", stream=s) for lane in lanes for s in (False, True)]
        asks += [case.ask(lane, "stall", stream=True) for lane in lanes]
        trickles = [case.ask(lane, "trickle", stream=True, within=60.0) for lane in SPLICE]
        for heard in await asyncio.gather(*asks, *trickles):
            if heard.play == "blackhole":
                assert heard.answer.status == 504
                assert 0.95 <= heard.seconds <= 1.0 + slack, heard.seconds
            elif heard.play == "stall":
                _cut(heard)
                assert 1.95 <= heard.seconds <= 2.2 + slack, heard.seconds
            else:
                assert heard.answer.ended
                assert b": keep-alive\n\n" in heard.answer.body
    assert case.grew("portico_limit_hits_total", limit="firstByte") == 2 * len(lanes)
    assert case.grew("portico_limit_hits_total", limit="idle") == len(lanes)
    assert case.grew("portico_stream_truncated_total") == len(lanes)


def _half(asked: Asked, *end: object) -> Script:
    *first, last = asked.speech.opening
    return [*told(first, end=False), send(chunk(last[: len(last) // 2])), *end]  # type: ignore[list-item]


def _nearly(asked: Asked) -> Script:
    """All but the sentinel, or the last chunk."""
    frames = [*asked.speech.opening, *asked.speech.closing]
    return told(frames[:-1] if asked.dialect == "chat" else frames, end=False)


_NO_BYTE = {
    "RST before headers": lambda asked: [rst()],
    "RST after headers": lambda asked: [send(http_head(200, SSE)), pause(0.05), rst()],
    "FIN before headers": lambda asked: [fin()],
    "FIN after headers": lambda asked: [send(http_head(200, SSE)), fin()],
}
_CUTS = {
    "RST mid-frame": lambda asked: _half(asked, pause(0.05), rst()),
    "RST between frames": lambda asked: [
        *told(asked.speech.opening, end=False), pause(0.05), rst()],
    "FIN mid-frame": lambda asked: _half(asked, fin()),
    "FIN between frames": lambda asked: [*told(asked.speech.opening, end=False), fin()],
    "no terminal event": lambda asked: told(asked.speech.opening),
}  # fmt: skip
_WHOLE = {
    "RST after the terminal event": lambda asked: [_nearly(asked), pause(0.05), rst()],
    "FIN after the terminal event": lambda asked: [_nearly(asked), fin()],
}


@profiles
async def test_a5_a6_a_stream_that_was_cut_never_looks_finished(stage: Stage, full: bool) -> None:
    stage.provider.plays.update({**_NO_BYTE, **_CUTS, **_WHOLE})
    times = 10 if full else 1
    async with stage.case("A5 RST, A6 FIN", full=full) as case:
        for play in _NO_BYTE:
            for heard in await _everywhere(case, play, times, stream=True):
                assert (heard.answer.status, heard.answer.ended) == (502, True), heard
        for play in _CUTS:
            for heard in await _everywhere(case, play, times, stream=True):
                _cut(heard)
        for play in _WHOLE:
            for heard in await _everywhere(case, play, times, stream=True):
                assert heard.answer.ended, heard
                assert check_stream(heard.lane.client, heard.answer), heard
        await next_twenty(case)
    every = len(LANES) * times
    assert case.grew("portico_stream_truncated_total") == len(_CUTS) * every
    cut = [line for line in case.lines if line["verdict"] == "truncated"]
    assert len(cut) == len(_CUTS) * every
    for line in cut:
        assert line["status"] == 200
        counted = line["lane"] == "translate" or line["model"] == "at-messages"
        assert ("tokens" in line) == counted, "what was known of the usage is recorded"
    failed = [line for line in case.lines if line["verdict"] == "upstream_error"]
    assert {line["error_code"] for line in failed} == {"upstream_truncated"}
    assert len(failed) == len(_NO_BYTE) * every


def _sized(asked: Asked, more: int, surplus: bytes = b"") -> bytes:
    answer = http_json(200, asked.speech.whole)
    size = len(answer.partition(b"\r\n\r\n")[2])
    return answer.replace(b"content-length: %d" % size, b"content-length: %d" % (size + more)) + (
        surplus
    )


def _unfinished(asked: Asked) -> bytes:
    head = http_head(200, {**_JSON, "transfer-encoding": "chunked"})
    return head + chunk(http_json(200, asked.speech.whole).partition(b"\r\n\r\n")[2])


_BROKEN = {
    "length longer than the body": lambda asked: [send(_sized(asked, 10)), fin()],
    "no last chunk": lambda asked: [send(_unfinished(asked)), fin()],
    "two lengths": lambda asked: [
        send(_sized(asked, 0).replace(b"content-type", b"content-length: 1\r\ncontent-type"))],
    "RST in the body": lambda asked: [send(_sized(asked, 10)), pause(0.05), rst()],
}  # fmt: skip
_SURPLUS = {
    "length shorter than the body": lambda asked: [send(_sized(asked, 0, b"surplus"))],
    "a second answer": lambda asked: [send(_sized(asked, 0, http_json(200, {"id": "smuggled"})))],
}


@profiles
async def test_a7_framing_that_lies_is_an_error_and_spoils_nothing(
    stage: Stage, full: bool
) -> None:
    stage.provider.plays.update({**_BROKEN, **_SURPLUS})
    async with stage.case("A7 wrong lengths", full=full) as case:
        for play in _BROKEN:
            for heard in await _everywhere(case, play, 5 if full else 1, stream=False):
                assert heard.answer.status == 502, heard
        for play in _SURPLUS:
            for heard in await _everywhere(case, play, 5 if full else 1, stream=False):
                assert (heard.answer.status, heard.answer.ended) in ((200, True), (502, True)), (
                    heard
                )
                assert b"surplus" not in heard.answer.body
                assert b"smuggled" not in heard.answer.body
        await next_twenty(case)
