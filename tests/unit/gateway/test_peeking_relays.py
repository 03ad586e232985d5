"""A stream is not begun before it says something, and what fails by then leaves no trace."""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.faults.streams import CLOSING, OPENING
from tests.faults.tongues import TONGUES, WORDS
from tests.support.steps import frame

from portico.dialects.base import Dialect, SpliceRequest, Tap
from portico.dialects.registry import CHAT, MESSAGES, RESPONSES
from portico.dialects.translate import Asked
from portico.dialects.translators import CLIENTS, UPSTREAMS
from portico.errors import (
    PorticoError,
    UpstreamFault,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamTruncated,
)
from portico.gateway.peek import MOST_HELD, REDACTED, Peek, first_token_by
from portico.gateway.relay import LATE, StreamRelay, TranslateRelay
from portico.gateway.translation import Translation
from portico.http.deadlines import NEVER
from portico.limits import Limits
from portico.model.outcome import Outcome
from portico.policy.sealing import Sealer
from portico.state.recording import Recording, RecordingTap, Turn
from portico.wire.eventstream import EventFrames
from portico.wire.json import shallow
from portico.wire.sse import KEEP_ALIVE, Frames

DIALECTS: dict[str, Dialect] = {"chat": CHAT, "responses": RESPONSES, "messages": MESSAGES}
each_dialect = pytest.mark.parametrize("dialect", DIALECTS)
KEY = b"sk-operator"
TARGET: Any = SimpleNamespace(kind="custom", origin="o", quirks=frozenset(), secret=KEY)
BUSY: dict[str, tuple[bytes, int, str]] = {
    "chat": (
        frame('{"error": {"message": "busy sk-operator", "code": "rate_limit_exceeded"}}'),
        429, "rate_limit_exceeded",
    ),
    "responses": (
        frame({"type": "response.failed", "sequence_number": 1, "response": {
            "status": "failed", "error": {"code": "rate_limit_exceeded", "message": "busy"}}}),
        429, "rate_limit_exceeded",
    ),
    "messages": (
        frame({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}),
        529, "overloaded",
    ),
}  # fmt: skip
"""An error frame, and what it is."""


class _Reply:
    """`messages.Reply` that only notes."""

    def __init__(self) -> None:
        self.started = False
        self.ended = ""
        self.body = b""
        self.probe = b""

    def start(self, status: int, headers: bytes, length: int | None) -> None:
        assert not self.started
        self.started = True

    def write(self, data: bytes) -> None:
        assert self.started or not data, "nothing goes before the head"
        self.body += data

    def end(self) -> None:
        self.ended = "end"

    def abort(self) -> None:
        self.ended = "abort"


class _Connection:
    """What a relay needs of one."""

    def __init__(self) -> None:
        self.last_read = 100.0
        self.fault: PorticoError | None = None

    def fail(self, fault: PorticoError) -> None:
        self.fault = fault


class _Stand:
    """A relay between nothing and nothing. `tap` wraps what it reads with."""

    def __init__(
        self,
        dialect: str,
        retry: Callable[[PorticoError], bool] | None = None,
        *,
        first_token: float = NEVER,
        keep_alive: float = 15.0,
        tap: Callable[[Tap, "_Stand"], Tap] = lambda tap, stand: tap,
    ) -> None:
        row = DIALECTS[dialect]
        self.reply, self.connection = _Reply(), _Connection()
        self.outcome = Outcome("r", "POST", "peer", 0.0)
        self.inner = row.tap(SpliceRequest(b"", {}, "m", stream=True))
        self.tap = tap(self.inner, self)
        self.relay = StreamRelay(
            cast(Any, self.connection), cast(Any, self.reply), self.tap, self.outcome,
            b"", Frames(), keep_alive, Peek(row, TARGET, "m", retry), first_token,
        )  # fmt: skip


def _feed(relay: StreamRelay, pieces: list[bytes]) -> None:
    for piece in pieces:
        relay.feed(piece)


# -- holding and letting go -----------------------------------------------------------------------


@each_dialect
def test_nothing_is_written_before_a_frame_says_something(dialect: str) -> None:
    stand = _Stand(dialect)
    first, word = OPENING[dialect]
    stand.relay.feed(b": waiting\n\n")
    for _ in range(3):
        stand.relay.feed(first)
    assert (stand.reply.started, stand.outcome.first_byte) == (False, 0.0)
    assert (stand.inner.model, stand.inner.usage) == ("", None)
    stand.relay.feed(word)
    assert stand.reply.body == b": waiting\n\n" + first * 3 + word
    assert (stand.outcome.status, stand.inner.model) == (200, "m")
    for each in CLOSING[dialect]:
        stand.relay.feed(each)
        assert stand.reply.body.endswith(each)
    stand.relay.flush()
    stand.relay.finish()
    assert stand.reply.ended == "end"


@each_dialect
def test_no_more_is_held_than_a_stream_may_have_to_say(dialect: str) -> None:
    stand = _Stand(dialect)
    piece = b": " + b"x" * (MOST_HELD // 4) + b"\n\n"
    for _ in range(3):
        stand.relay.feed(piece)
    assert not stand.reply.started
    stand.relay.feed(piece)
    assert stand.reply.body == piece * 4


@each_dialect
@pytest.mark.parametrize("form", ["apart", "in one piece", "by byte"])
def test_a_fault_that_is_retried_is_raised_and_nobody_has_seen_the_attempt(
    dialect: str, form: str
) -> None:
    error, status, code = BUSY[dialect]
    asked: list[PorticoError] = []
    commits: list[bytes] = []

    class Noted(Recording):
        async def commit(self, response: bytes) -> None:
            commits.append(response)

    turn = Turn(tenant=b"t", store=True, model="m", retention=None, input=b"[]")
    recording = Noted(cast(Any, None), turn)
    stand = _Stand(
        dialect,
        lambda fault: not asked.append(fault),  # type: ignore[func-returns-value]
        tap=lambda tap, stand: RecordingTap(tap, recording, stand.reply.write),
    )
    stream = OPENING[dialect][0] + error + b"".join(CLOSING[dialect])
    pieces = {
        "apart": [OPENING[dialect][0], error],
        "in one piece": [stream],
        "by byte": [stream[at : at + 1] for at in range(len(stream))],
    }[form]
    with pytest.raises(UpstreamRejected) as raised:
        _feed(stand.relay, pieces)
    assert (raised.value.http_status, raised.value.code) == (status, code)
    assert KEY.decode() not in raised.value.message
    assert asked == [raised.value]
    assert (stand.reply.started, stand.outcome.first_byte, commits) == (False, 0.0, [])
    assert not stand.inner.failed
    stand.relay.drop()
    assert (stand.reply.body, commits, stand.inner.failed) == (b"", [], False)


@each_dialect
@pytest.mark.parametrize("retry", [None, lambda fault: False], ids=["never", "not this one"])
def test_a_fault_that_is_not_retried_is_passed_on_as_it_is(dialect: str, retry: Any) -> None:
    error = BUSY[dialect][0].replace(KEY, b"a key")
    stand = _Stand(dialect, retry)
    stand.relay.feed(OPENING[dialect][0])
    stand.relay.feed(error)
    assert stand.reply.body == OPENING[dialect][0] + error
    assert stand.inner.failed


@each_dialect
def test_a_fault_behind_the_first_word_is_nobodys_to_retry(dialect: str) -> None:
    def never(fault: PorticoError) -> bool:
        raise AssertionError("the client has a part of the answer")

    stand = _Stand(dialect, never)
    error, _, _ = BUSY[dialect]
    for each in (*OPENING[dialect], error):
        stand.relay.feed(each)
    assert stand.reply.body == b"".join(OPENING[dialect]) + error
    together = _Stand(dialect, never)
    together.relay.feed(b"".join(OPENING[dialect]) + error)
    assert together.reply.body == stand.reply.body.replace(KEY, REDACTED)


@each_dialect
@pytest.mark.parametrize("form", ["alone", "behind a beginning", "with a word", "unfinished"])
def test_an_error_with_which_an_answer_begins_does_not_quote_the_operators_key(
    dialect: str, form: str
) -> None:
    error = BUSY[dialect][0].replace(b"busy", b"bad key %b" % KEY)
    stand = _Stand(dialect)
    before = {"behind a beginning": OPENING[dialect][0], "with a word": b"".join(OPENING[dialect])}
    start = before.get(form, b"")
    if form == "unfinished":
        error = error.rstrip(b"\n")
    stand.relay.feed(start + error)
    stand.relay.flush()
    assert stand.reply.body == (start + error).replace(KEY, REDACTED)
    assert REDACTED in stand.reply.body
    assert stand.inner.failed


@each_dialect
def test_content_that_quotes_the_operators_key_is_the_providers(dialect: str) -> None:
    first, word = OPENING[dialect]
    said = word.replace(b"one", KEY)
    stand = _Stand(dialect)
    stand.relay.feed(first + said)
    assert (KEY in said, stand.reply.body) == (True, first + said)


@each_dialect
@pytest.mark.parametrize(
    "message", [b'"\\ud800 sk-operator"', b"[" * 5000 + b"]" * 5000], ids=["surrogate", "deep"]
)
def test_an_error_that_cannot_be_read_is_one(dialect: str, message: bytes) -> None:
    stand = _Stand(dialect, lambda fault: True)
    error = b'event: error\ndata: {"type":"error","error":{"message":%b}}\n\n' % message
    stand.relay.feed(OPENING[dialect][0])
    with pytest.raises(UpstreamRejected) as raised:
        stand.relay.feed(error)
    assert raised.value.http_status == 502
    assert KEY.decode() not in raised.value.message + raised.value.debug
    assert not stand.reply.started


def test_a_reason_to_finish_that_is_a_failure_is_one() -> None:
    """DeepSeek has no other word for it."""
    stand = _Stand("chat", lambda fault: True)
    stand.relay.feed(OPENING["chat"][0])
    choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "insufficient_system_resource"}
    with pytest.raises(UpstreamFault) as raised:
        stand.relay.feed(frame(json.dumps({"id": "c", "choices": [choice]})))
    assert raised.value.http_status == 503


def test_what_only_looks_like_an_error_is_content() -> None:
    stand = _Stand("chat", lambda fault: True)
    odd = frame('{"choices":[{"index":0,"delta":{},"error":{}}],"x_groq":{"error":null,"id":"1"}}')
    stand.relay.feed(odd)
    assert stand.reply.body == odd


# -- ends -----------------------------------------------------------------------------------------


@each_dialect
def test_a_stream_of_nothing_but_its_beginning_is_cut_before_it_began(dialect: str) -> None:
    stand = _Stand(dialect)
    stand.relay.feed(OPENING[dialect][0] + b"data: {")
    stand.relay.flush()
    with pytest.raises(UpstreamTruncated):
        stand.relay.finish()
    stand.relay.drop()
    assert (stand.reply.started, stand.reply.body) == (False, b"")
    assert stand.inner.model == "m", "it is in the record nevertheless"


@each_dialect
def test_a_last_frame_without_its_blank_line_takes_along_what_was_held(dialect: str) -> None:
    first, last = OPENING[dialect][0], CLOSING[dialect][-1].rstrip(b"\n")
    stand = _Stand(dialect)
    stand.relay.feed(first + last)
    stand.relay.flush()
    stand.relay.finish()
    assert (stand.reply.body, stand.reply.ended) == (first + last, "end")


async def test_a_last_frame_that_waits_for_its_commit_finds_the_answer_begun() -> None:
    class Quick(Recording):
        async def commit(self, response: bytes) -> None:
            assert json.loads(response)["id"] == "resp_1"

    turn = Turn(tenant=b"t", store=True, model="m", retention=None, input=b"[]")
    recording = Quick(cast(Any, None), turn)
    taps: list[RecordingTap] = []

    def wrap(tap: Tap, stand: _Stand) -> Tap:
        taps.append(RecordingTap(tap, recording, stand.reply.write))
        return taps[0]

    stand = _Stand("responses", tap=wrap)
    first, last = OPENING["responses"][0], CLOSING["responses"][-1]
    stand.relay.feed(first + last.rstrip(b"\n"))
    stand.relay.flush()
    assert stand.reply.body == first
    await taps[0].settled()
    stand.relay.finish()
    assert (stand.reply.body, stand.reply.ended) == (first + last, "end")


# -- time -----------------------------------------------------------------------------------------


def test_the_first_token_is_due_from_when_the_request_was_sent() -> None:
    outcome = Outcome("r", "POST", "peer", 0.0, upstream_started=10.0)
    for seconds, due in ((2.5, 12.5), (NEVER, NEVER)):
        target: Any = SimpleNamespace(first_token=seconds)
        assert first_token_by(target, outcome) == due


@each_dialect
def test_a_stream_that_says_nothing_in_time_is_ended(dialect: str) -> None:
    stand = _Stand(dialect, first_token=130.0)
    stand.relay.feed(OPENING[dialect][0])
    assert stand.relay.deadline == 130.0, "and no keep-alive goes before it"
    stand.relay.expire(130.05)
    fault = stand.connection.fault
    assert isinstance(fault, UpstreamTimeout)
    assert (fault.message, fault.http_status) == (LATE, 504)
    assert (stand.reply.started, stand.relay.deadline) == (False, NEVER)


@each_dialect
@pytest.mark.parametrize("keep_alive", [15.0, 0.0])
def test_a_stream_that_has_begun_is_not_late(dialect: str, keep_alive: float) -> None:
    stand = _Stand(dialect, first_token=130.0, keep_alive=keep_alive)
    for each in OPENING[dialect]:
        stand.relay.feed(each)
    begun = stand.outcome.first_byte
    assert stand.relay.deadline == (begun + keep_alive if keep_alive else NEVER)


@each_dialect
def test_a_client_that_waits_is_told_that_the_line_is_alive(dialect: str) -> None:
    """Nobody may ask somebody else after that: an error is told inside the stream."""
    stand = _Stand(dialect, lambda fault: True)
    stand.relay.feed(OPENING[dialect][0])
    assert stand.relay.deadline == 115.0
    stand.relay.expire(115.02)
    assert stand.reply.body == OPENING[dialect][0] + KEEP_ALIVE
    assert stand.relay.deadline == pytest.approx(130.02)
    stand.relay.feed(BUSY[dialect][0])
    assert stand.reply.body.endswith(BUSY[dialect][0])
    silent = _Stand(dialect)
    silent.relay.expire(115.02)
    assert silent.reply.body == KEEP_ALIVE
    silent.relay.cut(UpstreamTruncated("cut"))
    assert (b'"error"' in silent.reply.body, silent.reply.ended) == (True, "abort")


def test_comments_of_the_provider_do_not_keep_the_client_waiting_for_ever() -> None:
    stand = _Stand("chat")
    comment = b": OPENROUTER PROCESSING\n\n"
    for second in (105.0, 110.0, 114.0):
        stand.connection.last_read = second
        stand.relay.feed(comment)
    stand.relay.expire(115.02)
    assert stand.reply.body == comment * 3, "which tells it as well as ours would"
    assert stand.relay.deadline == 129.0


# -- translated -----------------------------------------------------------------------------------


class _Translated:
    """A relay that tells one dialect in another."""

    def __init__(self, client: str, upstream: str, first_token: float = NEVER) -> None:
        body = json.dumps({"model": "m", "input": "hi", "max_tokens": 9, "stream": True,
                           "messages": [{"role": "user", "content": "hi"}]}).encode()  # fmt: skip
        fields, sealer = shallow(body), Sealer("s").tenant(b"")
        side, uplink = CLIENTS[client], UPSTREAMS[upstream]
        wanted = side.read(fields, body, Limits(), sealer.unseal)
        asked = Asked(
            request=wanted, fields=fields, base="0" * 32, created=1, clock=lambda: 1.0,
            model="m", seal=sealer.seal, losses=[],
        )  # fmt: skip
        reader = uplink.side.stream(uplink.upstream("custom", "o", frozenset(), "m"))
        translation = Translation(reader, side.stream(asked), None, wanted)
        self.reply, self.connection = _Reply(), _Connection()
        self.outcome = Outcome("r", "POST", "peer", 0.0)
        frames = EventFrames(1 << 20) if upstream == "converse" else Frames()
        self.translation = translation
        self.relay = TranslateRelay(
            cast(Any, self.connection), cast(Any, self.reply), translation, self.outcome,
            b"", frames, 15.0, 1 << 20, translation, first_token,
        )  # fmt: skip

    def error(self) -> Any:
        lines = [line[6:] for line in self.reply.body.split(b"\n") if line.startswith(b"data: {")]
        return next(each["error"] for each in map(json.loads, lines) if each.get("error"))


PAIRS = [
    (client, upstream)
    for client in ("responses", "chat", "messages")
    for upstream in ("responses", "chat", "messages", "gemini", "converse")
    if client != upstream
]
every_pair = pytest.mark.parametrize(("client", "upstream"), PAIRS)
BEGINNING = {"responses": 1, "chat": 1, "messages": 1, "gemini": 0, "converse": 1}
"""How many frames of a tongue's opening say nothing."""


@every_pair
def test_a_translated_stream_begins_with_its_first_word(client: str, upstream: str) -> None:
    stand = _Translated(client, upstream)
    tongue = TONGUES[upstream]
    for each in tongue.opening[: BEGINNING[upstream]]:
        stand.relay.feed(each)
    assert not stand.reply.started
    for each in (*tongue.opening[BEGINNING[upstream] :], *tongue.closing):
        stand.relay.feed(each)
    stand.relay.flush()
    stand.relay.finish()
    assert stand.reply.ended == "end"
    assert WORDS[-1:].encode() in stand.reply.body


@every_pair
def test_a_translated_fault_before_the_first_word_is_raised(client: str, upstream: str) -> None:
    stand = _Translated(client, upstream)
    tongue = TONGUES[upstream]
    with pytest.raises(UpstreamRejected) as raised:
        _feed(stand.relay, [*tongue.opening[: BEGINNING[upstream]], tongue.error])
    assert raised.value.http_status in (502, 503, 529)
    assert (stand.reply.started, stand.reply.body) == (False, b"")


@every_pair
def test_a_translated_fault_after_the_line_was_kept_alive_is_told_inside(
    client: str, upstream: str
) -> None:
    stand = _Translated(client, upstream)
    tongue = TONGUES[upstream]
    for each in tongue.opening[: BEGINNING[upstream]]:
        stand.relay.feed(each)
    stand.relay.expire(115.02)
    assert stand.reply.body.endswith(KEEP_ALIVE)
    stand.relay.feed(tongue.error)
    assert "overloaded" in stand.error()["message"]
    assert stand.translation.failed


@every_pair
def test_a_translated_stream_cut_after_the_line_was_kept_alive_says_so(
    client: str, upstream: str
) -> None:
    stand = _Translated(client, upstream)
    stand.relay.expire(115.02)
    stand.relay.cut(UpstreamTruncated("It was cut."))
    assert stand.error()["message"] == "It was cut."
    assert stand.reply.ended == "abort"


def test_counts_alone_are_no_answer_but_are_not_held_for_ever() -> None:
    stand = _Translated("chat", "messages")
    start = TONGUES["messages"].opening[0]
    for _ in range(10):
        stand.relay.feed(start)
    assert not stand.reply.started
    for _ in range(100):
        stand.relay.feed(start)
    assert stand.reply.started


def test_a_translated_stream_that_says_nothing_in_time_is_ended() -> None:
    stand = _Translated("chat", "messages", 130.0)
    stand.relay.feed(TONGUES["messages"].opening[0])
    stand.relay.expire(130.0)
    assert isinstance(stand.connection.fault, UpstreamTimeout)
    assert not stand.reply.started
