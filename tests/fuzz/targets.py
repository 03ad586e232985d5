"""What is fuzzed: every function that reads what a peer wrote, with what may come out of it.

A target is called with bytes. It raises for whatever must not happen: an exception that is not one
of the typed errors, output that is no JSON, a stream that breaks the grammar of its dialect.
"""

import json
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Raw
from tests.fuzz import peers, readers, routing
from tests.fuzz.kit import Run, Target, pieces
from tests.support import goldens, responses_grammar
from tests.support.goldens import Pair, case
from tests.support.mutate import Seed

from portico.dialects.gemini.schema import Budget, openapi
from portico.dialects.media import source, text_of
from portico.dialects.messages.schemas import closed
from portico.dialects.registry import DIALECTS
from portico.dialects.token_counts import COUNTERS, count_side
from portico.dialects.translators import CLIENTS, UPSTREAMS
from portico.errors import BadRequest, PorticoError, UpstreamFault, UpstreamProtocol
from portico.gateway.answers import error_headers
from portico.gateway.losses import losses_header, refuse_losses
from portico.limits import Limits
from portico.model.events import Event
from portico.model.losses import Loss, Losses
from portico.model.passes.fit import fit
from portico.model.passes.schema import mismatch
from portico.model.passes.unwrap import InputText
from portico.model.sealed import PREFIX, Sealed
from portico.model.sequence import Sequencer
from portico.policy.sealing import Sealer
from portico.wire.eventstream import EventFrames
from portico.wire.sse import Frames

LIMITS = Limits()
SPLICED = {"responses": "responses", "chat": "completions", "messages": "messages"}
STATUSES = (400, 401, 403, 404, 408, 413, 422, 424, 429, 500, 502, 503, 504, 529)
_is_object = msgspec.json.Decoder(dict[str, Raw]).decode
_is_json = msgspec.json.Decoder(Raw).decode
"""The grammar alone: `1e999` is a number, though not everybody's."""
_CONTROL = frozenset(range(32)) | {127}
_WRITTEN = ("message", "reasoning", "function_call", "custom_tool_call")


@lru_cache(maxsize=256)
def pair(name: str, client: str, upstream: str) -> Pair:
    """The request of a golden case between two dialects."""
    found = case(name)
    return Pair(found, client, upstream, goldens.body(found, client, upstream))


def requests(client: str) -> list[Seed]:
    return [Seed(case(name).request(client), "json") for name in goldens.cases()]


def answers(upstream: str) -> list[Seed]:
    found = [case(name).answer(upstream) for name in goldens.cases()]
    return [Seed(data, "json") for data in found if data is not None]


def streams(upstream: str) -> list[Seed]:
    kind = "aws" if upstream == "converse" else "sse"
    return [Seed(case(name).stream(upstream), kind) for name in goldens.cases()]  # type: ignore[arg-type]


# -- what clients write ---------------------------------------------------------------------------


def read_client(client: str) -> Run:
    """Read, fit to every provider's dialect, write. Only a `BadRequest` may come of it."""
    dialect, side = DIALECTS[SPLICED[client]], CLIENTS[client]

    def run(body: bytes) -> None:
        try:
            ask = dialect.read(body, LIMITS)
            wanted = side.read(ask.fields, ask.body, LIMITS, goldens.unseal)
        except BadRequest as error:
            _told(error, client)
            return
        for name, uplink in UPSTREAMS.items():
            if name == client:
                continue
            target = goldens.TARGETS[name]
            upstream = uplink.upstream(target["kind"], "fuzz", frozenset(), target["model"])
            losses: Losses = []
            try:
                fitted = fit(wanted, upstream.capabilities, uplink.origins(upstream), losses)
                payload = uplink.side.write(fitted.request, upstream, losses)
                head = uplink.headers(wanted)
            except BadRequest as error:
                _told(error, client)
                continue
            _is_object(payload)
            assert len(payload) <= _most(body, 40), "a small request became a large one"
            assert head.count(b"\n") <= 1
            if losses:
                _one_line(losses_header(losses))
                _told(refuse_losses(losses), client)

    return run


def _told(error: PorticoError, client: str) -> None:
    """An error can be written in the dialect of the client, and holds no line end in its head."""
    dialect = DIALECTS[SPLICED[client]]
    body = dialect.encode_error(error, "req_1")
    assert "error" in _is_object(body)
    assert len(body) < 100_000
    for line in error_headers(dialect, error, "req_1").split(b"\r\n")[:-1]:
        assert not _CONTROL & set(line)


def _one_line(header: bytes) -> None:
    assert header.endswith(b"\r\n")
    assert not _CONTROL & set(header[:-2])
    assert len(header) < 8192


def strip(body: bytes) -> None:
    """What is spliced loses the gateway's own values, and stays JSON."""
    for client, side in CLIENTS.items():
        try:
            ask = DIALECTS[SPLICED[client]].read(body, LIMITS)
        except BadRequest:
            continue
        for value in side.strip(ask.fields).values():
            _is_json(value)


def count_request(body: bytes) -> None:
    """A request that only counts, in every dialect that can be asked."""
    dialect = DIALECTS["anthropicTokenCount"]
    try:
        ask = dialect.read(body, LIMITS)
        wanted = count_side("messages").read(ask.fields, ask.body, LIMITS, goldens.unseal)
    except BadRequest:
        return
    for name, counter in COUNTERS.items():
        target = goldens.TARGETS[name]
        uplink = UPSTREAMS[name]
        upstream = uplink.upstream(target["kind"], "fuzz", frozenset(), target["model"])
        losses: Losses = []
        try:
            fitted = fit(wanted, upstream.capabilities, uplink.origins(upstream), losses)
            _is_object(counter.write(fitted.request, upstream, losses))
        except BadRequest:
            continue


# -- what providers write -------------------------------------------------------------------------


def read_answer(upstream: str) -> Run:
    """A whole answer, told in every dialect of clients. Only an `UpstreamFault` may come of it."""
    side = UPSTREAMS[upstream].side

    def run(body: bytes) -> None:
        names = goldens.cases()
        name = names[zlib.crc32(body) % len(names)]
        for client in CLIENTS:
            if client == upstream:
                continue
            found = pair(name, client, upstream)
            try:
                events = side.read(body, found.upstream)
                found.respond(events, [])
            except UpstreamFault as fault:
                _told(fault, client)

    return run


def read_stream(upstream: str) -> Run:
    """A stream, told in every dialect of clients: whole frames of JSON, a grammar that holds, and
    nothing raised but what is over a limit."""
    side = UPSTREAMS[upstream].side

    def run(stream: bytes) -> None:
        names = goldens.cases()
        name = names[zlib.crc32(stream) % len(names)]
        for client in CLIENTS:
            if client != upstream:
                _stream(pair(name, client, upstream), client, stream)

    def _stream(found: Pair, client: str, stream: bytes) -> None:
        frames: Frames | EventFrames = EventFrames() if side.framing == "aws" else Frames()
        reader = side.stream(found.upstream)
        restore = found._restore([])
        losses: Losses = []
        out = CLIENTS[client].stream(found.asked(losses))
        sequencer = Sequencer()
        told = bytearray()

        def tell(events: list[Event]) -> None:
            if restore is not None:
                events = restore.feed(events)
            told.extend(out.encode(sequencer.feed(events)))

        try:
            for piece in pieces(stream):
                block = frames.feed(piece)
                if block:
                    tell(reader.feed(block))
            if frames.pending:
                tell(reader.feed(frames.pending + b"\n\n"))
            tell(reader.end())
        except UpstreamProtocol as fault:  # of the framing only
            told.extend(out.cut(fault))
        else:
            if not sequencer.done:
                told.extend(out.cut(UpstreamProtocol("cut")))
            elif client == "responses" and told.endswith(b"data: [DONE]\n\n"):
                _grammar(bytes(told))
        _frames_of(bytes(told))
        if sequencer.fault is not None:
            _told(sequencer.fault, client)

    return run


def _grammar(stream: bytes) -> None:
    """The invariants of a Responses stream, apart from where incomplete items may stand: a provider
    can run out of tokens in several at once, or never say what came of a search."""
    final = json.loads(stream.split(b"\n\n")[-3].partition(b"data: ")[2])["response"]
    if any(
        item.get("status") == "incomplete" and item["type"] not in _WRITTEN
        for item in final["output"]
    ):
        return
    try:
        responses_grammar.check(stream)
    except AssertionError as broken:
        if "only the last item can be cut" not in str(broken):
            raise


def _frames_of(stream: bytes) -> None:
    """Every frame is one line of JSON, or the sentinel."""
    for frame in stream.split(b"\n\n")[:-1]:
        lines = frame.split(b"\n")
        data = lines[-1].removeprefix(b"data: ")
        assert len(lines) <= 2
        if data != b"[DONE]":
            _is_json(data)


def read_error(body: bytes) -> None:
    """An error answer. Never raises, and what it gives can be told."""
    status = STATUSES[zlib.crc32(body) % len(STATUSES)]
    headers = {
        b"retry-after": body[:80].replace(b"\r", b"").replace(b"\n", b""),
        b"x-amzn-errortype": body[-80:].replace(b"\r", b"").replace(b"\n", b""),
    }
    for upstream in UPSTREAMS.values():
        for given in ({}, headers):
            fault = upstream.side.read_error(status, given, body)
            assert isinstance(fault, UpstreamFault)
            assert 400 <= fault.http_status <= 599
            for client in CLIENTS:
                _told(fault, client)


def read_count(body: bytes) -> None:
    """A token count."""
    for counter in COUNTERS.values():
        try:
            found = counter.read(body)
        except (ValueError, RecursionError, UpstreamFault):
            continue
        assert isinstance(found, int)
        assert found >= 0


# -- the small readers ----------------------------------------------------------------------------


_SEALER = Sealer("a key").tenant(b"tenant")
_SEALED = Sealed("messages/somewhere", "signature", "c2lnbmF0dXJl")


def unseal(data: bytes) -> None:
    """An envelope that was changed opens to nothing."""
    text = data.decode("latin-1")
    found = _SEALER.unseal(text)
    assert found is None or (text.startswith(PREFIX) and found == _SEALED)


def data_url(data: bytes) -> None:
    """An address, a data URL, or base64."""
    text = data.decode("latin-1")
    try:
        found = source(text, "", text[:20])
    except ValueError:
        return
    text_of(found)
    assert len(found.value) <= 4 * len(text) + 4


def _most(data: bytes, times: int) -> int:
    """How large `data` may become. References are written out for Gemini, in as many places as they
    stand; what bounds that is a budget of its own."""
    return 2 * Budget().size if b"$ref" in data else times * len(data) + 65536


def gemini_schema(data: bytes) -> None:
    """A schema for Gemini: a schema, or a `BadRequest`; never much larger than what was asked."""
    losses: Losses = []
    try:
        made = openapi(Raw(data), "tools[0].parameters", losses)
    except BadRequest:
        return
    assert len(msgspec.json.encode(made)) <= _most(data, 16)


def messages_schema(data: bytes) -> None:
    """A schema for Anthropic. Its callers take these two errors."""
    try:
        made, _ = closed(Raw(data))
    except (ValueError, RecursionError):
        return
    _is_json(made)


def schema_check(data: bytes) -> None:
    """An answer against the schema a client asked for: words, whatever the schema is."""
    for text in ('{"a":"x","b":[1,null,{"c":[]}],"z":3}', "[1]", "3", '"x"', "null", "{"):
        assert isinstance(mismatch(text, Raw(data)), str)


def input_text(data: bytes) -> None:
    """The string inside a wrapped tool's arguments, as it grows."""
    text = data.decode("latin-1")
    reader = InputText()
    told = "".join([reader.feed(text[at : at + 3]) for at in range(0, len(text), 3)]) + reader.end()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return
    if isinstance(value, dict) and list(value) == ["input"] and isinstance(value["input"], str):
        assert told == value["input"] or "\\u" in text or text.count('"input"') > 1


def losses_told(data: bytes) -> None:
    """The header that tells losses is one line of ASCII, whatever the names."""
    text = data.decode("utf-8", "replace")
    losses = [Loss(part, "dropped", part) for part in text.split(",")] or [Loss("", "adapted", "")]
    header = losses_header(losses)
    _one_line(header)
    header.decode("ascii")
    for client in CLIENTS:
        _told(refuse_losses(losses), client)


# -- the table ------------------------------------------------------------------------------------

_ERRORS: tuple[Any, ...] = (
    {"error": {"message": "no", "type": "invalid_request_error", "code": "c", "param": "p"}},
    {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}},
    {"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED", "details": [
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.4s"}]}},
    [{"error": {"code": 400, "message": "API_KEY_INVALID"}}],
    {"message": "slow down", "__type": "com.amazon.coral.service#ThrottlingException"},
    {"Output": {"__type": "UnknownOperationException"}, "Version": "1.0"},
    {"detail": [{"msg": "field required", "loc": ["body"]}]},
    {"errors": [{"message": "x"}]},
)  # fmt: skip
_SCHEMAS: tuple[Any, ...] = (
    {"type": "object", "properties": {"a": {"type": ["string", "null"], "enum": ["x", None]},
     "b": {"$ref": "#/$defs/b"}}, "required": ["a"], "additionalProperties": False,
     "$defs": {"b": {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"$ref": "#"}]}}}},
    {"allOf": [{"$ref": "#/definitions/x"}, {"required": ["z"]}],
     "definitions": {"x": {"type": "object", "properties": {"z": {"const": 3}}}}},
    {"type": "array", "prefixItems": [{"type": "string"}, {"type": "number", "minimum": 0}],
     "items": False, "minItems": 2, "format": "tuple"},
    {"oneOf": [{"type": "null"}, {"type": "string", "format": "date-time", "pattern": "^a+$"}]},
)  # fmt: skip


def _json_seeds(values: tuple[Any, ...]) -> list[Seed]:
    return [Seed(json.dumps(value).encode(), "json") for value in values]


def _texts(*texts: str) -> list[Seed]:
    return [Seed(text.encode(), "bytes") for text in texts]


def _table() -> dict[str, Target]:
    table: dict[str, tuple[Run, Callable[[], list[Seed]]]] = {}
    for client in CLIENTS:
        table[f"{client} request"] = read_client(client), lambda client=client: requests(client)
    for name in UPSTREAMS:
        table[f"{name} answer"] = read_answer(name), lambda name=name: answers(name)
        table[f"{name} stream"] = read_stream(name), lambda name=name: streams(name)
    table |= {
        "strip": (strip, lambda: [seed for client in CLIENTS for seed in requests(client)]),
        "error": (read_error, lambda: _json_seeds(_ERRORS)),
        "count request": (count_request, lambda: requests("messages")),
        "count answer": (
            read_count,
            lambda: _json_seeds(({"input_tokens": 3}, {"totalTokens": 4}, {"inputTokens": 5})),
        ),
        "unseal": (unseal, lambda: _texts(_SEALER.seal(_SEALED), PREFIX, PREFIX + "A" * 60)),
        "data URL": (
            data_url,
            lambda: _texts(
                "data:image/png;base64,iVBORw0KGgo=", "data:text/plain;charset=utf-8,a%20b%ff",
                "https://a/b.pdf?x=1", "iVBORw0KGgo=", "data:,", "gs://b/k.mp4",
            ),
        ),
        "gemini schema": (gemini_schema, lambda: _json_seeds(_SCHEMAS)),
        "messages schema": (messages_schema, lambda: _json_seeds(_SCHEMAS)),
        "schema check": (schema_check, lambda: _json_seeds(_SCHEMAS)),
        "input text": (
            input_text,
            lambda: _json_seeds(
                ({"input": 'a "b"\n€\\ \ud83d\ude00'}, {"input": "x", "more": 1}, {"other": "y"})
            ),
        ),
        "losses header": (
            losses_told, lambda: _texts("temperature,tools[2],input[3].content[0],a\r\nb: c,é")
        ),
    }  # fmt: skip
    return {name: Target(*found) for name, found in table.items()}


TARGETS = _table() | readers.TARGETS | routing.TARGETS | peers.TARGETS
"""Name -> what runs, its seeds, the words of its grammar."""
