"""The answer types of the official SDKs as typed dicts, and what becomes of each field."""

import json
import typing
from functools import cache
from typing import Any, NamedTuple

import botocore.loaders
import botocore.model
from anthropic.types import Message
from google.genai.types import GenerateContentResponse
from msgspec import Raw
from openai.types.chat import ChatCompletion
from openai.types.responses import Response
from pydantic import BaseModel
from tests.unit.dialects.silence_kit import Target, Values
from tests.unit.dialects.silence_values import BASES

from portico.dialects.translate import Asked
from portico.dialects.translators import CLIENTS, UPSTREAMS
from portico.limits import Limits
from portico.model.events import Failed
from portico.model.losses import Loss
from portico.model.response import Folder
from portico.model.sequence import Sequencer

DEEPEST = 9


def of_pydantic(kind: Any, made: dict[Any, Any], depth: int = 0) -> Any:
    """A pydantic model, and the models inside it, as typed dicts with the names on the wire."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if kind in made:
            return made[kind]
        if depth > DEEPEST:
            return dict[str, str]
        made[kind] = dict[str, str]  # what is inside itself
        members = {}
        for name, field in kind.model_fields.items():
            inner = of_pydantic(field.annotation, made, depth + 1)
            needed = field.is_required()
            members[field.alias or name] = inner if needed else typing.NotRequired[inner]
        made[kind] = typing.TypedDict(kind.__name__, members)  # type: ignore[misc]
        return made[kind]
    args = typing.get_args(kind)
    origin = typing.get_origin(kind)
    if origin is typing.Annotated:
        return of_pydantic(args[0], made, depth)
    if origin is typing.Union or type(kind).__name__ == "UnionType":
        return typing.Union[tuple(of_pydantic(arg, made, depth) for arg in args)]  # noqa: UP007
    if origin is list:
        return list[of_pydantic(args[0], made, depth)]  # type: ignore[misc]
    if kind is bytes:
        return bytes
    if isinstance(kind, type) and hasattr(kind, "__members__"):
        return typing.Literal[tuple(one.value for one in kind)]  # type: ignore[attr-defined]
    return kind


_PLAIN = {"string": str, "integer": int, "long": int, "float": float, "double": float,
          "boolean": bool, "blob": bytes, "timestamp": float}  # fmt: skip


def of_botocore(shape: Any, made: dict[str, Any]) -> Any:
    """A shape of the service model as a typed dict."""
    if shape.type_name == "structure":
        if getattr(shape, "document", False) or shape.is_document_type:
            return object
        if shape.name in made:
            return made[shape.name]
        made[shape.name] = dict[str, str]
        members = {}
        for name, inner in shape.members.items():
            found = of_botocore(inner, made)
            members[name] = found if name in shape.required_members else typing.NotRequired[found]
        made[shape.name] = typing.TypedDict(shape.name, members)  # type: ignore[misc]
        return made[shape.name]
    if shape.type_name == "list":
        return list[of_botocore(shape.member, made)]  # type: ignore[misc]
    if shape.type_name == "map":
        return dict[str, str]
    if shape.type_name == "string" and shape.enum:
        return typing.Literal[tuple(shape.enum)]
    return _PLAIN[shape.type_name]


@cache
def converse() -> Any:
    found = botocore.loaders.Loader().load_service_model("bedrock-runtime", "service-2")
    service = botocore.model.ServiceModel(found)
    return of_botocore(service.operation_model("Converse").output_shape, {})


ROOTS: dict[str, Any] = {
    "responses": lambda: of_pydantic(Response, {}),
    "chat": lambda: of_pydantic(ChatCompletion, {}),
    "messages": lambda: of_pydantic(Message, {}),
    "gemini": lambda: of_pydantic(GenerateContentResponse, {}),
    "converse": converse,
}
PROVIDERS: dict[str, Target] = {
    "responses": Target("responses", "openAI", "gpt-5.5"),
    "chat": Target("chat", "openrouter", "x/y"),
    "messages": Target("messages", "anthropic", "claude-opus-5"),
    "gemini": Target("gemini", "gemini", "gemini-3-pro"),
    "converse": Target("converse", "bedrock", "anthropic.claude-sonnet-4-5-v1:0"),
}


class Told(NamedTuple):
    """What a client gets for an answer, and the losses. `body` is "" for one that failed."""

    body: bytes
    losses: frozenset[Loss]
    fault: str


def tell(provider: str, client: str, answer: bytes) -> Told:
    """Read an answer of a provider and write it for a client."""
    target = PROVIDERS[provider]
    uplink = UPSTREAMS[provider]
    upstream = uplink.upstream(target.kind, "p", target.quirks, target.model)
    asking = {**BASES[client], "stream": False}
    if client == "responses":
        asking["include"] = ["reasoning.encrypted_content", "message.output_text.logprobs"]
    if client == "chat":
        asking["logprobs"] = True
    body = json.dumps(asking).encode()
    fields = {name: Raw(json.dumps(value).encode()) for name, value in asking.items()}
    asked = Asked(
        request=CLIENTS[client].read(fields, body, Limits(), lambda value: None),
        fields=fields,
        base="0" * 32,
        created=1,
        clock=lambda: 1.0,
        model="m",
        seal=lambda sealed: f"{sealed.kind}:{sealed.data}",
        losses=[],
    )
    folder = Folder()
    try:
        events = uplink.side.read(answer, upstream)
        failed = next((event for event in events if type(event) is Failed), None)
        if failed is not None:
            return Told(b"", frozenset(), str(failed.fault))
        folder.feed(Sequencer().feed(events))
        return Told(CLIENTS[client].respond(folder.result(), asked), frozenset(asked.losses), "")
    except Exception as fault:
        return Told(b"", frozenset(), f"{type(fault).__name__}: {fault}")


ANSWERS: dict[str, dict[str, Any]] = {
    "responses": {"id": "resp_1", "object": "response", "created_at": 1, "model": "m",
                  "status": "completed", "output": [], "parallel_tool_calls": True,
                  "tool_choice": "auto", "tools": []},
    "chat": {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}]},
    "messages": {"id": "msg_1", "type": "message", "role": "assistant", "model": "m",
                 "content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn",
                 "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}},
    "gemini": {"candidates": [{"content": {"role": "model", "parts": [{"text": "hi"}]},
                               "finishReason": "STOP"}]},
    "converse": {"output": {"message": {"role": "assistant", "content": [{"text": "hi"}]}},
                 "stopReason": "end_turn",
                 "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}},
}  # fmt: skip
_BYTES = {"bytes": "AAAA"}
VALUES: dict[str, Values] = {
    "responses": Values(
        {"status": ["completed"], "arguments": ['{"zqone":1}', '{"zqtwo":2}'],
         "Response.error": [], "Response.incomplete_details": []},
        {"output": [{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                     "content": [{"type": "output_text", "text": "hi", "annotations": []}]}]},
        {}, {},
    ),
    "chat": Values(
        {"index": [0], "Choice.finish_reason": ["stop", "length", "content_filter"],
         "Function.arguments": ['{"zqone":1}', '{"zqtwo":2}'],
         "ChatCompletionMessage.content": ["hi", "zqtwo"]},
        {}, {"ChatCompletionMessage": ("content",)}, {},
    ),
    "messages": Values(
        {"encrypted_content": ["zqone"]}, {"content": [{"type": "text", "text": "hi"}]}, {}, {},
    ),
    "gemini": Values(
        {"Candidate.finishReason": ["STOP", "MAX_TOKENS", "SAFETY"],
         "Part.inlineData": [{"mimeType": "image/png", "data": "AAAA"}],
         "Part.fileData": [{"mimeType": "video/mp4", "fileUri": "gs://zqone"}],
         "Part.functionCall": [{"name": "f", "args": {}}],
         "Part.executableCode": [{"code": "zqone", "language": "PYTHON"}],
         "Part.codeExecutionResult": [{"output": "zqone", "outcome": "OUTCOME_OK"}],
         "Part.toolCall": [{"id": "1", "toolType": "GOOGLE_MAPS", "args": {"q": "zqone"}}]},
        {"parts": [{"text": "hi"}]},
        {"Candidate": ("content", "finishReason"), "Content": ("parts",)}, {},
    ),
    "converse": Values(
        {"ConverseResponse.stopReason": ["end_turn", "max_tokens"],
         "ConverseResponse.usage": [{"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
                                    {"inputTokens": 3, "outputTokens": 1, "totalTokens": 4}],
         "Message.role": ["assistant"],
         "ContentBlock.image": [{"format": "png", "source": _BYTES}],
         "ContentBlock.document": [{"name": "zqone", "source": _BYTES}],
         "ContentBlock.video": [{"format": "mp4", "source": _BYTES}],
         "ContentBlock.audio": [{"format": "mp3", "source": _BYTES}],
         "ContentBlock.reasoningContent": [{"reasoningText": {"text": "zq", "signature": "zq"}}],
         "ContentBlock.citationsContent": [{"content": [{"text": "zqone"}], "citations": [
             {"location": {"web": {"url": "https://zq.one"}}}]}]},
        {"content": [{"text": "hi"}]}, {"ConverseOutput": ("message",)}, {},
    ),
}  # fmt: skip
