"""What official SDKs say of requests and answers: openai, anthropic, google-genai, botocore.

Members an SDK does not know are errors too, save those listed here with a reason.
"""

import json
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import anthropic.types.beta.message_create_params as anthropic_beta
import anthropic.types.message_create_params as anthropic_plain
import openai.types.chat.completion_create_params as openai_chat
import openai.types.responses.response_create_params as openai_responses
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, RawMessageStreamEvent
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator
from google.genai import types as gemini
from openai.lib.streaming._deltas import accumulate_delta
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from openresponses_types import types as open_responses
from pydantic import BaseModel, TypeAdapter, ValidationError

from portico.wire.sse import frame_data, iter_frames

Json = Any

_REQUESTS: dict[str, TypeAdapter[Any]] = {
    "responses": TypeAdapter(openai_responses.ResponseCreateParams),
    "chat": TypeAdapter(openai_chat.CompletionCreateParams),
    "messages": TypeAdapter(anthropic_plain.MessageCreateParams),
}
_BETA: TypeAdapter[Any] = TypeAdapter(anthropic_beta.MessageCreateParams)
_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
_MESSAGE_EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
_BEDROCK = ServiceModel(Loader().load_service_model("bedrock-runtime", "service-2"))
_GEMINI_BODY = {
    "contents": list[gemini.Content], "systemInstruction": gemini.Content,
    "tools": list[gemini.Tool], "toolConfig": gemini.ToolConfig,
    "generationConfig": gemini.GenerationConfig, "labels": dict[str, str], "serviceTier": str,
}  # fmt: skip

UNTYPED = {
    "responses": frozenset(("input[].phase",)),
    "chat": frozenset((
        # OpenRouter's: https://openrouter.ai/docs/use-cases/reasoning-tokens (2026-11-21)
        "reasoning", "messages[].reasoning_details", "messages[].reasoning",
    )),
    # not in version 2026-10-21, in all earlier ones:
    # https://platform.claude.com/docs/en/api/versioning (2026-11-21)
    "messages": frozenset(("temperature", "top_p", "top_k")),
}  # fmt: skip
"""Request members that the SDK has no type for."""


def check_request(upstream: str, body: Json) -> None:
    """Raise AssertionError or ValidationError unless the provider's SDK would send such a body."""
    _CHECKS[upstream](body)


def _typed(dialect: str, body: Json) -> None:
    adapter = _REQUESTS[dialect]
    if dialect == "messages" and _needs_beta(body):
        adapter = _BETA
    if dialect == "responses" and isinstance(body["input"], list):
        # OpenAI takes reasoning without an id, as Codex sends it; the SDK's type wants one
        body = {**body, "input": [
            {"id": "rs_0", **item} if item["type"] == "reasoning" else item
            for item in body["input"]
        ]}  # fmt: skip
    unknown = _unknown(body, adapter.validate_python(body), "") - UNTYPED[dialect]
    # schemas are the client's own, whatever the types say of their members
    unknown = {path for path in unknown if ".input_schema." not in path}
    assert not unknown, f"the SDK does not know {unknown}"


def _needs_beta(body: Json) -> bool:
    text = json.dumps(body)
    return any(
        word in text
        for word in ('"mcp_servers"', '"mcp_tool_use"', '"code_execution_20250825"', '"web_fetch_',
                     '"context_management"', '"compaction"', '"memory_', '"advisor_')
    )  # fmt: skip


def _unknown(given: Json, read: Json, path: str) -> set[str]:
    """Members that validation passed over. What a TypedDict does not know is not in its output."""
    if isinstance(given, dict) and isinstance(read, dict):
        found = {f"{path}.{key}".lstrip(".") for key in given if key not in read}
        for key, value in given.items():
            if key in read:
                found |= _unknown(value, read[key], f"{path}.{key}".lstrip("."))
        return found
    if isinstance(given, list) and isinstance(read, Iterable) and not isinstance(read, str | dict):
        pairs = zip(given, list(read), strict=True)
        return set().union(*[_unknown(one, other, f"{path}[]") for one, other in pairs])
    return set()


def _gemini(body: Json) -> None:
    for name, value in body.items():
        assert name in _GEMINI_BODY, f"the API does not know {name}"
        TypeAdapter(_GEMINI_BODY[name]).validate_python(value)
    for content in body["contents"]:
        assert content["parts"], "contents must not be empty"


def _converse(body: Json) -> None:
    shape = _BEDROCK.operation_model("Converse").input_shape
    report = ParamValidator().validate({"modelId": "m", **body}, shape)
    assert not report.has_errors(), report.generate_report()
    _exact(body, shape)


def _exact(value: Json, shape: Any) -> None:
    """No member that the service model does not know: botocore passes over those."""
    if shape.type_name == "structure" and not getattr(shape, "is_document_type", False):
        unknown = set(value) - set(shape.members)
        assert not unknown, f"{shape.name} has no {unknown}"
        for name, inner in value.items():
            _exact(inner, shape.members[name])
    elif shape.type_name == "list":
        for inner in value:
            _exact(inner, shape.member)
    elif shape.type_name == "string" and shape.enum:
        assert value in shape.enum


_CHECKS: dict[str, Callable[[Json], None]] = {
    "responses": lambda body: _typed("responses", body),
    "chat": lambda body: _typed("chat", body),
    "messages": lambda body: _typed("messages", body),
    "gemini": _gemini,
    "converse": _converse,
}


# answers


def check_answer(client: str, answer: Json) -> None:
    """Raise unless the client's SDK can read the answer."""
    model: type[BaseModel] = {
        "responses": Response, "chat": ChatCompletion, "messages": Message
    }[client]  # fmt: skip
    model.model_validate(answer)
    if client == "responses":
        _open_responses(answer)


_OPEN_ITEMS = ("message", "reasoning", "function_call")


def _open_responses(answer: Json) -> None:
    """The Open Responses type, where the answer holds only what that knows. Its tools, items and
    annotations are a subset of OpenAI's, and it types an echoed schema as null only."""
    subset = {
        **answer,
        "tools": [tool for tool in answer["tools"] if tool["type"] == "function"],
        "tool_choice": answer["tool_choice"] if isinstance(answer["tool_choice"], str) else "auto",
        "output": [item for item in answer["output"] if item["type"] in _OPEN_ITEMS],
    }
    if answer["text"].get("format", {}).get("type") == "json_schema":
        subset["text"] = {"format": {"type": "text"}}
    if answer["reasoning"] is not None and answer["reasoning"].get("effort") in ("minimal", "max"):
        subset["reasoning"] = None
    text = json.dumps(subset)
    if '"file_citation"' not in text and '"container_file_citation"' not in text:
        open_responses.ResponseResource.model_validate_json(text)


def payloads(stream: bytes) -> list[Json]:
    """The JSON of every frame but the sentinel."""
    data = [frame_data(frame) for frame in iter_frames(stream)]
    return [json.loads(each) for each in data if each and each != b"[DONE]"]


def check_stream(client: str, stream: bytes) -> Json:
    """Raise unless the SDK knows every event; give what its accumulator makes of them, None for a
    stream that ended with an error."""
    events = payloads(stream)
    failed = [event for event in events if "error" in event or event.get("type") == "error"]
    good = [event for event in events if event not in failed]
    folded = _STREAMS[client](good)
    return None if failed else folded


def _responses_stream(events: list[Json]) -> Json:
    for event in events:
        parsed = _EVENT.validate_python(event)
        assert parsed.type == event["type"]
    return events[-1]["response"]


def _chat_stream(events: list[Json]) -> Json:
    """The SDK's helper has no free-form calls; a stream with some goes through its plain fold."""
    if '"type": "custom"' in json.dumps(events):
        return _chat_deltas(events)
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for event in events:
        state.handle_chunk(ChatCompletionChunk.model_validate(event))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # serialisation of members the SDK does not know
        return state.current_completion_snapshot.to_dict(mode="json")


def _chat_deltas(events: list[Json]) -> Json:
    whole: Json = {**events[0], "usage": None}
    choice: Json = {"message": {}, "finish_reason": None, "logprobs": None}
    for event in events:
        for one in event["choices"]:
            if one.get("logprobs"):
                known = choice["logprobs"] or {"content": [], "refusal": None}
                known["content"] += one["logprobs"]["content"] or []
                choice["logprobs"] = known
            choice["message"] = accumulate_delta(choice["message"], one["delta"])
            choice["finish_reason"] = one["finish_reason"] or choice["finish_reason"]
        whole["usage"] = event.get("usage") or whole["usage"]
    return {**whole, "choices": [choice]}


def _messages_stream(events: list[Json]) -> Json:
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for event in events:
        if event["type"] == "ping":  # the SDK takes it out before it types events
            continue
        parsed = _MESSAGE_EVENT.validate_python(event)
        assert parsed.type == event["type"]
        snapshot = accumulate_event(event=parsed, current_snapshot=snapshot, json_bufs=buffers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return snapshot.to_dict(mode="json") if snapshot is not None else None


_STREAMS: dict[str, Callable[[list[Json]], Json]] = {
    "responses": _responses_stream,
    "chat": _chat_stream,
    "messages": _messages_stream,
}

__all__ = ["ValidationError", "check_answer", "check_request", "check_stream", "payloads"]
