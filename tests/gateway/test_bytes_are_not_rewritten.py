"""Promise 4: when both sides speak the same dialect, your bytes are not rewritten."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.conftest import Launch, Play
from tests.support.asks import PATHS, ask
from tests.support.gateway import (
    CALLER_KEY,
    OPERATOR_KEY,
    Gateway,
    caller,
    model,
    provider,
    route,
    settings,
)
from tests.support.raw import RawClient, RawResponse
from tests.support.upstream import LAST_CHUNK, ScriptedUpstream, chunk, expect, http_head, send

DIALECTS = sorted(PATHS)
AUTH = {"authorization": f"Bearer {CALLER_KEY}"}
ODD = (
    b'"n":2.50, "e":1E+5,"big":123456789012345678901234567890 ,"esc":"\\u00e9\\/\\ud83d\\ude00",'
    b'"utf":"\xc3\xa9\xf0\x9f\x98\x80","minus":-0.0,"nested":{"a" :[ 1,2 , {"b":null}]}'
)
USAGE = {
    "chat": b'"usage": {"prompt_tokens":11,"completion_tokens":7,"total_tokens":18}',
    "responses": b'"usage": {"input_tokens":11,"output_tokens":7,"total_tokens":18}',
    "messages": b'"usage": {"input_tokens":11,"output_tokens":7}',
}
ENDS = {
    "chat": b"data: [DONE]\n\n",
    "responses": b'event: response.completed\r\ndata: {"type":"response.completed","response":'
    b'{"status":"completed",%b}}\r\n\r\n' % USAGE["responses"],
    "messages": b'event: message_delta\ndata: {"type":"message_delta","delta":{},%b}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n' % USAGE["messages"],
}


@pytest.fixture
async def upstream(play: Play) -> ScriptedUpstream:
    return await play()


@pytest.fixture
async def gate(launch: Launch, upstream: ScriptedUpstream) -> Gateway:
    """`alias` becomes `up-1`; `same` stays what it is."""
    served = provider(upstream.url)
    models = [model("alias", served, "up-1"), model("same", served, "same")]
    return await launch(settings(route(models, [caller()])))


async def post(
    gate: Gateway, dialect: str, body: bytes | dict[str, Any], headers: dict[str, str] | None = None
) -> RawResponse:
    async with await RawClient.connect(gate.port) as client:
        await client.request("POST", PATHS[dialect], body, {**AUTH, **(headers or {})})
        return await client.response()


def answered(body: bytes, headers: dict[str, str] | None = None) -> Any:
    """The steps of a whole JSON answer made of exactly those bytes."""
    base = {"content-type": "application/json", "content-length": str(len(body))}
    return [expect(), send(http_head(200, {**base, **(headers or {})}) + body)]


def small(dialect: str) -> bytes:
    return b'{"id":"x",%b}' % USAGE[dialect]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("size", [None, 1, 7])
async def test_an_answer_reaches_the_client_exactly(
    dialect: str, size: int | None, gate: Gateway, upstream: ScriptedUpstream
) -> None:
    body = b'\r\n { "model" : "m-2026",%b,%b, "again":1,"again":2 }\n\n' % (ODD, USAGE[dialect])
    steps = [expect(), send(answered(body)[1].data, size=size)]
    upstream.add(steps)
    answer = await post(gate, dialect, ask(dialect, model="alias"))
    assert answer.status == 200
    assert answer.body == body
    assert answer.framing == "length"
    outcome = await gate.last()
    assert (outcome.lane, outcome.verdict, outcome.status) == ("splice", "ok", 200)
    assert (outcome.alias, outcome.request_model) == ("alias", "alias")
    assert (outcome.upstream_model, outcome.response_model) == ("up-1", "m-2026")
    assert outcome.usage is not None
    assert (outcome.usage.input_total, outcome.usage.output_total) == (11, 7)
    assert outcome.bytes_out == len(body)
    assert outcome.upstream_finished >= outcome.upstream_first_byte >= outcome.upstream_started > 0


def slices(data: bytes, size: int | None) -> Iterator[bytes]:
    step = size or len(data)
    for start in range(0, len(data), step):
        yield chunk(data[start : start + step])


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("size", [None, 1, 5, 64])
async def test_a_stream_reaches_the_client_exactly(
    dialect: str, size: int | None, gate: Gateway, upstream: ScriptedUpstream
) -> None:
    stream = (
        b"\xef\xbb\xbf: a comment\r\n\r\nretry: 10\nid: 7\n\n"
        b'data: {"type":"x",%b}\r\n\r\n'
        b'event: odd\rdata: {"type":"y"\rdata: ,"z":1}\r\r'
        b"data\n\n:\n\n"
        b'data: {"type":"z","text":"\xf0\x9f\x98\x80\xf0\x9f\x98\x80"}\n\n' % ODD
    ) + ENDS[dialect]
    head = http_head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})
    upstream.add(
        [expect(), send(head), send(b"".join(slices(stream, size)) + LAST_CHUNK, size=size)]
    )
    options = {"stream_options": {"include_usage": True}} if dialect == "chat" else {}
    answer = await post(gate, dialect, ask(dialect, model="alias", stream=True, **options))
    assert (answer.status, answer.ended) == (200, True)
    assert answer.body == stream
    assert answer.header("content-type") == "text/event-stream"
    assert (await gate.last()).verdict == "ok"


def request_body(name: str) -> bytes:
    """Valid in all three dialects, and written as nobody's encoder would."""
    content = b'[ {"role" : "user","content":"caf\\u00e9 \xf0\x9f\x98\x80 2.50"} ]'
    return (
        b'\n{ "max_tokens" :  50 ,"model":"%b" , "messages": %b,\t"input":%b,'
        b'"metadata":{"a": "1","a" : "2" } , "x_vendor":{ %b },"temperature" : 0.70 }\r\n'
        % (name.encode(), content, content, ODD)
    )


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_request_for_its_own_model_is_forwarded_exactly(
    dialect: str, gate: Gateway, upstream: ScriptedUpstream
) -> None:
    upstream.add(answered(small(dialect)))
    await post(gate, dialect, request_body("same"))
    assert upstream.requests[0].body == request_body("same")


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_request_for_an_alias_differs_in_its_model_only(
    dialect: str, gate: Gateway, upstream: ScriptedUpstream
) -> None:
    upstream.add(answered(small(dialect)))
    await post(gate, dialect, request_body("alias"))
    content = b'[ {"role" : "user","content":"caf\\u00e9 \xf0\x9f\x98\x80 2.50"} ]'
    assert upstream.requests[0].body == (
        b'{"max_tokens":50,"model":"up-1","messages":%b,"input":%b,'
        b'"metadata":{"a": "1","a" : "2" },"x_vendor":{ %b },"temperature":0.70}'
        % (content, content, ODD)
    )


async def test_a_chat_stream_gains_only_the_wish_for_usage(
    gate: Gateway, upstream: ScriptedUpstream
) -> None:
    upstream.add(answered(small("chat")), answered(small("chat")))
    messages = b'[{"role":"user","content":"\\u00e9"}]'
    await post(gate, "chat", b'{"model":"same","stream":true,"messages":%b}' % messages)
    assert upstream.requests[0].body == (
        b'{"model":"same","stream":true,"messages":%b,"stream_options":{"include_usage":true}}'
        % messages
    )
    options = b'{"chunk" : 2.50,"include_usage":true}'
    asked = b'{"model":"same", "stream":true,"messages":%b,"stream_options":%b}' % (
        messages,
        options,
    )
    await post(gate, "chat", asked)
    assert upstream.requests[1].body == asked


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", [b'"model"', b'"m\\u006fdel"'])
async def test_the_authorised_model_is_the_forwarded_model(
    dialect: str, name: bytes, launch: Launch, play: Play
) -> None:
    upstream = await play(default=answered(small(dialect)))
    served = provider(upstream.url)
    models = [model("cheap", served), model("dear", served)]
    gate = await launch(settings(route(models, [caller(models=["cheap"])])))
    rest = json.dumps(ask(dialect))[1:].replace('"model": "demo-small", ', "").encode()
    both = b'{"model":"dear",%b:"cheap",%b' % (name, rest)
    assert (await post(gate, dialect, both)).status == 200
    forwarded = upstream.requests[0].body
    assert b"dear" not in forwarded
    assert json.loads(forwarded)["model"] == "cheap"
    assert (
        await post(gate, dialect, b'{%b:"cheap","model":"dear",%b' % (name, rest))
    ).status == 404
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_credentials_stay_on_their_side(
    dialect: str, gate: Gateway, upstream: ScriptedUpstream
) -> None:
    echo = {
        "x-api-key": OPERATOR_KEY,
        "authorization": f"Bearer {OPERATOR_KEY}",
        "set-cookie": "s=1",
    }
    upstream.add(answered(small(dialect), echo))
    headers = {"x-api-key": CALLER_KEY, "cookie": "session=abc", "proxy-authorization": "Basic xyz"}
    answer = await post(gate, dialect, ask(dialect, model="alias"), headers)
    sent = upstream.requests[0]
    assert sent.head["authorization"] == f"Bearer {OPERATOR_KEY}"
    assert CALLER_KEY.encode() not in sent.raw
    assert not {"x-api-key", "cookie", "proxy-authorization"} & sent.head.keys()
    assert OPERATOR_KEY.encode() not in answer.head + answer.body
    assert answer.header("set-cookie") is None


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
@pytest.mark.parametrize("key", [OPERATOR_KEY, "an operator's key without any shape"])
async def test_no_error_of_a_provider_quotes_the_operators_key(
    dialect: str, status: int, key: str, launch: Launch, play: Play
) -> None:
    error = {"message": f"Bad key {key}", "type": "t", "param": None, "code": "invalid_api_key"}
    body = json.dumps({"type": "error", "error": error}).encode()
    head = {"content-type": "application/json", "content-length": str(len(body))}
    upstream = await play([expect(), send(http_head(status, head) + body)])
    served = provider(upstream.url, key=key)
    gate = await launch(settings(route([model("*", served)], [caller()])))
    answer = await post(gate, dialect, ask(dialect))
    assert answer.status == (502 if status in (400, 401, 403) else status)
    assert key.encode() not in answer.head + answer.body
    if answer.status == 502:
        assert b"Bad key" not in answer.body


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_only_listed_headers_cross_and_none_hop_by_hop(
    dialect: str, gate: Gateway, upstream: ScriptedUpstream
) -> None:
    back = {
        "x-ratelimit-remaining-requests": "9",
        "x-request-id": "req_upstream",
        "server": "secret-host",
        "alt-svc": "h3=1",
        "x-secret": "1",
        "keep-alive": "timeout=5",
        "connection": "keep-alive, x-ratelimit-limit-requests",
        "x-ratelimit-limit-requests": "10",
    }
    upstream.add(answered(small(dialect), back))
    there = {
        "traceparent": "00-1-2-01",
        "idempotency-key": "once",
        "x-client-request-id": "mine",
        "connection": "x-client-request-id, authorization, x-api-key",
        "x-forwarded-for": "10.0.0.1",
        "x-portico-caller": "root",
        "te": "trailers",
        "user-agent": "me/1",
        "accept-encoding": "gzip",
    }
    answer = await post(gate, dialect, ask(dialect, model="alias"), there)
    assert answer.status == 200, "a Connection header cannot take away the credential"
    sent = upstream.requests[0].head
    assert sent.keys() <= {
        "host",
        "accept-encoding",
        "content-type",
        "user-agent",
        "authorization",
        "traceparent",
        "idempotency-key",
        "content-length",
    }
    assert sent["authorization"] == f"Bearer {OPERATOR_KEY}"
    assert (sent["traceparent"], sent["idempotency-key"]) == ("00-1-2-01", "once")
    assert sent["accept-encoding"] == "identity"
    assert sent["host"] == f"127.0.0.1:{upstream.port}"
    names = {name for name, _ in answer.headers}
    assert names <= {
        "date",
        "content-type",
        "content-length",
        "x-request-id",
        "request-id",
        "x-ratelimit-remaining-requests",
        "x-portico-upstream-request-id",
        "x-portico-provider",
        "x-portico-model",
        "x-portico-attempts",
    }
    assert answer.header("x-portico-upstream-request-id") == "req_upstream"
    assert (await gate.last()).upstream_request_id == "req_upstream"


async def test_a_compressed_or_chunked_request_arrives_plain_and_whole(
    gate: Gateway, upstream: ScriptedUpstream
) -> None:
    upstream.add(answered(small("chat")), answered(small("chat")))
    body = request_body("same")
    answer = await post(gate, "chat", gzip.compress(body), {"content-encoding": "gzip"})
    assert answer.status == 200
    async with await RawClient.connect(gate.port) as client:
        head = f"POST {PATHS['chat']} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {CALLER_KEY}\r\n"
        chunks = b"".join(slices(body, 10)) + LAST_CHUNK
        await client.send(head.encode() + b"transfer-encoding: chunked\r\n\r\n" + chunks)
        assert (await client.response()).status == 200
    for sent in upstream.requests:
        assert sent.body == body
        assert "content-encoding" not in sent.head


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_an_answer_larger_than_what_is_held_passes_with_its_usage(
    dialect: str, framing: str, gate: Gateway, upstream: ScriptedUpstream
) -> None:
    text = json.dumps({"usage": {"input_tokens": 99, "prompt_tokens": 99}}).replace('"', '\\"')
    body = b'{"output":"%b%b",%b}' % (b"\xc3\xa9" * 1_500_000, text.encode(), USAGE[dialect])
    head = {"content-type": "application/json"}
    if framing == "length":
        head["content-length"] = str(len(body))
        script = [expect(), send(http_head(200, head) + body)]
    elif framing == "chunked":
        head["transfer-encoding"] = "chunked"
        script = [expect(), send(http_head(200, head) + b"".join(slices(body, 65536)) + LAST_CHUNK)]
    else:
        from tests.support.upstream import fin

        script = [expect(), send(http_head(200, head) + body), fin()]
    upstream.add(script)
    answer = await post(gate, dialect, ask(dialect, model="alias"))
    assert answer.ended
    assert answer.body == body
    outcome = await gate.last()
    assert outcome.usage is not None
    assert (outcome.usage.input_total, outcome.usage.output_total) == (11, 7)
    assert outcome.bytes_out == len(body)
    assert outcome.verdict == "ok"


async def test_a_large_answer_cut_by_the_connection_looks_cut(
    gate: Gateway, upstream: ScriptedUpstream
) -> None:
    from tests.support.upstream import fin

    body = b'{"output":"' + b"x" * 2_000_000
    upstream.add(
        [expect(), send(http_head(200, {"content-type": "application/json"}) + body), fin()]
    )
    answer = await post(gate, "chat", ask("chat", model="alias"))
    assert answer.status == 502
    assert (await gate.last()).verdict == "upstream_error"
