"""A stream that fails before it said anything was never begun; one that waits is kept alive."""

import asyncio
import json
import time
from collections.abc import Callable

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
from tests.faults.lane import every_pair, stand
from tests.faults.streams import CLOSING, OPENING
from tests.faults.tongues import TONGUES, is_broken, is_whole, told
from tests.support.asks import PATHS, ask
from tests.support.gateway import Gateway
from tests.support.raw import RawClient
from tests.support.steps import LAST_CHUNK, Script, Step, chunk, frame
from tests.support.upstream import expect, fin, hang, rst, send, sleep, sse

from portico.gateway import splice, translate
from portico.gateway.target import Target
from portico.model.outcome import Outcome

each_dialect = pytest.mark.parametrize("dialect", DIALECTS)
SILENT = {"responses": 1, "chat": 1, "messages": 1, "gemini": 0, "converse": 1}
"""How many frames of a tongue's opening say nothing."""
ERROR = {
    "chat": frame(json.dumps({"error": {"message": "overloaded", "code": 503}})),
    "responses": frame({"type": "error", "sequence_number": 1, "message": "overloaded"}),
    "messages": frame({"type": "error", "error": {"type": "overloaded_error", "message": "no"}}),
}

Within = Callable[[float], None]


@pytest.fixture
def first_token(monkeypatch: pytest.MonkeyPatch) -> Within:
    """`first_token(seconds)` is how long every provider has to say something."""

    def within(seconds: float) -> None:
        def by(target: Target, outcome: Outcome) -> float:
            return outcome.upstream_started + seconds

        monkeypatch.setattr(splice, "first_token_by", by)
        monkeypatch.setattr(translate, "first_token_by", by)

    return within


async def _nothing_is_left(gateway: Gateway) -> None:
    await settled(lambda: quiet(gateway))
    assert len(gateway.outcomes) == 1


# -- cut ------------------------------------------------------------------------------------------

_ENDS: dict[str, tuple[list[Step | Script], int]] = {
    "FIN": ([fin()], 502),
    "RST": ([sleep(0.05), rst()], 502),
    "silence": ([hang()], 504),
    "a good end": ([send(LAST_CHUNK)], 502),
    "half a frame": ([send(chunk(b"data: {")), fin()], 502),
    "a frame that is too long": ([send(chunk(b"data: " + b"x" * 300_000)), hang()], 502),
}


@each_dialect
@pytest.mark.parametrize("end", _ENDS)
async def test_a_stream_cut_behind_its_beginning_is_a_plain_error(
    end: str, dialect: str, play: Play, serve: Serve
) -> None:
    steps, status = _ENDS[end]
    upstream = await play(default=[expect(), sse(OPENING[dialect][:1], end=False), *steps])
    gateway = await serve(upstream, sse_frame_bytes=200_000)
    answer = await answer_of(gateway, dialect, stream=True)
    assert (answer.status, answer.ended) == (status, True)
    assert answer.json()["error"]["message"]
    outcome = await gateway.last()
    assert (outcome.verdict, outcome.status, outcome.stream) == ("upstream_error", status, True)
    await _nothing_is_left(gateway)


@every_pair
async def test_a_translated_stream_cut_behind_its_beginning_is_a_plain_error(
    client: str, upstream: str, play: Play, launch: Launch
) -> None:
    beginning = TONGUES[upstream].opening[: SILENT[upstream]]
    provider = await play(default=[expect(), *told(upstream, beginning, end=False), fin()])
    gateway = await stand(launch, provider, upstream)
    answer = await answer_of(gateway, client, stream=True)
    assert (answer.status, answer.ended) == (502, True)
    assert answer.json()["error"]["message"]
    await _nothing_is_left(gateway)


# -- errors ---------------------------------------------------------------------------------------


@each_dialect
async def test_an_error_that_nobody_else_can_mend_is_passed_on_as_it_is(
    dialect: str, play: Play, serve: Serve
) -> None:
    frames = [OPENING[dialect][0], ERROR[dialect]]
    gateway = await serve(await play(default=[expect(), sse(frames, end=False, gap=0.02), fin()]))
    answer = await answer_of(gateway, dialect, stream=True)
    assert (answer.status, answer.body) == (200, b"".join(frames))
    assert (await gateway.last()).verdict == "upstream_error"
    await _nothing_is_left(gateway)


@each_dialect
async def test_a_client_that_leaves_before_the_first_word_stops_the_meter(
    dialect: str, play: Play, serve: Serve
) -> None:
    upstream = await play([expect(), sse(OPENING[dialect][:1], end=False), hang()])
    gateway = await serve(upstream, idle=5.0)
    client = await RawClient.connect(gateway.port)
    await client.request("POST", PATHS[dialect], ask(dialect, stream=True), KEY)
    await upstream.wait_requests(1)
    await asyncio.sleep(0.05)
    client.close()
    await upstream.wait_closed(2.0)
    outcome = await gateway.last()
    assert (outcome.verdict, outcome.status) == ("client_cancelled", 499)
    if dialect == "messages":
        assert outcome.usage is not None, "what the provider had counted by then"
        assert outcome.usage.input_total == 3
    await _nothing_is_left(gateway)


# -- the first token is due -----------------------------------------------------------------------


@each_dialect
async def test_a_stream_that_says_nothing_in_time_is_given_up(
    dialect: str, play: Play, serve: Serve, first_token: Within
) -> None:
    """Comments are no answer, and no keep-alive goes to the client before the time is over."""
    first_token(0.4)
    comment = send(chunk(b": still thinking\n\n"))
    waits: list[Step | Script] = [[sleep(0.1), comment] for _ in range(30)]
    upstream = await play(default=[expect(), sse(OPENING[dialect][:1], end=False), *waits])
    gateway = await serve(upstream, idle=5.0, sse_keep_alive=0.1)
    start = time.perf_counter()
    answer = await answer_of(gateway, dialect, stream=True)
    assert 0.35 < time.perf_counter() - start < SHORT.total
    assert (answer.status, answer.ended) == (504, True)
    outcome = await gateway.last()
    assert (outcome.verdict, outcome.error_code) == ("upstream_error", "upstream_timeout")
    assert gateway.sample("portico_limit_hits_total", limit="firstToken") >= 1
    await upstream.wait_closed(2.0)


@every_pair
async def test_a_translated_stream_that_says_nothing_in_time_is_given_up(
    client: str, upstream: str, play: Play, launch: Launch, first_token: Within
) -> None:
    first_token(0.2)
    beginning = TONGUES[upstream].opening[: SILENT[upstream]]
    provider = await play(default=[expect(), *told(upstream, beginning, end=False), hang()])
    gateway = await stand(launch, provider, upstream, idle=5.0)
    answer = await answer_of(gateway, client, stream=True)
    assert (answer.status, answer.ended) == (504, True)
    assert (await gateway.last()).error_code == "upstream_timeout"


@each_dialect
async def test_a_stream_that_has_said_something_is_not_late(
    dialect: str, play: Play, serve: Serve, first_token: Within
) -> None:
    first_token(0.2)
    frames = [*OPENING[dialect], *CLOSING[dialect]]
    rest = sse(frames[2:])[1:]
    upstream = await play([expect(), sse(frames[:2], end=False), sleep(0.5), *rest])
    answer = await answer_of(await serve(upstream, idle=5.0), dialect, stream=True)
    assert (answer.status, answer.ended, answer.body) == (200, True, b"".join(frames))


# -- the client is kept alive ---------------------------------------------------------------------


@each_dialect
@pytest.mark.parametrize("held", [0, 1])
async def test_a_client_that_waits_for_the_first_word_is_kept_alive(
    held: int, dialect: str, play: Play, serve: Serve
) -> None:
    frames = [*OPENING[dialect], *CLOSING[dialect]]
    rest = sse(frames[held:])[1:]
    upstream = await play([expect(), sse(frames[:held], end=False), sleep(0.5), *rest])
    gateway = await serve(upstream, idle=5.0, sse_keep_alive=0.2)
    async with await RawClient.connect(gateway.port) as client:
        await client.request("POST", PATHS[dialect], ask(dialect, stream=True), KEY)
        answer = await client.response(8.0)
    body = answer.body.replace(b": keep-alive\n\n", b"")
    assert (answer.status, answer.ended, body) == (200, True, b"".join(frames))
    assert answer.body.startswith(b"".join(frames[:held]) + b": keep-alive\n\n")
    assert (await gateway.last()).verdict == "ok"


@every_pair
@pytest.mark.parametrize("end", ["whole", "error", "cut"])
async def test_after_that_a_translated_stream_has_begun(
    end: str, client: str, upstream: str, play: Play, launch: Launch
) -> None:
    tongue = TONGUES[upstream]
    silent = SILENT[upstream]
    rest = {
        "whole": [*tongue.opening[silent:], *tongue.closing],
        "error": [tongue.error],
        "cut": [],
    }[end]
    last: Step = fin() if end == "cut" else send(LAST_CHUNK)
    script = [
        expect(), *told(upstream, tongue.opening[:silent], end=False), sleep(0.35),
        *[send(chunk(each)) for each in rest], last,
    ]  # fmt: skip
    gateway = await stand(launch, await play(script), upstream, idle=5.0, sse_keep_alive=0.1)
    answer = await answer_of(gateway, client, stream=True)
    assert answer.body.startswith(b": keep-alive\n\n") or silent
    assert b": keep-alive\n\n" in answer.body
    if end == "whole":
        is_whole(client, answer)
    else:
        assert is_broken(client, answer)["message"]
    verdict = {"whole": "ok", "error": "upstream_error", "cut": "truncated"}[end]
    assert (await gateway.last()).verdict == verdict
