"""Every fault that a provider can have, between every two dialects.

What holds after each: the client is told in its own dialect, never that a broken answer is whole;
there is exactly one record and it says what happened; nothing stays in flight, open or running.
"""

import json
from zlib import crc32

import pytest
from tests.faults.conftest import Launch, Play, answer_of
from tests.faults.lane import MIB, Oracle, every_pair, stand
from tests.faults.tongues import (
    COUNTS,
    PAIRS,
    TONGUES,
    WORDS,
    answered,
    aws,
    is_broken,
    is_whole,
    text_in,
    text_of,
    told,
)
from tests.support.gateway import OPERATOR_KEY
from tests.support.steps import LAST_CHUNK, Script, chunk
from tests.support.toxics import TcpProxy, Toxics
from tests.support.upstream import (
    expect,
    fin,
    hang,
    http_head,
    http_json,
    rst,
    send,
    sleep,
)

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
    script = [
        expect(), *told("converse", tongue.opening[:-1], end=False), sleep(0.1),
        *[send(chunk(each)) for each in (damaged, *tongue.closing)], send(LAST_CHUNK),
    ]  # fmt: skip
    gateway = await stand(launch, await play(script), "converse")
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
    script = [
        expect(), *told(upstream, tongue.opening, end=False), sleep(0.1),
        *[send(chunk(each)) for each in (tongue.error, *tongue.closing)], send(LAST_CHUNK),
    ]  # fmt: skip
    gateway = await stand(launch, await play(script), upstream)
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
        assert answer.status in (429, 500, 502, 503, 529), answer.body
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
    }
    if upstream == "gemini":  # its reason to finish may come before the last words
        del many["events after the end"], many["an error after the end"]
    else:
        many["the beginning twice"] = [tongue.opening[0], *frames]
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


ODD = [(client, upstream, name) for client, upstream in PAIRS for name in _odd(upstream)]


@pytest.mark.parametrize(("client", "upstream", "odd"), ODD)
async def test_an_odd_stream_that_is_whole_is_told_whole(
    client: str, upstream: str, odd: str, play: Play, launch: Launch
) -> None:
    frames = _odd(upstream)[odd]
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
            counted = outcome.usage is not None and not outcome.usage.estimated
            assert not counted or outcome.usage.total == 0
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
