"""What the tests of the Responses client side share: requests, answers, and a strict reader."""

import json
from typing import Any

import pytest
from msgspec import Raw

from portico.dialects import checks
from portico.dialects.responses.request_in import read
from portico.dialects.responses.stream_out import stream
from portico.dialects.translate import Asked
from portico.errors import BadRequest
from portico.limits import Limits
from portico.model.events import (
    ArgumentsDelta,
    CallStart,
    CitationAdded,
    Event,
    Finish,
    HostedDone,
    ItemEnd,
    MessageStart,
    PartEnd,
    ReasoningStart,
    RefusalDelta,
    SealedSeen,
    Started,
    SummaryDelta,
    TextDelta,
    ThoughtDelta,
    UsageSeen,
)
from portico.model.items import Hit, Hosted
from portico.model.parts import Citation
from portico.model.request import GenerateRequest
from portico.model.sealed import PREFIX, Sealed
from portico.model.usage import Usage

BASE = "0123456789abcdef0123456789abcdef"
LIMITS = Limits()
LOGPROBS = Raw(b'[{"token":"a","logprob":-0.5,"bytes":[97],"top_logprobs":[]}]')


def seal(value: Sealed) -> str:
    return f"{PREFIX}{value.origin}|{value.kind}|{value.data}"


def unseal(text: str) -> Sealed | None:
    parts = text.removeprefix(PREFIX).split("|")
    if not text.startswith(PREFIX) or len(parts) != 3:
        return None
    return Sealed(parts[0], parts[1], parts[2])  # type: ignore[arg-type]


def ask(body: dict[str, Any] | bytes) -> GenerateRequest:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read(checks.members(raw, LIMITS), raw, LIMITS, unseal)


def refusal(body: dict[str, Any] | bytes) -> tuple[str | None, str | None]:
    """(code, param) of the error; the message names the parameter too."""
    with pytest.raises(BadRequest) as caught:
        ask(body)
    error = caught.value
    if error.code not in ("invalid_value", "unsupported_parameter"):
        assert f"'{error.param}'" in error.message
    return error.code, error.param


def asked(body: dict[str, Any] | None = None, model: str = "up-1") -> Asked:
    whole = json.dumps({"model": "m", "input": "hi", **(body or {})}, indent=1).encode()
    fields = checks.members(whole, LIMITS)
    return Asked(
        request=read(fields, whole, LIMITS, unseal),
        fields=fields,
        base=BASE,
        created=1_700_000_000,
        clock=lambda: 1_700_000_003.7,
        model=model,
        seal=seal,
        losses=[],
    )


def written(events: list[Event], ask: Asked | None = None) -> bytes:
    """The stream of all events, one call per event: state has to live between calls."""
    writer = stream(ask or asked())
    return b"".join([writer.encode([event]) for event in events])


def payloads(data: bytes) -> list[dict[str, Any]]:
    """The events of a stream. Checks the framing: LF only, `event:` equal to `type`, one `data:`
    line, numbers from 0 without gaps, nothing after `[DONE]`."""
    assert b"\r" not in data
    frames = data.split(b"\n\n")
    assert frames.pop() == b""
    if frames[-1] == b"data: [DONE]":
        frames.pop()
    found = []
    for number, frame in enumerate(frames):
        name, line = frame.split(b"\n")
        assert line.startswith(b"data: ")
        event = json.loads(line[6:])
        assert name == b"event: " + event["type"].encode()
        assert event["sequence_number"] == number
        found.append(event)
    return found


def is_done(data: bytes) -> bool:
    return data.endswith(b"data: [DONE]\n\n") and data.count(b"data: [DONE]") == 1


def text_answer(text: str = "Hello there") -> list[Event]:
    half = len(text) // 2
    return [
        Started("up_1", "up-1-2026"),
        MessageStart(0),
        TextDelta(0, text[:half]),
        TextDelta(0, text[half:]),
        ItemEnd(0),
        UsageSeen(Usage(input_uncached=5, cache_read=3, cache_write=2, output_text=7, reasoning=4)),
        Finish("stop"),
    ]


def rich_answer() -> list[Event]:
    """Every kind of event and of item."""
    hosted = [
        Hosted(type="web_search_call", input="cats", hits=(Hit("https://a.example/1", "A"),)),
        Hosted(type="file_search_call", input="cats", hits=(Hit("", "a.txt", "text"),)),
        Hosted(type="code_interpreter_call", input="print(1)", output="1"),
        Hosted(type="image_generation_call", output="aGk="),
        Hosted(type="mcp_call", name="tool", input='{"a":1}', output="ok"),
        Hosted(type="mcp_call", name="tool", status="failed"),
        Hosted(type="mcp_list_tools"),
        Hosted(type="mcp_approval_request", name="tool", input="{}"),
    ]
    return [
        Started("up_1", "up-1-2026", "flex"),
        ReasoningStart(0),
        SummaryDelta(0, "think "),
        SummaryDelta(0, "hard"),
        PartEnd(0),
        SummaryDelta(0, "more"),
        ThoughtDelta(0, "raw"),
        SealedSeen(0, Sealed("who", "signature", "sig")),
        ItemEnd(0),
        MessageStart(1, "commentary"),
        TextDelta(1, "One \u2028 line\n", LOGPROBS),
        TextDelta(1, "two \u00e9%d%b"),
        CitationAdded(1, Citation(kind="url", url="https://a.example", title="A", start=0, end=3)),
        PartEnd(1),
        CitationAdded(1, Citation(kind="file", file_id="file_1", filename="a.txt", index=2)),
        TextDelta(1, "part two"),
        RefusalDelta(1, "no "),
        RefusalDelta(1, "way"),
        ItemEnd(1),
        *[HostedDone(2 + index, item) for index, item in enumerate(hosted)],
        CallStart(20, "call_1", "look", namespace="ns"),
        ArgumentsDelta(20, '{"a":'),
        ArgumentsDelta(20, "1}"),
        ItemEnd(20),
        CallStart(21, "call_2", "empty"),
        ItemEnd(21),
        CallStart(22, "call_3", "patch", "custom"),
        ArgumentsDelta(22, "*** Begin"),
        ItemEnd(22),
        UsageSeen(Usage(input_uncached=5, output_text=7)),
        Finish("tool_calls", service_tier="priority"),
    ]
