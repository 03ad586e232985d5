"""Words that would be syntax elsewhere: event streams inside of texts (D10), line ends in names and
keys in the wrong places (D11)."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.abuse.attackers import crowd, exchange, post
from tests.abuse.harness import (
    LANES,
    SPLICE,
    Case,
    Heard,
    Lane,
    Stage,
    body,
    profiles,
    served,
)
from tests.abuse.oracles import PAGES, check_readable
from tests.abuse.provider import Heard as Asked
from tests.abuse.speech import Speech, refusal, told
from tests.support.asks import PATHS
from tests.support.gateway import OPERATOR_KEY
from tests.support.raw import RawResponse
from tests.support.steps import Script, expect, http_json, send
from tests.support.upstream import ScriptedUpstream

pytestmark = pytest.mark.asyncio(loop_scope="session")

INJECTIONS = (
    '\n\ndata: {"error": {"message": "injected"}}\n\n', "\r\n\r\ndata: [DONE]\r\n\r\n",
    "\rdata: [DONE]\r\r", "\n\nevent: message_stop\ndata: {\"type\": \"message_stop\"}\n\n",
    '\n\nevent: response.completed\ndata: {"type": "response.completed"}\n\n',
    "\u2028data: [DONE]\u2028\u2029", "\x85data: [DONE]\x85", "\x0bdata: x\x0c", "\x1c\x1d\x1e",
    "\x00", "\ufeff", "id: 7\nretry: 1\n: comment\n\n", '"}]}\n\ndata: {', "\\n\\ndata: [DONE]",
    "\\u000a\\u000adata: [DONE]", "\ud83d\ude00\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "]]>-->*/;//",
)  # fmt: skip


def _raw(events: list[bytes]) -> list[bytes]:
    """The same frames with everything but control characters written out, as some providers do."""
    made = []
    for event in events:
        kind, mark, data = event.partition(b"data: ")
        try:
            text = json.dumps(json.loads(data), ensure_ascii=False)
        except ValueError:
            made.append(event)
        else:
            made.append(kind + mark + text.encode("utf-8", "surrogatepass") + b"\n\n")
    return made


def _speech(asked: Asked, text: str) -> Speech:
    one = asked.speech
    return Speech(one.dialect, ("a", text, "b"), one.tokens, one.model, one.tells_usage, one.number)


def _telling(text: str, *, raw: bool) -> Any:
    def play(asked: Asked) -> Script:
        speech = _speech(asked, text)
        if not asked.stream:
            return speech.answer()
        events = [*speech.opening, *speech.closing]
        return told(_raw(events) if raw else events)

    return play


def events_of(stream: bytes) -> Iterator[tuple[str, str]]:
    """Kind and data of the events of a stream, as WHATWG says: every line end there is counts."""
    text = stream.decode().replace("\r\n", "\n").replace("\r", "\n")
    for block in text.removeprefix("\ufeff").split("\n\n"):
        lines = [line.partition(":") for line in block.split("\n") if line and line[0] != ":"]
        data = [value.removeprefix(" ") for name, _, value in lines if name == "data"]
        kinds = [value.strip() for name, _, value in lines if name == "event"]
        assert {name for name, _, _ in lines} <= {"data", "event"}, block
        if data:
            yield (kinds or [""])[0], "\n".join(data)


def _text_of(client: str, answer: RawResponse, stream: bool) -> str:
    """The words of an answer."""
    if not stream:
        whole = answer.json()
        if client == "chat":
            return str(whole["choices"][0]["message"]["content"])
        content = whole["content"] if client == "messages" else whole["output"][0]["content"]
        return str(content[0]["text"])
    words, ends = [], 0
    for kind, data in events_of(answer.body):
        if data == "[DONE]":
            ends += client == "chat"
            continue
        event = json.loads(data)
        assert kind in ("", event.get("type")), "the kind is that of the data"
        assert not event.get("error"), event
        ends += event.get("type") in ("message_stop", "response.completed")
        if client == "chat":
            words += [each["delta"].get("content") or "" for each in event["choices"]]
        elif event["type"] == "content_block_delta":
            words.append(event["delta"]["text"])
        elif event["type"] == "response.output_text.delta":
            words.append(event["delta"])
    assert ends == 1, (client, answer.body)
    return "".join(words)


@profiles
async def test_d10_what_a_model_says_stays_inside_one_string(stage: Stage, full: bool) -> None:
    plays = {}
    for number, text in enumerate(INJECTIONS):
        for raw in (False, True):
            name = f"says {number} {raw}"
            text = text.encode("utf-16", "surrogatepass").decode("utf-16")
            plays[name] = text
            stage.provider.plays[name] = _telling(text, raw=raw)
    every = [
        Lane(client, upstream) for client in PATHS for upstream in PATHS
    ] if full else list(LANES)  # fmt: skip
    asked = [(lane, play, stream) for lane in every for play in plays for stream in (True, False)]
    if not full:
        asked = asked[::3]
    stage.provider.requests.clear()
    async with stage.case("D10 injections", full=full) as case:

        async def one(number: int) -> None:
            lane, play, stream = asked[number]
            heard = await case.ask(lane, play, stream=stream)
            assert (heard.answer.status, heard.answer.ended) == (200, True), (lane, play)
            said = _text_of(lane.client, heard.answer, stream)
            assert said == f"a{plays[play]}b", (lane, play, stream)

        await crowd(len(asked), one, 12)
    assert {line["verdict"] for line in case.lines} == {"ok"}


@profiles
async def test_d10_what_a_provider_says_went_wrong_stays_there_too(
    stage: Stage, full: bool
) -> None:
    """In bodies of errors, and in errors in the middle of a stream."""
    for number, text in enumerate(INJECTIONS):
        message = f"no {text} good".encode("utf-16", "surrogatepass").decode("utf-16")

        def failing(asked: Asked, message: str = message) -> Script:
            return [send(http_json(400, refusal(asked.dialect, message)))]

        def midway(asked: Asked, message: str = message) -> Script:
            error = json.dumps({**refusal(asked.dialect, message), "type": "error"}).encode()
            kind = b"" if asked.dialect == "chat" else b"event: error\n"
            return told([*asked.speech.opening, kind + b"data: " + error + b"\n\n"])

        stage.provider.plays[f"fails {number}"] = failing
        stage.provider.plays[f"midway {number}"] = midway
    asked = [(lane, number) for lane in LANES for number in range(len(INJECTIONS))]
    if not full:
        asked = asked[::4]
    async with stage.case("D10 errors", full=full) as case:
        for lane, number in asked:
            answer = (await case.ask(lane, f"fails {number}")).answer
            assert answer.status == 400
            assert {"x", "data", "event"}.isdisjoint(name for name, _ in answer.headers)
            found = await case.ask(lane, f"midway {number}", stream=True, parse=number % 2 == 0)
            if found.answer.status != 200:  # it was told before the first token
                assert isinstance(found.answer.json()["error"]["message"], str)
                continue
            events = list(events_of(found.answer.body))
            for kind, data in events:
                if data == "[DONE]":
                    assert lane.client == "responses", "it stands behind every end there"
                    continue
                event = json.loads(data)
                assert event.get("type") not in ("message_stop", "response.completed")
                assert kind in ("", event.get("type")), (lane, number, kind, data)


# -- names ----------------------------------------------------------------------------------------

NASTY = (
    "a\r\nx-injected: 1", "a\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", "a\nb", "a\rb", "a\x00b", "a\x1b[2Jb",
    "a\u2028b\u2029c", "a\x85b", "\U0001f600", "a\x7fb", "\u202egnp.exe", "%0d%0ax-injected: 1",
    "../../v1/files", "..\\..", "?key=stolen", "#frag", "a/b/c", ".", "..", "//evil.example/",
    "@evil.example", ":generateContent?x=", "a b", "{model}", "%2e%2e%2f", "\\u000d\\u000a", '"',
    "'", "<script>", "a" * 300, "\u043c\u043e\u0434\u0435\u043b\u044c", "${jndi:ldap://evil/a}",
    ";ls",
)  # fmt: skip
_STRAY = "sk-proj-STRAYabcdefghij0123456789"
_GEMINI = {
    "candidates": [{"content": {"parts": [{"text": "hi"}], "role": "model"},
                    "finishReason": "STOP", "index": 0}],
    "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
}  # fmt: skip


async def _asked_for(case: Case, lane: Lane, model: str, **more: Any) -> RawResponse:
    case.expect(1)
    data = json.dumps({**body(lane, "", "", False, {}), "model": model, **more}).encode()
    found = await exchange(case.gateway.port, post(PATHS[lane.client], data), most=1)
    assert len(found.answers) == 1, (model, found)
    case.heard.append(Heard(lane, "", False, found.answers[0], 0.0))
    check_readable(lane.client, False, found.answers[0])
    return found.answers[0]


def _plain(answer: RawResponse) -> None:
    """The head is ours, line by line."""
    names = [name for name, _ in answer.headers]
    assert "x-injected" not in names
    assert len(answer.head.split(b"\r\n")) == len(names) + 3
    assert answer.head.isascii()
    assert not any(byte < 32 and byte not in b"\r\n" for byte in answer.head)
    assert len(answer.header("x-portico-model") or "") < 4096


@profiles
async def test_d11_names_of_models_are_inert_in_heads_logs_and_addresses(
    stage: Stage, full: bool
) -> None:
    """A pattern of models takes any name: it comes back in `x-portico-model`, stands in the log,
    and is part of the path at some providers."""
    upstream = await ScriptedUpstream.start(default=[expect(), send(http_json(200, _GEMINI))])
    wild = [served(f"wild-{d}-*", stage.provider.url, d) for d in PATHS]
    for each in wild:
        each["params"].pop("model")
    params = {"baseUrl": upstream.url, "apiKey": OPERATOR_KEY}
    wild.append({"name": "gem-*", "provider": "gemini", "params": params})
    async with stage.configured(wild), stage.case("D11 models", full=full) as case:
        for lane in LANES if full else LANES[:1] + LANES[3:4]:
            for nasty in NASTY:
                start = len(stage.provider.requests)
                model = f"wild-{lane.upstream}-{nasty}"
                answer = await _asked_for(case, lane, model)
                _plain(answer)
                assert answer.status in (200, 400, 404), (model, answer)
                for seen in stage.provider.requests[start:]:
                    assert seen.json()["model"] == model, "what was authorised is what was sent"
        for nasty in NASTY:
            answer = await _asked_for(case, Lane("messages", "gemini"), f"gem-{nasty}")
            _plain(answer)
            assert answer.status in (200, 400, 404), (nasty, answer)
    for request in upstream.requests:
        path, _, query = request.target.partition("?")
        assert query in ("", "alt=sse"), request.target
        assert request.target.isascii()
        before, _, after = path.rpartition("/models/gem-")
        assert before.startswith("/v1"), path
        assert after.count(":generateContent") == 1, path
        assert "/" not in after, path
        assert request.head["host"] == f"127.0.0.1:{upstream.port}"
    assert upstream.requests
    await upstream.stop()
    _one_line_each(case)


def _one_line_each(case: Case) -> None:
    """What stands in the log is data of its line (that there is one line each, O5 says)."""
    for line in case.lines:
        assert line["msg"] == "request"
        assert line["caller"] == {"team": "abuse"}
        assert "x-injected" not in line


@profiles
async def test_d11_names_of_tools_users_and_members_are_inert(stage: Stage, full: bool) -> None:
    asked = [(lane, nasty) for lane in LANES for nasty in NASTY]
    if not full:
        asked = asked[::4]
    async with stage.case("D11 names", full=full) as case:

        async def one(number: int) -> None:
            lane, nasty = asked[number]
            more: list[dict[str, Any]] = [
                {"user": nasty}, {"metadata": {nasty: nasty}}, {nasty: 1}, {"x": {nasty: [nasty]}},
                {"service_tier": nasty}, {"prompt_cache_key": nasty}, {"stop": [nasty]},
                {"tools": [_tool(lane.client, nasty)]}, {"tool_choice": nasty},
                {"safety_identifier": nasty}, {"previous_response_id": nasty},
            ]  # fmt: skip
            for each in more:
                answer = await _asked_for(case, lane, lane.model, **each)
                _plain(answer)
                assert answer.status in (200, 400, 404), (lane, each, answer)
                losses = answer.header("x-portico-losses")
                assert losses is None or "injected:" not in losses

        await crowd(len(asked), one, 12)
    _one_line_each(case)


def _tool(client: str, name: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {name: {"type": "string", "description": name}}}
    if client == "chat":
        return {"type": "function", "function": {"name": name, "parameters": schema}}
    if client == "messages":
        return {"name": name, "description": name, "input_schema": schema}
    return {"type": "function", "name": name, "parameters": schema, "strict": False}


@profiles
async def test_d11_a_key_in_the_wrong_place_is_not_written_down(stage: Stage, full: bool) -> None:
    """One that looks like a key: those of callers are not kept, so nobody can know them."""
    lines = (
        f"x-portico-user: {_STRAY}", f"x-portico-tags: a,{_STRAY}",
        f"x-portico-models: {_STRAY}", f"x-portico-order: {_STRAY}",
        f"x-portico-sort: {_STRAY}", f"x-portico-timeout: {_STRAY}=5",
        f"x-portico-only: {_STRAY}", f"user-agent: {_STRAY}", f"referer: {_STRAY}",
    )  # fmt: skip
    members: tuple[dict[str, Any], ...] = (
        {"user": _STRAY}, {"metadata": {"key": _STRAY}}, {"previous_response_id": _STRAY},
        {"prompt_cache_key": _STRAY}, {"providerOptions": {"gateway": {"user": _STRAY}}},
        {"providerOptions": {"gateway": {"tags": [_STRAY]}}}, {"provider": {"only": [_STRAY]}},
        {"provider": {_STRAY: 1}}, {"model": f"wild-chat-{_STRAY}"},
        {"providerOptions": {"gateway": {_STRAY: 1}}}, {"service_tier": _STRAY},
    )  # fmt: skip
    wild = served("wild-chat-*", stage.provider.url, "chat")
    lanes = LANES if full else (SPLICE[0], LANES[4])
    async with stage.configured([wild]), stage.case("D11 keys", full=full) as case:
        for lane in lanes:
            for each in members:
                data = json.dumps({**body(lane, "", "", False, {}), **each}).encode()
                case.expect(1)
                found = await exchange(case.gateway.port, post(PATHS[lane.client], data), most=1)
                assert found.statuses[0] in (200, 400, 404), (each, found)
            for line in lines:
                data = json.dumps(body(lane, "", "", False, {})).encode()
                case.expect(1)
                raw = post(PATHS[lane.client], data, line)
                found = await exchange(case.gateway.port, raw, most=1)
                assert found.statuses[0] in (200, 400, 404), (line, found)
                assert _STRAY.encode() not in found.answers[0].head
        for path in (f"/v1/{_STRAY}", f"/v1/responses/{_STRAY}", f"/{_STRAY}/v1/models"):
            case.expect(1)
            raw = post(path, b"{}")
            assert (await exchange(case.gateway.port, raw, most=1)).statuses[0] in (404, 405)
    pages = [await case.gateway.page(path) for path in PAGES]
    texts = [page.body.decode() for page in pages] + [case.gateway.out, case.gateway.err]
    for text in texts:
        at = text.find(_STRAY)
        assert at < 0, text[max(at - 300, 0) : at + 60]
