"""Frames to messages: every legal form is one message, every other form ends the connection."""

import asyncio
import logging
import os

import pytest
from tests.support.websocket_client import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    close_frame,
    frame,
)
from tests.unit.http.conftest import Talk
from tests.unit.http.talking import settled

both_loops = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])


@both_loops
@pytest.mark.parametrize("size", [None, 1, 3])
async def test_a_message_in_fragments_is_one_message(size: int | None, talk: Talk) -> None:
    server = await talk()
    text = "grüße 🙂"
    raw = text.encode()
    async with await server.open() as client:
        for cut in range(len(raw)):  # inside characters, too
            pieces = frame(TEXT, raw[:cut], fin=False) + frame(CONT, b"", fin=False)
            await client.send(pieces + frame(CONT, raw[cut:]), size=size)
            assert await client.heard() == raw
    assert set(server.talker.taken) == {text}


@both_loops
async def test_control_frames_between_fragments_are_answered_at_once(talk: Talk) -> None:
    server = await talk()
    async with await server.open() as client:
        await client.send(frame(TEXT, b"one ", fin=False) + frame(PING, b"are you there"))
        assert await client.hear() == (PONG, b"are you there", True)
        await client.send(frame(PONG, b"unasked") + frame(CONT, b"message"))
        assert await client.heard() == b"one message"


async def test_sizes_on_both_sides_of_every_length_form_pass(talk: Talk) -> None:
    server = await talk()
    async with await server.open() as client:
        for size in (1, 125, 126, 127, 65_535, 65_536, 200_000):
            await client.say(b"s" * size)
            assert await client.heard() == b"s" * size
        await client.say(b"")
        assert await client.heard() == b""


BAD = {
    "unmasked": (frame(TEXT, b"hi", mask=False), 1002),
    "reserved bit 1, as deflate would": (frame(TEXT, b"hi", bits=0x40), 1002),
    "reserved bit 2": (frame(TEXT, b"hi", bits=0x20), 1002),
    "reserved bit 3": (frame(TEXT, b"hi", bits=0x10), 1002),
    "unknown opcode": (frame(3, b"hi"), 1002),
    "unknown control opcode": (frame(11, b"hi"), 1002),
    "long ping": (frame(PING, b"p" * 126), 1002),
    "ping in fragments": (frame(PING, b"p", fin=False), 1002),
    "continuation of nothing": (frame(CONT, b"hi"), 1002),
    "text inside a message": (frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), 1002),
    "close code 999": (close_frame(999), 1002),
    "close code 1005": (close_frame(1005), 1002),
    "close code 1004": (close_frame(1004), 1002),
    "close of one byte": (frame(CLOSE, b"\x03"), 1002),
    "close reason not UTF-8": (close_frame(1000, b"\xff"), 1007),
    "close inside a message": (frame(TEXT, b"a", fin=False) + close_frame(1000), 1002),
    "binary": (frame(BINARY, b"hi"), 1003),
    "binary in fragments": (frame(BINARY, b"hi", fin=False), 1003),
    "not UTF-8": (frame(TEXT, b"\xff\xfe"), 1007),
    "a surrogate": (frame(TEXT, b"\xed\xa0\x80"), 1007),
    "half a character": (frame(TEXT, b"\xc3", fin=False) + frame(CONT, b""), 1007),
    "too large": (frame(TEXT, b"x" * 70_001), 1009),
    "too large in fragments": (
        frame(TEXT, b"x" * 40_000, fin=False) + frame(CONT, b"x" * 30_001),
        1009,
    ),
    "announces 2 to the 63": (b"\x81\xff" + (1 << 63).to_bytes(8, "big") + b"\0\0\0\0", 1009),
    "announces 16 MiB": (b"\x81\xff" + (1 << 24).to_bytes(8, "big") + b"\0\0\0\0", 1009),
    "HTTP": (b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", 1002),
}


@both_loops
@pytest.mark.parametrize("busy", [False, True])
@pytest.mark.parametrize("name", BAD)
async def test_a_broken_frame_ends_the_connection_with_its_code(
    name: str, busy: bool, talk: Talk
) -> None:
    raw, code = BAD[name]
    server = await talk(body_bytes=70_000)
    client = await server.open()
    if busy:
        await client.say("hang")
        await settled(lambda: server.talker.taken == ["hang"])
    await client.send(raw)
    assert await client.ended() == code
    client.close()
    await settled(server.quiet)
    assert server.talker.ended == (["cancelled"] if busy else [code])
    assert server.events.limits == (["bodyBytes"] if code == 1009 else [])


async def test_a_broken_frame_byte_by_byte_is_broken_too(talk: Talk) -> None:
    server = await talk(body_bytes=70_000)
    for name in ("not UTF-8", "text inside a message", "close code 999", "announces 16 MiB"):
        raw, code = BAD[name]
        async with await server.open() as client:
            await client.send(raw[:-1], size=1)
            await client.send(raw[-1:])
            assert await client.ended() == code


async def test_what_comes_after_a_broken_frame_is_not_read(talk: Talk) -> None:
    server = await talk()
    async with await server.open() as client:
        await client.send(frame(TEXT, b"\xff") + frame(TEXT, b"bye 1000") + frame(BINARY))
        assert await client.ended() == 1007
    assert server.talker.taken == []


async def test_noise_never_gets_more_than_a_close(
    talk: Talk, caplog: pytest.LogCaptureFixture
) -> None:
    server = await talk(body_bytes=10_000)
    for number in range(60):
        async with await server.open() as client:
            await client.send(os.urandom(10 + number * 20))
            client.half_close()
            assert await client.closed(5) < 5
    await settled(server.quiet)
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []


async def test_frames_are_never_logged(talk: Talk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server = await talk()
    async with await server.open() as client:
        await client.say("CANARY in a frame")
        await client.heard()
        await client.send(frame(TEXT, b"CANARY \xff"))
        await client.ended()
    assert "CANARY" not in caplog.text


# -- how much may be said at once ---------------------------------------------------------------


@both_loops
async def test_a_flood_of_messages_waits_outside(talk: Talk) -> None:
    server = await talk(websocket_queued_messages=8, body_bytes=1 << 20)
    client = await server.open()
    await client.say("wait")
    flood = frame(TEXT, b"m" * 1000) * 20_000
    sending = asyncio.ensure_future(client.send(flood))
    (connection,) = server.server.connections
    await settled(lambda: connection._paused)  # type: ignore[union-attr]
    await asyncio.sleep(0.2)
    assert not sending.done(), "the kernels have taken what they can, and so have we"
    assert len(connection._ready) <= 8 + 5  # type: ignore[union-attr]
    assert server.server.buffered_bytes < 1 << 20
    server.talker.go.set()
    for _ in range(20_000):
        assert len(await client.heard()) == 1000
    await sending
    assert len(server.talker.taken) == 20_001
    client.close()
    await settled(server.quiet)


async def test_messages_that_wait_are_given_in_order(talk: Talk) -> None:
    server = await talk(websocket_queued_messages=2)
    async with await server.open() as client:
        await client.say("wait")
        for number in range(3000):
            await client.say(str(number))
        server.talker.go.set()
        assert [await client.heard() for _ in range(3000)] == [b"%d" % n for n in range(3000)]


async def test_a_flood_of_empty_fragments_holds_nothing(talk: Talk) -> None:
    server = await talk()
    async with await server.open() as client:
        await client.send(frame(TEXT, b"", fin=False) + frame(CONT, b"", fin=False) * 50_000)
        (connection,) = server.server.connections
        assert len(connection._partial) == 0  # type: ignore[union-attr]
        await client.send(frame(CONT, b"at last"))
        assert await client.heard(20) == b"at last"


async def test_large_messages_share_the_room_of_bodies(talk: Talk) -> None:
    server = await talk(buffered_body_bytes=500_000, body_bytes=1 << 20)
    first = await server.open()
    await first.say("wait")
    await first.say(b"x" * 400_000)
    await settled(lambda: server.server.buffered_bytes > 400_000)
    second = await server.open()
    await second.say(b"y" * 300_000)
    assert await second.ended() == 1013
    assert server.events.limits == ["bufferedBodyBytes"]
    second.close()
    server.talker.go.set()
    assert len(await first.heard()) == 400_000
    await settled(lambda: server.server.buffered_bytes == 0)
    first.close()


async def test_a_message_that_is_being_answered_is_still_counted(talk: Talk) -> None:
    server = await talk()
    async with await server.open() as client:
        await client.say("sleep" + " " * 200_000)
        assert len(await client.heard()) == 200_005
        await settled(lambda: server.server.buffered_bytes == 0)
        await client.send(frame(TEXT, b"x" * 200_000, fin=False))
        await settled(lambda: server.server.buffered_bytes >= 200_000)


async def test_half_a_message_has_a_deadline(talk: Talk) -> None:
    server = await talk(body=0.3)
    for half in (frame(TEXT, b"abc", fin=False), frame(TEXT, b"x" * 20_000)[:9000]):
        async with await server.open() as client:
            await client.send(half)
            assert await client.ended() == 1008
    assert server.events.limits == ["body", "body"]


async def test_a_message_that_waits_for_others_is_not_late(talk: Talk) -> None:
    server = await talk(body=0.2, websocket_queued_messages=1)
    async with await server.open() as client:
        await client.say("wait")
        await client.say("one")
        await client.send(frame(TEXT, b"two, cut")[:-3])
        await asyncio.sleep(0.5)
        await client.send(b"cut")
        server.talker.go.set()
        assert [await client.heard(), await client.heard()] == [b"one", b"two, cut"]
