"""Requests in all five dialects, and what their answers say, each in as few lines as it takes."""

import json
import struct
import zlib
from typing import Any

from tests.support.asks import FakeReply

from portico.demo.provider import DemoProvider
from portico.http.messages import Request

AWS = {
    b"authorization": b"AWS4-HMAC-SHA256 Credential=AKID/20261121/us-east-1/bedrock/aws4_request, "
    b"SignedHeaders=content-type;host;x-amz-date, Signature=" + b"0" * 64,
    b"x-amz-date": b"20261121T000000Z",
}
VERTEX = "/v1beta1/projects/p/locations/global/publishers/google/models/{model}:"
PATHS = {
    "chat": ("/v1/chat/completions",) * 2,
    "responses": ("/v1/responses",) * 2,
    "messages": ("/v1/messages",) * 2,
    "gemini": (
        "/v1beta/models/{model}:generateContent",
        "/v1beta/models/{model}:streamGenerateContent",
    ),
    "vertex": (VERTEX + "generateContent", VERTEX + "streamGenerateContent"),
    "converse": ("/model/{model}/converse", "/model/{model}/converse-stream"),
}
DIALECTS = tuple(PATHS)
HEADERS: dict[str, dict[bytes, bytes]] = {
    "gemini": {b"x-goog-api-key": b"k"},
    "vertex": {b"authorization": b"Bearer t"},
    "converse": AWS,
}
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
NO_MODEL = ("gemini", "vertex", "converse")


async def send(
    path: str,
    body: Any,
    *,
    headers: dict[bytes, bytes] | None = None,
    query: bytes = b"",
    provider: DemoProvider | None = None,
    method: bytes = b"POST",
) -> FakeReply:
    provider = provider or DemoProvider(clock=lambda: 1_800_000_000.0, ids=lambda: "d_1")
    request = Request(method, path.encode(), query, headers or {}, "test", 0.0)
    request.body = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = FakeReply()
    await provider.handle(request, reply)
    return reply


async def post(
    dialect: str,
    body: Any,
    *,
    model: str = "demo-small",
    stream: bool = False,
    provider: DemoProvider | None = None,
) -> FakeReply:
    """To the place where the dialect is spoken; the model goes where the dialect has it."""
    if dialect not in NO_MODEL and isinstance(body, dict):
        body = {"model": model, **({"stream": True} if stream else {}), **body}
    path = PATHS[dialect][stream].replace("{model}", model)
    query = b"alt=sse" if stream else b""
    return await send(path, body, headers=HEADERS.get(dialect), query=query, provider=provider)


def hello(dialect: str, text: str = "Hello", *, tool: bool = False, think: bool = False) -> Any:
    """A question, perhaps with `get_weather` on offer."""
    turn: dict[str, Any] = {"role": "user", "content": text}
    if dialect == "chat":
        function = {"name": "get_weather", "parameters": CITY}
        more: dict[str, Any] = {"tools": [{"type": "function", "function": function}]}
        body: dict[str, Any] = {"messages": [turn]}
        thinks: dict[str, Any] = {"reasoning_effort": "low"}
    elif dialect == "responses":
        more = {"tools": [{"type": "function", "name": "get_weather", "parameters": CITY}]}
        body = {"input": [turn]}
        thinks = {"reasoning": {"effort": "low", "summary": "auto"}}
    elif dialect == "messages":
        more = {"tools": [{"name": "get_weather", "input_schema": CITY}]}
        body = {"messages": [turn], "max_tokens": 4096}
        thinks = {"thinking": {"type": "adaptive"}}
    elif dialect == "converse":
        spec = {"name": "get_weather", "inputSchema": {"json": CITY}}
        more = {"toolConfig": {"tools": [{"toolSpec": spec}]}}
        body = {"messages": [{"role": "user", "content": [{"text": text}]}]}
        thinks = {"additionalModelRequestFields": {"thinking": {"type": "adaptive"}}}
    else:
        declared = {"name": "get_weather", "parametersJsonSchema": CITY}
        more = {"tools": [{"functionDeclarations": [declared]}]}
        body = {"contents": [{"role": "user", "parts": [{"text": text}]}]}
        thinks = {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}}
    return {**body, **(more if tool else {}), **(thinks if think else {})}


def follow(dialect: str, body: Any, answer: Any, result: str = "12 degrees") -> Any:
    """The next request: the answer as it came, and a result for each of its calls."""
    said = replayed(dialect, answer)
    done = [_result(dialect, call, result) for call in raw_calls(dialect, answer)]
    key = {"responses": "input", "gemini": "contents", "vertex": "contents"}.get(
        dialect, "messages"
    )
    if dialect in ("chat", "responses"):
        return {**body, key: [*body[key], *said, *done]}
    content = "parts" if key == "contents" else "content"
    return {**body, key: [*body[key], *said, {"role": "user", content: done}]}


def _result(dialect: str, call: Any, result: str) -> Any:
    if dialect == "chat":
        return {"role": "tool", "tool_call_id": call["id"], "content": result}
    if dialect == "responses":
        return {"type": "function_call_output", "call_id": call["call_id"], "output": result}
    if dialect == "messages":
        return {"type": "tool_result", "tool_use_id": call["id"], "content": result}
    if dialect == "converse":
        return {"toolResult": {"toolUseId": call["toolUseId"], "content": [{"text": result}]}}
    named = {key: call[key] for key in ("id", "name") if key in call}
    return {"functionResponse": {**named, "response": {"result": result}}}


def replayed(dialect: str, answer: Any) -> list[Any]:
    """The answer as history."""
    if dialect == "chat":
        return [answer["choices"][0]["message"]]
    if dialect == "responses":
        return list(answer["output"])
    if dialect == "messages":
        return [{"role": "assistant", "content": answer["content"]}]
    if dialect == "converse":
        return [answer["output"]["message"]]
    return [answer["candidates"][0]["content"]]


def parts(dialect: str, answer: Any) -> list[Any]:
    """The parts of an answer, in order."""
    (said, *more) = replayed(dialect, answer)
    if dialect == "chat":
        return [said]
    if dialect == "responses":
        return [said, *more]
    return list(said["parts" if "parts" in said else "content"])


def raw_calls(dialect: str, answer: Any) -> list[Any]:
    found = parts(dialect, answer)
    if dialect == "chat":
        return list(found[0].get("tool_calls", ()))
    if dialect == "responses":
        return [item for item in found if item["type"] == "function_call"]
    if dialect == "messages":
        return [block for block in found if block["type"] == "tool_use"]
    name = "toolUse" if dialect == "converse" else "functionCall"
    return [part[name] for part in found if name in part]


def text_of(dialect: str, answer: Any) -> str:
    """What was said aloud."""
    found = parts(dialect, answer)
    if dialect == "chat":
        return found[0]["content"] or ""
    if dialect == "responses":
        messages = [item["content"][0] for item in found if item["type"] == "message"]
        return "".join(each.get("text", "") for each in messages)
    if dialect == "messages":
        return "".join(block["text"] for block in found if block["type"] == "text")
    return "".join(part.get("text", "") for part in found if not part.get("thought"))


def order_of(dialect: str, answer: Any) -> list[str]:
    """The kinds of the parts, in the words of a plan."""
    out = []
    for part in parts(dialect, answer):
        kind = part.get("type")
        if kind is None:
            names = ("text", "toolUse", "reasoningContent", "functionCall", "citationsContent")
            kind = next(name for name in names if name in part)
        if part.get("thought") or kind in ("reasoning", "thinking", "reasoningContent"):
            out.append("think")
        elif kind in ("function_call", "tool_use", "toolUse", "functionCall"):
            out.append("call")
        elif kind in ("message", "text", "citationsContent"):
            if part.get("text") != "":
                out.append("text")
        else:
            out.append(kind)
    return out


def error_of(dialect: str, reply: FakeReply) -> str:
    """The message of an error, once its envelope is what that vendor sends."""
    body = reply.json()
    if dialect == "converse":
        assert set(body) == {"message"}
        assert b"x-amzn-errortype: " in reply.headers
        return str(body["message"])
    if dialect == "messages":
        assert set(body) == {"type", "error", "request_id"}
    if dialect in ("gemini", "vertex"):
        assert body["error"]["code"] == reply.status
        assert body["error"]["status"].isupper()
    elif dialect != "messages":
        assert set(body["error"]) == {"message", "type", "param", "code"}
    return str(body["error"]["message"])


def frames(data: bytes) -> list[tuple[str, str, Any]]:
    """Message type, event or exception type and payload of every event stream frame."""
    out = []
    while data:
        total, head, check = struct.unpack("!III", data[:12])
        assert check == zlib.crc32(data[:8])
        assert struct.unpack("!I", data[total - 4 : total])[0] == zlib.crc32(data[: total - 4])
        block, headers = data[12 : 12 + head], {}
        while block:
            size = block[0]
            name = block[1 : 1 + size].decode()
            assert block[1 + size] == 7
            (length,) = struct.unpack("!H", block[2 + size : 4 + size])
            headers[name] = block[4 + size : 4 + size + length].decode()
            block = block[4 + size + length :]
        assert headers[":content-type"] == "application/json"
        kind = headers[":message-type"]
        payload = json.loads(data[12 + head : total - 4])
        out.append((kind, headers[f":{kind}-type"], payload))
        data = data[total:]
    return out
