"""Every fault that a provider can have, between every two dialects.

What holds after each: the client is told in its own dialect, never that a broken answer is whole;
there is exactly one record and it says what happened; nothing stays in flight, open or running.
"""

import asyncio
import json
from typing import Any
from zlib import crc32

import pytest
from tests.faults.conftest import KEY, Launch, Play, answer_of, deadlines, quiet, settled
from tests.faults.tongues import (
    COUNTS,
    PAIRS,
    TONGUES,
    WORDS,
    answered,
    aws,
    is_broken,
    is_whole,
    provider,
    text_in,
    text_of,
    told,
)
from tests.support.asks import PATHS, ask
from tests.support.gateway import OPERATOR_KEY, Gateway, caller, model, route, settings
from tests.support.raw import RawClient
from tests.support.steps import LAST_CHUNK, Script, chunk
from tests.support.toxics import TcpProxy, Toxics
from tests.support.upstream import (
    ScriptedUpstream,
    expect,
    fin,
    hang,
    http_head,
    http_json,
    rst,
    send,
    sleep,
)

from portico.limits import Limits

MIB = 1 << 20
every_pair = pytest.mark.parametrize(("client", "upstream"), PAIRS)


async def stand(
    launch: Launch, upstream: ScriptedUpstream | str, dialect: str, **changes: Any
) -> Gateway:
    """A gateway before a provider that speaks only `dialect`."""
    url = upstream if isinstance(upstream, str) else upstream.url
    limits = {k: v for k, v in changes.items() if k in Limits.__struct_fields__}
    times = {k: v for k, v in changes.items() if k not in limits}
    return await launch(
        settings(
            route([model("*", provider(url, dialect), "m")], [caller()]),
            limits=Limits(**limits),
            deadlines=deadlines(**times),
        )
    )


class Oracle:
    """What must be as it was before, once a request is over."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._sweeping = len(gateway.worker.sweeper.members)
        self._own = asyncio.current_task()
        self._tasks = len(self._others())

    def _others(self) -> list[Any]:
        """Tasks of the gateway: not those of the scripted provider."""
        tasks = asyncio.all_tasks() - {self._own}
        return [task for task in tasks if "portico" in repr(task.get_coro())]

    async def check(self, verdict: str, *, kept: int = 0, code: str | None = None) -> Any:
        """One record with that verdict; `kept` connections to the provider stay open for reuse."""
        gateway = self._gateway
        outcome = await gateway.last()
        await settled(lambda: quiet(gateway))
        pools = gateway.worker.client._pools.values()
        await settled(lambda: sum(pool.open_connections for pool in pools) <= kept)
        await settled(lambda: len(self._others()) <= self._tasks)
        members = self._sweeping + kept
        await settled(lambda: len(gateway.worker.sweeper.members) <= members)
        assert len(gateway.outcomes) == 1, "exactly one record"
        assert outcome.verdict == verdict, (outcome.verdict, outcome.error_code)
        assert outcome.lane == "translate"
        if code is not None:
            assert outcome.error_code == code
        if outcome.usage is not None:
            assert 0 <= outcome.usage.input_total <= COUNTS[0]
            assert 0 <= outcome.usage.output_total <= COUNTS[1]
        return outcome


# -- streams that break ---------------------------------------------------------------------------


def _broken_message(upstream: str) -> bytes:
    """A binary message whose payload was changed: only its checksum tells."""
    data = bytearray(TONGUES[upstream].opening[-1])
    data[-8] ^= 1
    return bytes(data)


def _cuts(upstream: str) -> dict[str, Script]:
    tongue = TONGUES[upstream]
    opening = tongue.opening
    last = opening[-1]
    inside = last[: len(last) // 2]
    character = last[: last.index("\U0001f600".encode()) + 2]
    good = told(upstream, opening, end=False)
    cut = told(upstream, opening[:-1], end=False)
    if upstream == "converse":
        longest = b"\x00\x10\x00\x00" + b"\x00\x00\x00\x10"
        too_long = longest + crc32(longest).to_bytes(4, "big")
    else:
        too_long = b"data: " + b"x" * 300_000
    return {
        "FIN between frames": [good, fin()],
        "FIN inside a frame": [cut, send(chunk(inside)), fin()],
        "FIN inside a character": [cut, send(chunk(character)), fin()],
        "FIN inside a chunk": [cut, send(b"fff\r\n" + inside), fin()],
        "ended well, as far as HTTP goes": told(upstream, opening),
        "ended well inside a frame": [cut, send(chunk(inside)), send(LAST_CHUNK)],
        "RST between frames": [good, sleep(0.1), rst()],
        "RST inside a character": [cut, send(chunk(character)), sleep(0.1), rst()],
        "silence": [good, hang()],
        "silence inside a frame": [cut, send(chunk(inside)), hang()],
        "not HTTP any more": [good, sleep(0.1), send(b"zz\r\nwhat is this")],
        "a second answer instead of the rest": [
            good, sleep(0.1), send(http_json(200, tongue.whole))
        ],
        "a frame that is too long": [good, send(chunk(too_long)), hang()],
        "garbage, then nothing": [good, send(chunk(b"\xff\xfe\x00garbage{" * 3)), fin()],
    }  # fmt: skip


@pytest.mark.parametrize("cut", _cuts("chat"))
@every_pair
async def test_a_cut_stream_never_looks_finished(
    client: str, upstream: str, cut: str, play: Play, launch: Launch
) -> None:
    provider_ = await play([expect(), *_cuts(upstream)[cut]])
    gateway = await stand(launch, provider_, upstream, sse_frame_bytes=200_000)
    oracle = Oracle(gateway)
    answer = await answer_of(gateway, client, stream=True)
    error = is_broken(client, answer)
    assert error["message"]
    assert WORDS.startswith(text_of(client, answer))
    assert text_of(client, answer)
    if upstream == "converse" and cut.startswith("garbage"):
        await oracle.check("truncated", kept=1)
        return
    assert answer.ended is False, "no last chunk"
    await oracle.check("truncated", kept=1)
    assert gateway.sample("portico_stream_truncated_total") == 1


@pytest.mark.parametrize("bad", ["checksum", "prelude", "length", "shorter than it can be"])
@pytest.mark.parametrize("client", ["responses", "chat", "messages"])
async def test_a_binary_stream_that_is_damaged_is_broken_from_there(
    client: str, bad: str, play: Play, launch: Launch
) -> None:
    tongue = TONGUES["converse"]
    last = tongue.opening[-1]
    damaged = {
        "checksum": _broken_message("converse"),
        "prelude": last[:8] + b"\x00\x00\x00\x00" + last[12:],
        "length": b"\x7f" + last[1:],
        "shorter than it can be": (4).to_bytes(4, "big") + last[4:],
    }[bad]
    frames = [*tongue.opening[:-1], damaged, *tongue.closing]
    gateway = await stand(launch, await play([expect(), *told("converse", frames)]), "converse")
    oracle = Oracle(gateway)
    answer = await answer_of(gateway, client, stream=True)
    assert is_broken(client, answer)["message"]
    verdict = "upstream_error" if bad == "checksum" else "truncated"
    await oracle.check(verdict, kept=1)


@every_pair
async def test_an_error_in_mid_stream_is_told_as_the_client_would_have_it(
    client: str, upstream: str, play: Play, launch: Launch
) -> None:
    tongue = TONGUES[upstream]
    frames = [*tongue.opening, tongue.error, *tongue.closing]
    gateway = await stand(launch, await play([expect(), *told(upstream, frames)]), upstream)
    oracle = Oracle(gateway)
    answer = await answer_of(gateway, client, stream=True)
    error = is_broken(client, answer)
    assert "overloaded" in json.dumps(error)
    assert text_of(client, answer) == WORDS
    await oracle.check("upstream_error", kept=1)


# -- before there is anything to tell -------------------------------------------------------------


def _before(upstream: str) -> dict[str, tuple[Script, int]]:
    tongue = TONGUES[upstream]
    kind = tongue.kind
    head = {"content-type": kind, "transfer-encoding": "chunked"}
    page = b"<html>it works</html>"
    return {
        "FIN before the head": ([expect(), fin()], 502),
        "RST before the head": ([expect(), rst()], 502),
        "FIN after the head of a stream": ([expect(), send(http_head(200, head)), fin()], 502),
        "RST after the head of a stream": (
            [expect(), send(http_head(200, head)), sleep(0.1), rst()], 502),
        "an empty stream": ([expect(), *told(upstream, [])], 502),
        "blackhole": ([expect(), hang()], 504),
        "blackhole after the head": ([expect(), send(http_head(200, head)), hang()], 504),
        "an empty body": (
            [expect(), send(http_head(200, {"content-type": "application/json",
                                            "content-length": "0"}))], 502),
        "no JSON": ([expect(), send(http_head(200, {"content-type": "application/json",
                                                    "content-length": "5"}) + b'{"a":')], 502),
        "JSON of another kind": ([expect(), send(http_json(200, ["what", 1, None]))], 502),
        "null": ([expect(), send(http_json(200, None))], 502),
        "a web page": (
            [expect(), send(http_head(200, {"content-type": "text/html",
                                            "content-length": str(len(page))}) + page)], 502),
        "a compressed answer": (
            [expect(), send(http_head(200, {"content-type": "application/json",
                                            "content-encoding": "gzip",
                                            "content-length": "4"}) + b"\x1f\x8b\x08\x00")], 502),
        "a compressed stream": (
            [expect(), send(http_head(200, {**head, "content-encoding": "br"})), hang()], 502),
        "a redirect": (
            [expect(), send(http_head(302, {"location": "http://169.254.169.254/",
                                            "content-length": "0"}))], 502),
        "an error as the first event": (
            [expect(), *told(upstream, [tongue.error], end=False), fin()], 0),
        "an error right behind the start": (
            [expect(), send(http_head(200, head)),
             send(chunk(tongue.opening[0] + tongue.error if upstream in ("messages", "converse")
                        else tongue.error)), send(LAST_CHUNK)], 0),
        "a body longer than it may be": (
            [expect(), send(http_head(200, {"content-type": "application/json",
                                            "content-length": str(5 * MIB)})),
             *[send(b" " * MIB)] * 5], 502),
    }  # fmt: skip


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("fault", _before("chat"))
@every_pair
async def test_a_fault_before_the_first_word_is_a_plain_error(
    client: str, upstream: str, fault: str, stream: bool, play: Play, launch: Launch
) -> None:
    script, status = _before(upstream)[fault]
    gateway = await stand(launch, await play(script), upstream, response_bytes=4 * MIB)
    oracle = Oracle(gateway)
    answer = await answer_of(gateway, client, stream=stream)
    assert answer.ended
    if status:
        assert answer.status == status, answer.body
    else:
        assert answer.status in (429, 500, 503, 529), answer.body
    assert answer.json()["error"]["message"]
    assert answer.header("content-type") == "application/json"
    assert OPERATOR_KEY.encode() not in answer.head + answer.body
    assert b"127.0.0.1" not in answer.body
    outcome = await oracle.check("upstream_error", kept=1)
    assert outcome.status == answer.status


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@every_pair
async def test_an_error_object_in_a_200_is_no_answer(
    client: str, upstream: str, stream: bool, play: Play, launch: Launch
) -> None:
    refusal = TONGUES[upstream].refusal
    gateway = await stand(launch, await play([expect(), send(http_json(200, refusal))]), upstream)
    oracle = Oracle(gateway)
    answer = await answer_of(gateway, client, stream=stream)
    assert answer.status >= 400, answer.body
    assert answer.json()["error"]["message"]
    await oracle.check("upstream_error", kept=1)


@pytest.mark.parametrize("status", [400, 401, 404, 413, 429, 500, 503])
@every_pair
async def test_a_status_of_the_provider_keeps_its_class(
    client: str, upstream: str, status: int, play: Play, launch: Launch
) -> None:
    headers = {"retry-after": "7"}
    refusal = http_json(status, TONGUES["chat"].refusal, headers)
    gateway = await stand(launch, await play([expect(), send(refusal)]), upstream)
    oracle = Oracle(gateway)
    answer = await answer_of(gateway, client, stream=True)
    assert answer.status == (502 if status == 401 else status)
    if status in (429, 503):
        assert answer.header("retry-after") == "7"
    await oracle.check("upstream_error", kept=1)


# -- what is odd but whole ------------------------------------------------------------------------


def _odd(upstream: str) -> dict[str, list[bytes]]:
    """Streams that are whole although nobody writes them like this."""
    tongue = TONGUES[upstream]
    frames = tongue.stream
    many = {
        "as it should be": frames,
        "everything in one write": [b"".join(frames)],
        "the end twice": [*frames, *tongue.closing[-2:]],
        "events after the end": [*frames, *tongue.opening],
        "an error after the end": [*frames, tongue.error],
        "the beginning twice": [tongue.opening[0], *frames] if upstream != "gemini" else frames,
    }
    if upstream == "converse":
        unknown = aws("somethingNew", {"a": 1})
        return {**many, "unknown events": [unknown, *tongue.opening, unknown, *tongue.closing],
                "no payload": [aws("ping", None), *frames]}  # fmt: skip
    garbage = b"data: {nonsense\n\ndata: 7\n\ndata: []\n\nevent: odd\ndata: \xff\xfe\n\n"
    crlf = b"".join(frames).replace(b"\n", b"\r\n")
    return {
        **many,
        "garbage between frames": [tongue.opening[0], garbage, *frames[1:]],
        "comments and a byte order mark": [b"\xef\xbb\xbf: hello\n\n", b": x\n\n", *frames],
        "CRLF": [crlf],
        "CR": [b"".join(frames).replace(b"\n", b"\r")],
        "no space behind the colon": [
            each.replace(b"data: ", b"data:").replace(b"event: ", b"event:") for each in frames
        ],
        "no blank line at the end": [*frames[:-1], frames[-1].rstrip(b"\n")],
        "other fields": [b"id: 7\nretry: 10\n" + each for each in frames],
    }


ODD = sorted({name for upstream in TONGUES for name in _odd(upstream)})


@pytest.mark.parametrize("odd", ODD)
@every_pair
async def test_an_odd_stream_that_is_whole_is_told_whole(
    client: str, upstream: str, odd: str, play: Play, launch: Launch
) -> None:
    frames = _odd(upstream).get(odd)
    if frames is None:
        pytest.skip("nothing of the kind in this dialect")
    gateway = await stand(launch, await play([expect(), *told(upstream, frames)]), upstream)
    oracle = Oracle(gateway)
    answer = await answer_of(gateway, client, stream=True)
    is_whole(client, answer)
    assert text_of(client, answer) == WORDS
    outcome = await oracle.check("ok", kept=1)
    assert outcome.usage is not None
    assert (outcome.usage.input_total, outcome.usage.output_total) == COUNTS


@every_pair
async def test_a_stream_in_single_bytes_is_the_same_stream(
    client: str, upstream: str, play: Play, launch: Launch
) -> None:
    provider_ = await play(default=[expect(), *told(upstream, TONGUES[upstream].stream)])
    async with await TcpProxy.start(provider_.port, down=Toxics(slicer=1)) as proxy:
        gateway = await stand(launch, proxy.url, upstream, idle=5.0, first_byte=5.0)
        answer = await answer_of(gateway, client, stream=True, within=30.0)
        is_whole(client, answer)
        assert text_of(client, answer) == WORDS
        assert (await gateway.last()).verdict == "ok"


def _endings(upstream: str) -> dict[str, tuple[list[bytes], bool]]:
    """Streams that end in fewer words, and whether they are whole nevertheless."""
    tongue = TONGUES[upstream]
    opening, closing = tongue.opening, tongue.closing
    silent = {
        "chat": (b',"usage":', b',"usage_":'), "gemini": (b'"usageMetadata"', b'"usage_"'),
        "responses": (b'"usage"', b'"usage_"'), "messages": (b'"usage"', b'"usage_"'),
    }  # fmt: skip
    first, second, third = closing[:1], closing[1:2], closing[2:3]
    out: dict[str, tuple[list[bytes], bool]] = {
        "chat": {
            "no [DONE]": ([*opening, *first, *second], True),
            "no usage": ([*opening, *first, *third], True),
            "a reason and nothing else": ([*opening, *first], True),
            "no reason": ([*opening, *second], False),
        },
        "responses": {
            "only the end": (closing[-1:], True),
            "no end": ([*opening, *closing[:-1]], False),
        },
        "messages": {
            "no message_stop": ([*opening, *first, *second], True),
            "no reason": ([*opening, *first, *third], False),
        },
        "gemini": {"no reason": (opening, False)},
        "converse": {
            "no metadata": ([*opening, *first, *second], True),
            "no messageStop": ([*opening, *first, *third], False),
        },
    }[upstream]
    if upstream in silent:
        old, new = silent[upstream]
        out["no usage anywhere"] = (
            [each.replace(old, new).replace(b'"usage": {', b'"usage_": {')
             for each in tongue.stream],
            True,
        )  # fmt: skip
    return out


ENDINGS = [(client, upstream, name) for client, upstream in PAIRS for name in _endings(upstream)]


@pytest.mark.parametrize(("client", "upstream", "ending"), ENDINGS)
async def test_what_is_missing_at_the_end_decides_whether_it_is_whole(
    client: str, upstream: str, ending: str, play: Play, launch: Launch
) -> None:
    frames, whole = _endings(upstream)[ending]
    gateway = await stand(launch, await play([expect(), *told(upstream, frames)]), upstream)
    oracle = Oracle(gateway)
    answer = await answer_of(gateway, client, stream=True)
    if whole:
        is_whole(client, answer)
        assert text_of(client, answer) == WORDS
        outcome = await oracle.check("ok", kept=1)
        if "usage" in ending:
            assert outcome.usage is None or outcome.usage.total == 0
    else:
        assert is_broken(client, answer)["message"]
        await oracle.check("truncated", kept=1)


@every_pair
async def test_a_whole_answer_to_a_streamed_request_is_told_as_a_stream(
    client: str, upstream: str, play: Play, launch: Launch
) -> None:
    gateway = await stand(launch, await play([expect(), answered(upstream)]), upstream)
    oracle = Oracle(gateway)
    answer = await answer_of(gateway, client, stream=True)
    assert (answer.header("content-type") or "").startswith("text/event-stream")
    is_whole(client, answer)
    assert text_of(client, answer) == WORDS
    outcome = await oracle.check("ok", kept=1)
    assert outcome.usage.total == sum(COUNTS)


@every_pair
async def test_a_stream_nobody_asked_for_is_folded(
    client: str, upstream: str, play: Play, launch: Launch
) -> None:
    script = [expect(), *told(upstream, TONGUES[upstream].stream)]
    gateway = await stand(launch, await play(script), upstream)
    oracle = Oracle(gateway)
    answer = await answer_of(gateway, client)
    assert (answer.status, answer.header("content-type")) == (200, "application/json")
    assert text_in(client, answer.json()) == WORDS
    outcome = await oracle.check("ok", kept=1)
    assert outcome.usage.total == sum(COUNTS)


@every_pair
async def test_a_stream_nobody_asked_for_that_breaks_is_no_answer(
    client: str, upstream: str, play: Play, launch: Launch
) -> None:
    tongue = TONGUES[upstream]
    script = [expect(), *told(upstream, tongue.stream[:-2] or tongue.opening, end=False), fin()]
    gateway = await stand(launch, await play(script), upstream)
    oracle = Oracle(gateway)
    answer = await answer_of(gateway, client)
    assert answer.status == 502
    outcome = await oracle.check("upstream_error")
    if upstream == "messages":  # it had told what the input cost
        assert outcome.usage.input_total == COUNTS[0]


@every_pair
async def test_an_answer_in_one_piece_is_told(
    client: str, upstream: str, play: Play, launch: Launch
) -> None:
    gateway = await stand(launch, await play([expect(), answered(upstream)]), upstream)
    oracle = Oracle(gateway)
    answer = await answer_of(gateway, client)
    assert text_in(client, answer.json()) == WORDS
    outcome = await oracle.check("ok", kept=1)
    assert outcome.usage.total == sum(COUNTS)


# -- clients that leave, and slow ones ------------------------------------------------------------

_WHEN = ("waiting for the head", "after the head", "mid-stream", "inside a frame", "whole answer")


def _left(upstream: str, when: str) -> Script:
    tongue = TONGUES[upstream]
    opening = tongue.opening
    if when == "waiting for the head":
        return [expect(), hang()]
    if when == "after the head":
        return [expect(), *told(upstream, [], end=False), hang()]
    if when == "mid-stream":
        return [expect(), *told(upstream, opening, end=False), hang()]
    if when == "inside a frame":
        part = chunk(opening[-1][:20])
        return [expect(), *told(upstream, opening[:-1], end=False), send(part), hang()]
    head = {"content-type": "application/json", "content-length": "100000"}
    return [expect(), send(http_head(200, head) + b"{"), hang()]


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("when", _WHEN)
@every_pair
async def test_a_client_that_leaves_stops_the_meter(
    client: str, upstream: str, when: str, how: str, play: Play, launch: Launch
) -> None:
    provider_ = await play(_left(upstream, when))
    gateway = await stand(launch, provider_, upstream, first_byte=20.0, idle=20.0)
    oracle = Oracle(gateway)
    streamed = when != "whole answer"
    raw = await RawClient.connect(gateway.port)
    await raw.request("POST", PATHS[client], ask(client, stream=streamed), KEY)
    await provider_.wait_requests(1)
    if when in ("mid-stream", "inside a frame"):
        await raw.read(1)
    await asyncio.sleep(0.05)
    raw.rst() if how == "rst" else raw.close()
    assert await provider_.wait_closed(1.0) < 0.5  # 300 ms, and a machine under test
    outcome = await oracle.check("client_cancelled", code="client_cancelled")
    assert outcome.status == (200 if when in ("mid-stream", "inside a frame") else 499)
    if upstream == "messages" and when in ("mid-stream", "inside a frame"):
        assert outcome.usage.input_total == COUNTS[0], "what passed is settled"


def _long(upstream: str, size: int) -> list[bytes]:
    """The opening with one long piece of text, many times."""
    tongue = TONGUES[upstream]
    piece = tongue.opening[-1]
    if upstream == "converse":
        text = {"contentBlockIndex": 0, "delta": {"text": "x" * 4000}}
        piece = aws("contentBlockDelta", text)
    else:
        piece = piece.replace("e \U0001f600".encode(), b"x" * 4000)
    return [piece] * (size // len(piece))


@every_pair
async def test_a_slow_client_slows_the_provider_and_fills_nothing(
    client: str, upstream: str, play: Play, launch: Launch
) -> None:
    tongue = TONGUES[upstream]
    rest = b"".join(_long(upstream, 8 * MIB))
    script = [expect(), *told(upstream, tongue.opening, end=False), send(chunk(rest)),
              *[send(chunk(each)) for each in tongue.closing], send(LAST_CHUNK)]  # fmt: skip
    provider_ = await play(script)
    gateway = await stand(launch, provider_, upstream, write=5.0, idle=5.0, total=60.0)
    async with await RawClient.connect(gateway.port, rcvbuf=8192) as raw:
        await raw.request("POST", PATHS[client], ask(client, stream=True), KEY)
        await provider_.wait_requests(1)
        server = gateway.worker._servers[0]
        await settled(lambda: any(each.write_paused for each in server.connections))
        (pool,) = gateway.worker.client._pools.values()
        await settled(lambda: all(each._paused for each in pool._open))
        (connection,) = server.connections
        held = connection._transport.get_write_buffer_size()
        assert held <= 2 * MIB, f"{held} bytes wait for the client"
        answer = await raw.response(30.0)
    is_whole(client, answer)
    assert len(text_of(client, answer)) > 7 * MIB
    assert (await gateway.last()).verdict == "ok"


# -- more than anybody should hold ----------------------------------------------------------------


def _items(upstream: str, many: int) -> list[bytes]:
    """A stream that opens an item with every event and ends none of them."""
    opening = TONGUES[upstream].opening[0]

    def call(at: int) -> Any:
        if upstream == "chat":
            function = {"name": "f", "arguments": "{"}
            one = {"index": at, "id": f"c{at}", "type": "function", "function": function}
            return {"id": "x", "choices": [{"index": 0, "delta": {"tool_calls": [one]}}]}
        if upstream == "responses":
            item = {"type": "function_call", "call_id": f"c{at}", "name": "f", "arguments": ""}
            return {"type": "response.output_item.added", "output_index": at, "item": item}
        if upstream == "messages":
            block = {"type": "tool_use", "id": f"c{at}", "name": "f", "input": {}}
            return {"type": "content_block_start", "index": at, "content_block": block}
        return {"candidates": [{"content": {"parts": [{"functionCall": {"name": "f"}}]}}]}

    if upstream == "converse":
        return [
            opening,
            *[
                aws("contentBlockStart", {"contentBlockIndex": at,
                                          "start": {"toolUse": {"toolUseId": f"c{at}",
                                                                "name": "f"}}})
                for at in range(many)
            ],
        ]  # fmt: skip
    data = [b"data: " + json.dumps(call(at)).encode() + b"\n\n" for at in range(many)]
    return data if upstream == "gemini" else [opening, *data]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@every_pair
async def test_an_answer_of_too_many_items_is_refused(
    client: str, upstream: str, stream: bool, play: Play, launch: Launch
) -> None:
    frames = b"".join(_items(upstream, 12_000))
    gateway = await stand(
        launch, await play([expect(), *told(upstream, [frames])]), upstream, idle=5.0
    )
    oracle = Oracle(gateway)
    answer = await answer_of(gateway, client, stream=stream, within=30.0)
    if answer.status == 200:
        assert "more items" in is_broken(client, answer)["message"]
    else:
        assert (answer.status, "more items" in answer.json()["error"]["message"]) == (502, True)
    await oracle.check("upstream_error", kept=1)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@every_pair
async def test_an_answer_is_only_told_up_to_a_size(
    client: str, upstream: str, stream: bool, play: Play, launch: Launch
) -> None:
    frames = [*TONGUES[upstream].opening, b"".join(_long(upstream, 3 * MIB))]
    gateway = await stand(
        launch, await play([expect(), *told(upstream, frames)]), upstream, response_bytes=2 * MIB
    )
    oracle = Oracle(gateway)
    answer = await answer_of(gateway, client, stream=stream)
    if stream:
        assert "larger" in is_broken(client, answer)["message"]
    else:
        assert answer.status == 502
    await oracle.check("truncated" if stream else "upstream_error")
    assert gateway.sample("portico_limit_hits_total", limit="responseBytes") == 1
