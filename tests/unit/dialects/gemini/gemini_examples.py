"""Answers of Gemini, streamed and whole, with the traps that recordings show. Made by hand; their
shapes are held to the types of the official SDK in `test_gemini_answers.py`."""

import json
from typing import Any

from msgspec import Raw

from portico.dialects.gemini.upstream import UPSTREAM, capabilities_for
from portico.dialects.translate import Upstream
from portico.model.items import Message
from portico.model.parts import Text
from portico.model.request import GenerateRequest

ORIGIN = "gemini:main"
Json = dict[str, Any]
SIG = "CqYBAdHtim9zaWduYXR1cmU="
SIG2 = "EuwBCukBAdHtim8yc2Vjb25k"


def upstream(model: str = "gemini-3-flash-preview", *quirks: str, kind: str = "gemini") -> Upstream:
    return Upstream(
        model=model,
        provider=kind,
        origin=ORIGIN,
        capabilities=capabilities_for(kind, model),
        quirks=frozenset(quirks),
    )


def vertex(model: str = "gemini-3-flash-preview") -> Upstream:
    return upstream(model, "vertex", kind="vertex")


def ask(*items: Any, **fields: Any) -> GenerateRequest:
    given = items or (Message("user", (Text("hi"),)),)
    fields = {"model": "alias", "dialect": "responses", **fields}
    return GenerateRequest(items=given, **fields)


def write(request: GenerateRequest, target: Upstream, losses: list[Any] | None = None) -> Json:
    written: Json = json.loads(
        UPSTREAM.write(request, target, losses if losses is not None else [])
    )
    return written


def raw(value: Any) -> Raw:
    return Raw(json.dumps(value).encode())


def usage(prompt: int, out: int | None = None, thoughts: int | None = None, **more: int) -> Json:
    found: Json = {"promptTokenCount": prompt, **more}
    if out is not None:
        found["candidatesTokenCount"] = out
    if thoughts is not None:
        found["thoughtsTokenCount"] = thoughts
    found["totalTokenCount"] = prompt + (out or 0) + (thoughts or 0)
    return found


def answer(
    *parts: Json, finish: str | None = None, counts: Json | None = None, **candidate: Any
) -> Json:
    choice: Json = {"content": {"parts": list(parts), "role": "model"}, "index": 0, **candidate}
    if finish is not None:
        choice["finishReason"] = finish
    return {
        "candidates": [choice],
        "usageMetadata": counts if counts is not None else usage(10),
        "modelVersion": "gemini-3-flash-preview",
        "responseId": "pQ4_aZ-xH",
    }


def sse(chunks: list[Json]) -> bytes:
    texts = [json.dumps(chunk, ensure_ascii=False, separators=(",", ":")) for chunk in chunks]
    return "".join([f"data: {text}\r\n\r\n" for text in texts]).encode()


def call(name: str, args: Json | None = None, **more: Any) -> Json:
    found: Json = {"name": name}
    if args is not None:
        found["args"] = args
    found |= {key: more.pop(key) for key in ("id", "willContinue", "partialArgs") if key in more}
    return {"functionCall": found, **more}


TEXT = (
    [
        answer({"text": "Grüß"}),
        answer({"text": " dich, "}, counts=usage(10, 4)),
        answer({"text": ""}),
        answer({"text": "Welt 🌍."}, finish="STOP", counts=usage(10, 9, cachedContentTokenCount=4)),
    ],
    answer(
        {"text": "Grüß dich, Welt 🌍."},
        finish="STOP",
        counts=usage(10, 9, cachedContentTokenCount=4),
    ),
)

THINKING = (
    [
        answer({"text": "**Plan**\n", "thought": True}),
        answer({"text": "think.", "thought": True}, counts=usage(10, None, 5)),
        answer({"text": "The answer"}, counts=usage(10, 2, 5)),
        answer({"text": " is 4."}),
        # the signature comes alone, after all text
        answer({"text": "", "thoughtSignature": SIG}, finish="STOP", counts=usage(10, 6, 5)),
    ],
    answer(
        {"text": "**Plan**\nthink.", "thought": True},
        {"text": "The answer is 4."},
        {"text": "", "thoughtSignature": SIG},
        finish="STOP",
        counts=usage(10, 6, 5),
    ),
)

SIGNED_TEXT = (
    [
        answer({"text": "The answer"}, counts=usage(10, 2, 5)),
        answer({"text": " is 4.", "thoughtSignature": SIG}, finish="STOP", counts=usage(10, 6, 5)),
    ],
    answer(
        {"text": "The answer is 4.", "thoughtSignature": SIG},
        finish="STOP",
        counts=usage(10, 6, 5),
    ),
)

CALLS = (
    [
        answer({"text": "Look", "thought": True}),
        answer({"text": "I'll check."}),
        # two calls in one chunk, only the first is signed, no ids, no arguments for the second
        answer(call("weather", {"city": "Bern", "days": 2}, thoughtSignature=SIG), call("now")),
        answer({"text": ""}, finish="STOP", counts=usage(30, 12, 8)),
    ],
    answer(
        {"text": "Look", "thought": True},
        {"text": "I'll check."},
        call("weather", {"city": "Bern", "days": 2}, thoughtSignature=SIG),
        call("now"),
        finish="STOP",
        counts=usage(30, 12, 8),
    ),
)

CALL_WITH_ID = (
    [answer(call("f", {}, id="abc123", thoughtSignature=SIG), finish="STOP", counts=usage(5, 3))],
    answer(call("f", {}, id="abc123", thoughtSignature=SIG), finish="STOP", counts=usage(5, 3)),
)

_ARGS = {"place": {"city": "New York", "at": [1.5, True, None]}, "note": 'a "b"'}
PARTIAL_CALL = (
    [
        answer(call("weather", willContinue=True, thoughtSignature=SIG)),
        answer(
            call(
                "",
                willContinue=True,
                partialArgs=[
                    {"jsonPath": "$.place.city", "stringValue": "New ", "willContinue": True}
                ],
            )
        ),
        answer(
            call(
                "",
                willContinue=True,
                partialArgs=[
                    {"jsonPath": "$.place.city", "stringValue": "York"},
                    {"jsonPath": "$.place.at[0]", "numberValue": 1.5},
                    {"jsonPath": "$.place.at[1]", "boolValue": True},
                    {"jsonPath": "$.place.at[2]", "nullValue": "NULL_VALUE"},
                    {"jsonPath": "$['note']", "stringValue": 'a "b"'},
                ],
            )
        ),
        answer({"functionCall": {}}),
        answer(call("now", {})),
        answer(finish="STOP", counts=usage(20, 20)),
    ],
    answer(
        call("weather", _ARGS, thoughtSignature=SIG),
        call("now", {}),
        finish="STOP",
        counts=usage(20, 20),
    ),
)

CODE_PART = {"executableCode": {"language": "PYTHON", "code": "print(2+2)"}}
RESULT_PART = {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "4\n"}}
CODE = (
    [
        answer({"text": "Let me compute."}),
        answer({**CODE_PART, "thoughtSignature": SIG}),
        answer({**RESULT_PART}),
        answer({"text": "It is 4."}, finish="STOP", counts=usage(8, 9, toolUsePromptTokenCount=7)),
    ],
    answer(
        {"text": "Let me compute."},
        {**CODE_PART, "thoughtSignature": SIG},
        RESULT_PART,
        {"text": "It is 4."},
        finish="STOP",
        counts=usage(8, 9, toolUsePromptTokenCount=7),
    ),
)

# "Zürich hat 🚋. Bern auch." : offsets in bytes of UTF-8
_GROUNDING = {
    "webSearchQueries": ["tram zürich", "tram bern"],
    "searchEntryPoint": {"renderedContent": "<div>...</div>"},
    "groundingChunks": [
        {"web": {"uri": "https://a.example/z", "title": "a.example"}},
        {"web": {"uri": "https://b.example/b", "title": "b.example"}},
    ],
    "groundingSupports": [
        {
            "segment": {"endIndex": 17, "text": "Zürich hat 🚋."},
            "groundingChunkIndices": [0],
        },
        {
            "segment": {"startIndex": 18, "endIndex": 28, "text": "Bern auch."},
            "groundingChunkIndices": [0, 1],
        },
    ],
}
GROUNDED = (
    [
        answer({"text": "Zürich hat"}, groundingMetadata={"webSearchQueries": ["tram zürich"]}),
        answer({"text": " 🚋. Bern auch."}),
        answer(finish="STOP", counts=usage(9, 9), groundingMetadata=_GROUNDING),
    ],
    answer(
        {"text": "Zürich hat 🚋. Bern auch."},
        finish="STOP",
        counts=usage(9, 9),
        groundingMetadata=_GROUNDING,
    ),
)

PICTURE = (
    [
        answer({"text": "Here:"}),
        answer({"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}),
        answer({"text": ""}, finish="STOP", counts=usage(4, 1290)),
    ],
    answer(
        {"text": "Here:"},
        {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}},
        finish="STOP",
        counts=usage(4, 1290),
    ),
)

TOOL_CALL = {
    "toolCall": {"toolType": "GOOGLE_SEARCH_WEB", "args": {"queries": ["q1", "q2"]}, "id": "s1"}
}
TOOL_RESPONSE = {
    "toolResponse": {"toolType": "GOOGLE_SEARCH_WEB", "response": {"r": "x"}, "id": "s1"}
}
SERVED = (
    [
        answer({**TOOL_CALL, "thoughtSignature": SIG}),
        answer({**TOOL_RESPONSE, "thoughtSignature": SIG2}),
        answer(call("f", {"x": 1}, id="c1", thoughtSignature=SIG), finish="STOP"),
    ],
    answer(
        {**TOOL_CALL, "thoughtSignature": SIG},
        {**TOOL_RESPONSE, "thoughtSignature": SIG2},
        call("f", {"x": 1}, id="c1", thoughtSignature=SIG),
        finish="STOP",
    ),
)

CUT = (
    [answer({"text": "one"}), answer({"text": " two"}, finish="MAX_TOKENS", counts=usage(3, 2))],
    answer({"text": "one two"}, finish="MAX_TOKENS", counts=usage(3, 2)),
)

BLOCKED_ANSWER: Json = {
    "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
    "usageMetadata": {"promptTokenCount": 12, "totalTokenCount": 12},
    "modelVersion": "gemini-2.5-flash",
    "responseId": "zz",
}
BLOCKED = ([BLOCKED_ANSWER], BLOCKED_ANSWER)

LOGPROBS_RESULT = {
    "chosenCandidates": [{"token": "Hé", "tokenId": 7, "logProbability": -0.1}],
    "topCandidates": [
        {
            "candidates": [
                {"token": "Hé", "tokenId": 7, "logProbability": -0.1},
                {"token": "Ho", "tokenId": 8, "logProbability": -2.5},
            ]
        }
    ],
}
LOGPROBS = (
    [
        answer({"text": "Hé"}, logprobsResult=LOGPROBS_RESULT, finish="STOP", avgLogprobs=-0.1),
    ],
    answer({"text": "Hé"}, logprobsResult=LOGPROBS_RESULT, finish="STOP", avgLogprobs=-0.1),
)

PAIRS: dict[str, tuple[list[Json], Json]] = {
    "text": TEXT,
    "thinking": THINKING,
    "signed text": SIGNED_TEXT,
    "calls": CALLS,
    "call with id": CALL_WITH_ID,
    "partial call": PARTIAL_CALL,
    "code": CODE,
    "grounded": GROUNDED,
    "picture": PICTURE,
    "served": SERVED,
    "cut": CUT,
    "blocked": BLOCKED,
    "logprobs": LOGPROBS,
}
