"""Every refusal is the JSON envelope of the client's dialect, with a request id, and says why."""

import json
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
from tests.support.upstream import ScriptedUpstream, expect, fin, http_head, http_json, rst, send

from portico.limits import Deadlines, Limits

DIALECTS = sorted(PATHS)
AUTH = {"authorization": f"Bearer {CALLER_KEY}"}
ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    415: "invalid_request_error",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
}
OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def envelope(answer: RawResponse, dialect: str, status: int) -> tuple[str, str | None, str | None]:
    """Check the shape; return message, code and param (None for Anthropic, which has neither)."""
    assert answer.status == status, answer.body
    assert answer.header("content-type") == "application/json"
    request_id = answer.header("x-request-id") or ""
    assert request_id.startswith("req_")
    body = answer.json()
    if dialect == "messages":
        assert body.keys() == {"type", "error", "request_id"}
        assert body["type"] == "error"
        assert body["request_id"] == request_id == answer.header("request-id")
        error = body["error"]
        assert error.keys() == {"type", "message"}
        assert error["type"] == ANTHROPIC_TYPES.get(status, error["type"])
    else:
        assert body.keys() == {"error"}
        error = body["error"]
        assert error.keys() == {"message", "type", "param", "code"}
        kind = "invalid_request_error" if status < 500 else "server_error"
        assert error["type"] == OPENAI_TYPES.get(status, kind)
    assert error["message"]
    return error["message"], error.get("code"), error.get("param")


@pytest.fixture
async def upstream(play: Play) -> ScriptedUpstream:
    return await play()


@pytest.fixture
async def gate(launch: Launch, upstream: ScriptedUpstream) -> Gateway:
    models = [
        model("known", provider(upstream.url)),
        model("hidden", provider(upstream.url), visibility="internal"),
        model("chat-only", provider(upstream.url, "gemini")),
        model("claude-only", provider(upstream.url, "anthropic")),
    ]
    limits = Limits(body_bytes=100_000, json_depth=32, in_flight_per_key=1)
    deadlines = Deadlines(first_byte=0.2, idle=0.2)
    return await launch(settings(route(models, [caller()]), limits=limits, deadlines=deadlines))


async def ask_raw(
    gate: Gateway,
    path: str,
    body: bytes | dict[str, Any] | None,
    headers: dict[str, str] | None = None,
    method: str = "POST",
) -> RawResponse:
    async with await RawClient.connect(gate.port) as client:
        await client.request(method, path, body, AUTH if headers is None else headers)
        return await client.response()


def with_model(dialect: str, text: bytes) -> bytes:
    rest = {k: v for k, v in ask(dialect).items() if k != "model"}
    return b"{" + text + json.dumps(rest).encode()[1:]


BAD_BODIES: list[tuple[str, Any, str, str | None, str]] = [
    # name, body (bytes, or a function of the dialect), code, param, what the message says
    ("empty", b"", "invalid_json", None, "empty"),
    ("not json", b"Hello", "invalid_json", None, "not valid JSON"),
    ("cut json", b'{"model": "known"', "invalid_json", None, "not valid JSON"),
    ("an array", b"[]", "invalid_json", None, "one JSON object"),
    ("two documents", b"{}{}", "invalid_json", None, "not valid JSON"),
    ("not utf-8", b'{"model":"\xff"}', "invalid_json", None, "UTF-8"),
    ("too deep", b'{"a":' + b"[" * 40 + b"]" * 40 + b"}", "nesting_too_deep", None, "deeper"),
    ("far too deep", b'{"a":' + b"[" * 40_000 + b"]" * 40_000 + b"}", "nesting_too_deep", None, ""),
    ("no model", lambda d: with_model(d, b""), "missing_required_parameter", "model", "'model'"),
    ("null model", lambda d: with_model(d, b'"model":null,'), "invalid_type", "model", "'model'"),
    ("number", lambda d: with_model(d, b'"model":7,'), "invalid_type", "model", "a string"),
    ("empty model", lambda d: with_model(d, b'"model":"",'), "invalid_value", "model", "'model'"),
    ("nul", lambda d: with_model(d, b'"model":"a\\u0000",'), "invalid_value", "model", "control"),
    (
        "long",
        lambda d: with_model(d, b'"model":"%b",' % (b"x" * 300)),
        "invalid_value",
        "model",
        "",
    ),
    ("stream", lambda d: ask(d, stream="yes"), "invalid_type", "stream", "'stream'"),  # type: ignore[arg-type]
    ("temperature", lambda d: ask(d, temperature="hot"), "invalid_type", "temperature", "a number"),
    ("tools", lambda d: ask(d, tools={}), "invalid_type", "tools", "an array"),
]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("case", BAD_BODIES, ids=[case[0] for case in BAD_BODIES])
async def test_a_bad_body_is_a_400_that_names_the_field(
    dialect: str, case: tuple[str, Any, str, str | None, str], gate: Gateway
) -> None:
    _, body, code, param, says = case
    answer = await ask_raw(gate, PATHS[dialect], body(dialect) if callable(body) else body)
    message, got_code, got_param = envelope(answer, dialect, 400)
    assert says in message
    assert answer.header("x-should-retry") == "false"
    if dialect != "messages":
        assert (got_code, got_param) == (code, param)
    outcome = await gate.last()
    assert (outcome.verdict, outcome.status, outcome.error_code) == ("client_error", 400, code)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_body_over_the_limit_is_a_413_before_it_is_read(
    dialect: str, gate: Gateway
) -> None:
    async with await RawClient.connect(gate.port) as client:
        await client.send(
            f"POST {PATHS[dialect]} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {CALLER_KEY}\r\n"
            "content-length: 100001\r\n\r\n".encode()
        )
        answer = await client.response()
    message, code, _ = envelope(answer, dialect, 413)
    assert "100000 bytes" in message
    assert answer.header("x-should-retry") == "false"
    if dialect != "messages":
        assert code == "request_too_large"


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("coding", "body", "status"),
    [("br", b"x", 415), ("gzip", b"not gzip", 400), ("gzip, gzip", b"x", 415)],
)
async def test_a_wrong_content_encoding_is_said_so(
    dialect: str, coding: str, body: bytes, status: int, gate: Gateway
) -> None:
    headers = {**AUTH, "content-encoding": coding}
    message, _, _ = envelope(await ask_raw(gate, PATHS[dialect], body, headers), dialect, status)
    assert "gzip" in message


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_an_unknown_model_and_an_internal_one_are_the_same_404(
    dialect: str, gate: Gateway
) -> None:
    said = set()
    for name in ("unknown", "hidden"):
        answer = await ask_raw(gate, PATHS[dialect], ask(dialect, model=name))
        message, code, param = envelope(answer, dialect, 404)
        assert answer.header("x-should-retry") == "false"
        said.add(message.replace(name, "NAME"))
        if dialect != "messages":
            assert (code, param) == ("model_not_found", "model")
    assert len(said) == 1


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_no_key_and_a_wrong_key_are_401(dialect: str, gate: Gateway) -> None:
    for headers, says in (({}, "No API key"), ({"x-api-key": "gw-wrong"}, "Incorrect API key")):
        answer = await ask_raw(gate, PATHS[dialect], ask(dialect), headers)
        message, code, _ = envelope(answer, dialect, 401)
        assert says in message
        assert "gw-wrong" not in message
        assert answer.header("x-should-retry") == "false"
        assert (answer.header("www-authenticate") or "").startswith("Bearer")
        if dialect != "messages":
            assert code == "invalid_api_key"
    outcome = await gate.last()
    assert (outcome.verdict, outcome.dialect) == ("denied", dialect)
    assert outcome.endpoint == PATHS[dialect]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_wrong_method_is_405_and_says_which_is_right(dialect: str, gate: Gateway) -> None:
    for method in ("GET", "PUT", "DELETE"):
        answer = await ask_raw(gate, PATHS[dialect], None, method=method)
        message, code, _ = envelope(answer, dialect, 405)
        assert "POST" in message
        assert answer.header("allow") == "POST"
        if dialect != "messages":
            assert code == "method_not_allowed"


async def test_models_takes_get_only(gate: Gateway) -> None:
    answer = await ask_raw(gate, "/v1/models", {})
    envelope(answer, "chat", 405)
    assert answer.header("allow") == "GET"


async def test_an_unknown_path_is_401_first_and_404_then(gate: Gateway) -> None:
    for path in ("/", "/v2/x", "/v1/chat/completions/", "/v1//responses", "/v1/x/../responses",
                 "/v1/%72esponses", "/metrics", "/v1/responses;a=b"):  # fmt: skip
        envelope(await ask_raw(gate, path, {}, {}), "chat", 401)
        message, code, _ = envelope(await ask_raw(gate, path, {}), "chat", 404)
        assert code == "not_found"
        assert path in message
    envelope(await ask_raw(gate, "/v1/messages/batches", {}), "messages", 404)


async def test_a_websocket_where_there_is_none_is_told_to_use_http(gate: Gateway) -> None:
    upgrade = {"connection": "upgrade", "upgrade": "WebSocket", "sec-websocket-version": "13"}
    answer = await ask_raw(gate, "/v1/chat/completions", None, {**AUTH, **upgrade}, "GET")
    _, code, _ = envelope(answer, "chat", 426)
    assert code == "upgrade_required"
    answer = await ask_raw(gate, "/v1/responses", None, upgrade, "GET")
    envelope(answer, "responses", 401)


@pytest.mark.parametrize(
    ("dialect", "name"),
    [
        ("messages", "chat-only"),
        ("responses", "chat-only"),
        ("chat", "claude-only"),
        ("responses", "claude-only"),
    ],
)
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, {"error": {"message": "Slow down.", "type": "rate_limit_error", "code": "r"}}),
        (529, {"type": "error", "error": {"type": "overloaded_error", "message": "Slow down."}}),
        (400, [{"error": {"message": "Slow down."}}]),
        (503, {"message": "Slow down."}),
    ],
)
async def test_an_error_of_another_dialect_keeps_its_status_and_words(
    dialect: str,
    name: str,
    status: int,
    body: object,
    gate: Gateway,
    upstream: ScriptedUpstream,
) -> None:
    upstream.add([expect(), send(http_json(status, body, {"retry-after": "7"}))])
    answer = await ask_raw(gate, PATHS[dialect], ask(dialect, model=name))
    message, _, _ = envelope(answer, dialect, status)
    assert message == "Slow down."
    assert answer.header("retry-after") == "7"


LEAKY = "Refused sk-live-abcdef123456 by http://10.1.2.3:9000 on db7.prod.internal"


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("status", [401, 403])
async def test_a_provider_that_refuses_our_key_is_a_502_that_leaks_nothing(
    dialect: str, status: int, gate: Gateway, upstream: ScriptedUpstream
) -> None:
    body = {"error": {"message": LEAKY, "type": "t", "param": None, "code": "c"}}
    upstream.add([expect(), send(http_json(status, body))])
    answer = await ask_raw(gate, PATHS[dialect], ask(dialect, model="known"))
    _, code, _ = envelope(answer, dialect, 502)
    assert answer.header("x-should-retry") == "false"
    for secret in ("Refused", "sk-live", "10.1.2.3", "internal", OPERATOR_KEY):
        assert secret not in answer.body.decode()
    if dialect != "messages":
        assert code == "upstream_auth"
    outcome = await gate.last()
    assert outcome.verdict == "upstream_error"
    assert "Refused" in outcome.error_debug


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("status", [400, 404, 409, 413, 422, 429, 500, 503, 529])
async def test_a_providers_error_keeps_its_status_in_any_shape(
    dialect: str, status: int, gate: Gateway, upstream: ScriptedUpstream
) -> None:
    html = b"<html><h1>Sorry</h1><script>alert(1)</script> 10.1.2.3</html>"
    head = {"content-type": "text/html", "content-length": str(len(html)), "retry-after": "7"}
    upstream.add(
        [expect(), send(http_json(status, {"detail": LEAKY}, {"retry-after": "7"}))],
        [expect(), send(http_head(status, head) + html)],
        [expect(), send(http_json(status, [], {"retry-after": "7"}))],
    )
    for _ in range(3):
        answer = await ask_raw(gate, PATHS[dialect], ask(dialect, model="known"))
        message, _, _ = envelope(answer, dialect, status)
        for secret in ("sk-live", "10.1.2.3", "internal", "<", "alert"):
            assert secret not in message
        assert answer.header("retry-after") == "7"
        helps = status in (409, 429) or status >= 500
        assert answer.header("x-should-retry") == (None if helps else "false")


async def test_a_providers_own_envelope_is_relayed_byte_for_byte(
    gate: Gateway, upstream: ScriptedUpstream
) -> None:
    body = b'{ "error": {"message":"caf\\u00e9 2.50","type":"x","param":null,"code":"y"},"z":1 }\n'
    head = {"content-type": "application/json", "content-length": str(len(body))}
    upstream.add([expect(), send(http_head(429, {**head, "retry-after": "3"}) + body)])
    answer = await ask_raw(gate, PATHS["chat"], ask("chat", model="known"))
    assert (answer.status, answer.body) == (429, body)
    assert answer.header("retry-after") == "3"
    assert (await gate.last()).error_code == "y"


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_ways_an_upstream_can_fail_before_it_answers(
    dialect: str, gate: Gateway, upstream: ScriptedUpstream
) -> None:
    cases: list[tuple[Any, int, str, str | None]] = [
        ([expect(), fin()], 502, "upstream_truncated", None),
        ([expect(), rst()], 502, "upstream_truncated", None),
        ([expect(), send(b"SMTP ready\r\n\r\n"), fin()], 502, "upstream_protocol_error", None),
        ([expect(), send(http_json(302, {}, {"location": "http://169.254.169.254/"}))],
         502, "upstream_protocol_error", None),
        ([expect(), send(http_json(200, {}, {"content-encoding": "gzip"}))],
         502, "upstream_protocol_error", None),
        ([expect(), send(http_head(200, {"content-type": "text/html", "content-length": "2"})
                         + b"<>")], 502, "upstream_protocol_error", None),
        ([expect()], 504, "upstream_timeout", None),
        ([expect(), send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{")],
         504, "upstream_timeout", None),
    ]  # fmt: skip
    for script, status, code, retry in cases:
        upstream.add(script)
        answer = await ask_raw(gate, PATHS[dialect], ask(dialect, model="known"))
        _, got, _ = envelope(answer, dialect, status)
        assert answer.header("x-should-retry") == retry
        assert str(upstream.port) not in answer.body.decode()
        if dialect != "messages":
            assert got == code
        assert (await gate.last()).error_code == code
    assert len(upstream.requests) == len(cases), "nothing was sent twice"


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_an_unreachable_provider_is_a_502_without_its_name(
    dialect: str, launch: Launch
) -> None:
    for url in ("http://127.0.0.1:9", "http://secret-host.invalid:9"):
        gate = await launch(settings(route([model("*", provider(url))])))
        answer = await ask_raw(gate, PATHS[dialect], ask(dialect), {})
        _, code, _ = envelope(answer, dialect, 502)
        assert "secret-host" not in answer.body.decode()
        assert "127.0.0.1" not in answer.body.decode()
        assert answer.header("x-should-retry") == "false"
        if dialect != "messages":
            assert code == "upstream_unreachable"


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("where", ["gateway.engine.entry_of", "policy.auth.KeyTable.identify"])
async def test_a_defect_of_ours_is_a_500_without_the_exceptions_text(
    dialect: str, where: str, gate: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("SECRET of the inside")

    monkeypatch.setattr(f"portico.{where}", broken)
    answer = await ask_raw(gate, PATHS[dialect], ask(dialect, model="known"))
    assert answer.status == 500
    assert answer.header("content-type") == "application/json"
    assert "SECRET" not in answer.body.decode()
    assert "RuntimeError" not in answer.body.decode()
    assert answer.header("x-request-id") is not None
    outcome = await gate.last()
    assert (outcome.verdict, outcome.error_code) == ("internal_error", "internal_error")
    monkeypatch.undo()
    assert (await ask_raw(gate, PATHS[dialect], b"")).status == 400, "and the gateway serves on"


async def test_bad_http_gets_the_envelope_too(gate: Gateway) -> None:
    async with await RawClient.connect(gate.port) as client:
        await client.send(b"POST /v1/responses HTTP/1.1\r\ncontent-length: 0\r\n\r\n")
        answer = await client.response()
    _, code, _ = envelope(answer, "chat", 400)
    assert code == "bad_http"
