"""The small readers: text and frames to values, without a dialect."""

import json
import zlib
from pathlib import Path
from typing import Any

from msgspec import Raw
from tests.fuzz.kit import Target, pieces
from tests.support import goldens
from tests.support.mutate import Seed

from portico.config.errors import ConfigError, Problem
from portico.config.load import loads
from portico.config.parse import Form
from portico.config.settings import Settings
from portico.errors import BadRequest, TooLarge, UnsupportedEncoding, UpstreamProtocol
from portico.http.body import decoded
from portico.limits import Limits
from portico.wire.eventstream import EventFrames, decode
from portico.wire.json import depth, is_json, one_line, shallow, splice, structure, untouched
from portico.wire.sse import Decoder, Frames, frame_data, frame_event, iter_frames

_FRAME_MOST = 1 << 20

# -- frames ---------------------------------------------------------------------------------------


def eventstream(data: bytes) -> None:
    """Binary messages: the same ones however they are cut, or a typed error."""
    assert _messages([data]) == _messages(pieces(data))


def _messages(cut: list[bytes]) -> Any:
    frames, out = EventFrames(_FRAME_MOST), []
    try:
        for piece in [*cut, b""]:  # what is wrong behind something whole shows with the next call
            block = frames.feed(piece)
            if block:
                out += decode(block)
    except UpstreamProtocol as fault:
        return type(fault)
    return [(list(message.headers.items()), message.payload) for message in out]


def sse(data: bytes) -> None:
    """Frames: the same bytes whatever the chunks, and the frames of a block are the block."""
    seen = []
    for cut in ([data], pieces(data)):
        frames = Frames(_FRAME_MOST)
        block = b"".join([frames.feed(piece) for piece in cut])
        assert b"".join(iter_frames(block)) == block
        seen.append((block, frames.pending))
    assert seen[0] == seen[1]


def sse_events(data: bytes) -> None:
    """Events: the same whatever the chunks, and what the splice lane reads in passing."""
    seen = []
    for cut in ([data], pieces(data)):
        decoder = Decoder(_FRAME_MOST)
        events = [event for piece in cut for event in decoder.feed(piece)]
        seen.append(events + decoder.finish())
    assert seen[0] == seen[1]
    frames = Frames(_FRAME_MOST)
    block = frames.feed(data) + frames.finish()
    if b"\xef\xbb\xbf" in block:  # at the beginning of a stream only; a tap knows no beginning
        return
    told = [frame for frame in iter_frames(block) if frame_data(frame)]
    given = [event for event in seen[0] if event.data]
    assert [frame_data(frame) for frame in told] == [event.data for event in given]
    names = [frame_event(frame).decode(errors="replace") or "message" for frame in told]
    assert names == [event.event for event in given]


# -- JSON -----------------------------------------------------------------------------------------


def json_object(data: bytes) -> None:
    """One level of an object: exact members that any parser reads the same, or a `BadRequest`."""
    try:
        fields = shallow(data)
    except BadRequest:
        return
    marks = structure(data)
    assert 1 <= depth(marks) <= 128
    assert len(marks) <= len(data)
    for value in fields.values():
        assert is_json(bytes(value))
        assert not {10, 13} & set(one_line(value))
    whole = _read(data)
    assert _same(whole, {name: _read(bytes(value)) for name, value in fields.items()})
    assert _same(whole, _read(untouched(data, fields)))
    spliced = splice(fields, {"model": b'"m"'})
    assert _same({**whole, "model": "m"}, _read(spliced))
    assert shallow(spliced) == {**fields, "model": Raw(b'"m"')}


def _read(text: bytes) -> Any:
    """Another parser's view. Integers as text: this one bounds their digits."""
    return json.loads(text, parse_int=str)


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) or repr(one) == repr(other)  # NaN is not itself


def inflate(data: bytes) -> None:
    """A compressed body: bounded, and the bytes that were compressed, or a typed error."""
    limits = Limits(body_bytes=1 << 18)
    coding, _, body = data.partition(b"\n")
    try:
        plain = decoded(coding, body, limits)
    except (BadRequest, TooLarge, UnsupportedEncoding):
        return
    assert len(plain) <= limits.body_bytes or plain is body
    if plain is not body:
        assert plain == zlib.decompress(body, wbits=31)


# -- configuration --------------------------------------------------------------------------------

_ENV = {"OPENAI_API_KEY": "sk-1", "A": "x"}


def config(data: bytes) -> None:
    """A document in any form: settings, or a `ConfigError` that can be shown."""
    text = data.decode("utf-8", "surrogateescape")
    forms: tuple[Form, ...] = ("yaml", "toml", "json")
    for form in forms:
        problems: tuple[Problem, ...] = ()
        found: Settings | None = None
        try:
            found = loads(text, _ENV, name="f", form=form, read=str)
        except ConfigError as error:
            problems = error.problems
            str(error).encode()
        assert isinstance(found, Settings) or problems


# -- the table ------------------------------------------------------------------------------------

_OBJECTS: tuple[bytes, ...] = (
    b'{"model":"a","n":2.50,"s":"\\u00e9\\"]","l":[[],{"a":{}}],"t":true,"x":null}',
    b'{ "a" : 1e999 , "a" : -0.0 , "" : "\\ud83d\\ude00" }', b"{}",
    b'{"a":' * 40 + b"1" + b"}" * 40,
    b'{"a":' + b"1" * 5000 + b"}", '{"é":"€\u2028"}'.encode(),
)  # fmt: skip


def _streams(*upstreams: str) -> list[Seed]:
    return [
        Seed(goldens.case(name).stream(upstream), "aws" if upstream == "converse" else "sse")
        for upstream in upstreams
        for name in goldens.cases()
    ]


def _compressed() -> list[Seed]:
    plain = zlib.compress(b'{"model":"a"}' * 30, wbits=31)
    bomb = zlib.compress(bytes(1 << 20), wbits=31)
    bodies = (b"gzip\n" + plain, b"x-gzip\n" + bomb, b"identity\n{}", b"gzip\n" + plain * 2)
    return [Seed(body, "bytes") for body in (*bodies, b"br\nx", b"gzip\n" + plain[:-3])]


def _documents() -> list[Seed]:
    found = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
    written = [
        b'{"llm":{"models":[{"name":"*","provider":"openAI","params":{"apiKey":"$A"}}]}}',
        b'[llm]\nport = 4000\n[[llm.models]]\nname = "fast"\nprovider = "anthropic"\n',
        b"a: &a [*a]\nb: {<<: {c: 1:30}, ? [x] : !!binary aGk=}\n--- |\n  x\n",
    ]
    return [Seed(path.read_bytes(), "bytes") for path in found] + [
        Seed(text, "json" if text[:1] == b"{" else "bytes") for text in written
    ]


_SSE_WORDS = (
    b"data: ",
    b"event: ",
    b"id: ",
    b"retry: 1",
    b"\r\n",
    b"\n\n",
    b"\r\r",
    b"\xef\xbb\xbf",
)
_JSON_WORDS = (b'{"', b'":', b'","', b"\\u", b"\\\\", b"null", b"true", b"1e9", b'"model"', b"[[")
_CONFIG_WORDS = (
    b"llm:\n", b"models:\n", b"  - name: ", b"provider: ", b"params: {", b"binds:\n", b"config:\n",
    b"virtualModels:\n", b"targets:\n", b"retry: ", b"timeout: ", b"health: ", b"$A", b"${A:-b}",
    b"file:", b"!!", b"&a ", b"*a", b"<<: ", b"? ", b"|\n", b"5m", b": ", b"\n- ", b"\n  ",
)  # fmt: skip

TARGETS = {
    "eventstream": Target(eventstream, lambda: _streams("converse")),
    "sse": Target(sse, lambda: _streams("responses", "chat"), _SSE_WORDS),
    "sse events": Target(sse_events, lambda: _streams("messages", "gemini"), _SSE_WORDS),
    "json": Target(json_object, lambda: [Seed(text, "json") for text in _OBJECTS], _JSON_WORDS),
    "gzip": Target(inflate, _compressed),
    "config": Target(config, _documents, _CONFIG_WORDS),
}
