import json

import pytest
from bench import wire

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
BODY = wire.events(10)
WHOLE = HEAD + b"".join(map(wire.chunk, BODY)) + wire.LAST_CHUNK


def test_a_whole_stream_reads_back() -> None:
    message = wire.read_chunked(WHOLE)
    assert message is not None
    assert (message.status, message.body) == (200, b"".join(BODY))


@pytest.mark.parametrize("cut", [1, 2, 5, 7, 100, len(WHOLE) - 1])
def test_a_cut_stream_is_not_whole(cut: int) -> None:
    assert wire.read_chunked(WHOLE[:-cut]) is None


@pytest.mark.parametrize("more", [b"x", b"HTTP/1.1 200 OK\r\n"])
def test_bytes_after_the_end_are_not_whole(more: bytes) -> None:
    assert wire.read_chunked(WHOLE + more) is None


def test_a_chunk_of_another_size_is_not_whole() -> None:
    assert wire.read_chunked(WHOLE.replace(b"\ndata", b"\ndat", 1)) is None


def test_events_are_what_a_chat_stream_has() -> None:
    *chunks, done = BODY
    parsed = [json.loads(event.removeprefix(b"data: ")) for event in chunks]
    assert done == b"data: [DONE]\n\n"
    assert len(BODY) == 10
    assert [c["choices"][0]["finish_reason"] for c in parsed] == [None] * 8 + ["stop"]
    assert all(200 <= len(event) <= 260 for event in chunks)
    assert json.loads(wire.USAGE_EVENT.removeprefix(b"data: "))["usage"]["prompt_tokens"] == 42


def test_the_request_frames_its_body() -> None:
    body = wire.question("m", stream=True)
    head, _, rest = wire.post(body, 80).partition(b"\r\n\r\n")
    assert rest == body
    assert wire.content_length(head) == len(body)
    assert "stream_options" not in json.loads(body)
