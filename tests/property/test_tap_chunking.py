"""Whatever the chunks, a tap passes the same bytes on and sees the same usage and end."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.dialects import example_streams as streams

from portico.dialects.base import SpliceRequest, Tap
from portico.dialects.registry import DIALECTS
from portico.wire.sse import Frames

EXAMPLES = {
    "completions": streams.CHAT,
    "responses": streams.RESPONSES,
    "messages": streams.MESSAGES,
}
NOISE = st.lists(
    st.sampled_from(
        [
            b'data: {"usage":{"prompt_tokens":3,"input_tokens":4,"output_tokens":2},"choices":[]}',
            b'data: {"type":"message_delta","usage":{"output_tokens":7}}',
            b'data: {"choices":[{"finish_reason":"stop"}]}',
            b'data: {"type":"response.created"}',
            b'data: {"type":"error"}',
            b"data: [DONE]",
            b"event: error",
            b"data: x",
            b"\xff\xfe",
            b"id: 1",
            b": c",
            b"",
        ]
    ),
    max_size=12,
).map(lambda lines: b"\n\n".join(lines) + b"\n\n")
CUTS = st.lists(st.integers(0, 6000), max_size=20)


def play(route: str, pieces: list[bytes], hides: bool) -> tuple[bytes, bytes, Tap]:
    tap = DIALECTS[route].tap(SpliceRequest(b"", {}, "m", True, None, hides))
    frames = Frames()
    relayed = out = b""
    for piece in pieces:
        block = frames.feed(piece)
        relayed += block
        out += tap.feed(block)
    return relayed, out, tap


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(data)}), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def seen(tap: Tap) -> tuple[object, ...]:
    return tap.usage, tap.model, tap.finished, tap.failed


@pytest.mark.parametrize("route", sorted(EXAMPLES))
@given(cuts=CUTS, noise=NOISE, hides=st.booleans(), end=st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_any_chunking_gives_the_same_bytes_and_the_same_account(
    route: str, cuts: list[int], noise: bytes, hides: bool, end: bytes
) -> None:
    data = (EXAMPLES[route] + noise).replace(b"\n", end) + b": end\n\n"
    relayed, out, tap = play(route, [data], hides)
    assert relayed == data
    if not hides or route != "completions":
        assert out == data
    for pieces in (split(data, cuts), [data[at : at + 1] for at in range(len(data))]):
        other = play(route, pieces, hides)
        assert other[:2] == (relayed, out)
        assert seen(other[2]) == seen(tap)


@pytest.mark.parametrize("route", sorted(EXAMPLES))
@given(st.binary(max_size=300))
def test_any_bytes_are_relayed(route: str, data: bytes) -> None:
    frames = Frames()
    tap = DIALECTS[route].tap(SpliceRequest(b"", {}, "m", True))
    block = frames.feed(data + b"\n\n")
    assert tap.feed(block) == block
