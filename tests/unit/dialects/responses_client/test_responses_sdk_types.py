"""What this gateway says in the Responses dialect is what typed clients expect."""

import json
import os
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter
from tests.unit.dialects.responses_client import scenes

from portico.dialects.responses.response_out import respond
from portico.dialects.responses.stream_out import stream
from portico.errors import UpstreamRejected, UpstreamTruncated
from portico.model.events import (
    ArgumentsDelta,
    CallStart,
    Event,
    Failed,
    Finish,
    HostedDone,
    ItemEnd,
    MessageStart,
    ReasoningStart,
    SealedSeen,
    Started,
    SummaryDelta,
    TextDelta,
)
from portico.model.response import fold
from portico.model.sealed import Sealed

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
FUNCTION = {"type": "function", "name": "look", "parameters": {"type": "object"}}
ASKS: list[dict[str, Any]] = [
    {},
    {
        "instructions": "Be\nkind.", "temperature": 0.5, "top_p": 1, "max_output_tokens": 99,
        "max_tool_calls": 3, "metadata": {"a": "b"}, "parallel_tool_calls": False,
        "tools": [FUNCTION],
        "tool_choice": {"type": "function", "name": "look"}, "reasoning": {"effort": "high"},
        "text": {"verbosity": "low"}, "truncation": "auto", "prompt_cache_key": "k",
        "safety_identifier": "s", "user": "u", "presence_penalty": 1, "frequency_penalty": -1,
        "store": True, "service_tier": "auto", "top_logprobs": 2,
    },
    {"tools": [FUNCTION], "text": {"format": {"type": "json_object"}}, "reasoning": {},
     "tool_choice": {"type": "allowed_tools", "mode": "auto",
                     "tools": [{"type": "function", "name": "look"}]}},
]  # fmt: skip
HOSTED_ASK: dict[str, Any] = {
    "tools": [
        {"type": "custom", "name": "patch", "format": {"type": "text"}},
        {"type": "namespace", "name": "ns", "description": "d", "tools": [FUNCTION]},
        {"type": "web_search", "filters": {"allowed_domains": ["a.example"]}},
        {"type": "mcp", "server_label": "s", "server_url": "https://a.example/key",
         "headers": {"x": "y"}, "authorization": "secret"},
        {"type": "code_interpreter", "container": {"type": "auto"}},
    ],
    "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}},
}  # fmt: skip


def common_answer() -> list[Event]:
    """What both specifications know: a message, reasoning, a function call."""
    return [
        Started("x", "up-1"),
        ReasoningStart(0),
        SummaryDelta(0, "hm"),
        SealedSeen(0, Sealed("o", "signature", "s")),
        ItemEnd(0),
        MessageStart(1),
        TextDelta(1, "Hi", scenes.LOGPROBS),
        ItemEnd(1),
        CallStart(2, "call_1", "look"),
        ArgumentsDelta(2, "{}"),
        ItemEnd(2),
        Finish("tool_calls"),
    ]


@pytest.mark.parametrize("body", [*ASKS, HOSTED_ASK])
def test_every_event_is_one_of_the_openai_sdk(body: dict[str, Any]) -> None:
    ask = scenes.asked(body)
    for event in scenes.payloads(scenes.written(scenes.rich_answer(), ask)):
        parsed = EVENT.validate_python(event)
        assert parsed.type == event["type"]
        extra = {*(parsed.model_extra or {})} - {"name"}  # OpenAI sends it, the SDK has no field
        assert extra == set()


@pytest.mark.parametrize("body", [*ASKS, HOSTED_ASK])
def test_every_response_is_one_of_the_openai_sdk(body: dict[str, Any]) -> None:
    ask = scenes.asked(body)
    Response.model_validate(json.loads(respond(fold(scenes.rich_answer()), ask)))


def test_failed_and_incomplete_responses_are_of_the_openai_sdk() -> None:
    length: list[Event] = [
        Started(), CallStart(0, "c", "look"), ArgumentsDelta(0, "{"), ItemEnd(0, "incomplete"),
        Finish("length"),
    ]  # fmt: skip
    fault = UpstreamRejected("Busy.", status=429, code="slow")
    for events in (length, [Started(), Failed(fault)]):
        for event in scenes.payloads(scenes.written(events)):
            if event["type"] != "error":  # documented flat, sent nested
                EVENT.validate_python(event)


def client(body: bytes) -> openai.OpenAI:
    transport = httpx2.MockTransport(
        lambda request: httpx2.Response(
            200,
            content=body,
            headers={
                "content-type": "text/event-stream"
                if body.startswith(b"event:")
                else "application/json"
            },
        )
    )
    return openai.OpenAI(api_key="k", http_client=httpx2.Client(transport=transport), max_retries=0)


def test_the_sdk_helper_gathers_the_same_response() -> None:
    events = scenes.rich_answer()
    ask = scenes.asked({"stream": True})
    with (
        client(scenes.written(events, ask)) as sdk,
        sdk.responses.stream(model="m", input="hi") as found,
    ):
        final = found.get_final_response()
    whole = json.loads(respond(fold(events), ask))
    got = json.loads(final.to_json())
    for item in got["output"]:
        item.pop("parsed_arguments", None)
        for part in item.get("content") or []:
            part.pop("parsed", None)
    assert got["output"] == whole["output"]
    assert final.output_text == "One \u2028 line\ntwo \u00e9%d%bpart two"


def test_the_sdk_raises_on_a_cut_stream() -> None:
    writer = stream(scenes.asked())
    body = writer.encode(scenes.text_answer()[:3]) + writer.cut(UpstreamTruncated("It was cut."))
    with client(body) as sdk, pytest.raises(openai.APIError, match="was cut"):
        list(sdk.responses.create(model="m", input="hi", stream=True))


def test_the_sdk_reads_a_whole_answer() -> None:
    with client(respond(fold(scenes.text_answer()), scenes.asked())) as sdk:
        response = sdk.responses.create(model="m", input="hi")
    assert response.output_text == "Hello there"
    assert response.usage is not None
    assert response.usage.output_tokens_details.reasoning_tokens == 4


# Open Responses

OPEN = pytest.importorskip("openresponses_types").types


def open_types() -> dict[str, Any]:
    """Event name to type."""
    found: dict[str, Any] = {}
    for value in vars(OPEN).values():
        if isinstance(value, type) and value.__name__.endswith("StreamingEvent"):
            default = value.model_fields["type"].annotation  # type: ignore[attr-defined]
            found[next(iter(default)).value] = value
    return found


@pytest.mark.parametrize("body", ASKS)
def test_streams_follow_open_responses(body: dict[str, Any]) -> None:
    types = open_types()
    assert len(types) == 24
    for event in scenes.payloads(scenes.written(common_answer(), scenes.asked(body))):
        types[event["type"]].model_validate(event)


@pytest.mark.parametrize("body", ASKS)
def test_responses_follow_open_responses(body: dict[str, Any]) -> None:
    found = json.loads(respond(fold(common_answer()), scenes.asked(body)))
    OPEN.ResponseResource.model_validate(found)


def test_errors_in_streams_follow_open_responses() -> None:
    fault = UpstreamRejected("Busy.", status=429, code="slow")
    types = open_types()
    for event in scenes.payloads(scenes.written([*common_answer()[:7], Failed(fault)])):
        types[event["type"]].model_validate(event)


SPECIFICATION = Path(os.environ.get("OPENRESPONSES_OPENAPI", "openresponses-openapi.json"))


@pytest.mark.skipif(not SPECIFICATION.is_file(), reason="OPENRESPONSES_OPENAPI names no file")
@pytest.mark.parametrize("body", ASKS)
def test_answers_follow_the_open_responses_schema(body: dict[str, Any]) -> None:
    """The schema itself, with JSON Schema's own rules."""
    jsonschema = pytest.importorskip("jsonschema")
    document = json.loads(SPECIFICATION.read_text())
    names = {
        schema["properties"]["type"]["enum"][0]: name
        for name, schema in document["components"]["schemas"].items()
        if name.endswith("StreamingEvent")
    }

    def validate(value: Any, name: str) -> None:
        where = {"$ref": f"#/components/schemas/{name}"}
        jsonschema.Draft202012Validator({**where, **document}).validate(value)

    ask = scenes.asked(body)
    validate(json.loads(respond(fold(common_answer()), ask)), "ResponseResource")
    for event in scenes.payloads(scenes.written(common_answer(), ask)):
        validate(event, names[event["type"]])


def test_hosted_shells_have_all_their_members() -> None:
    for event in scenes.rich_answer():
        if isinstance(event, HostedDone):
            data = scenes.written([Started(), event, Finish("stop")])
            for payload in scenes.payloads(data):
                EVENT.validate_python(payload)
