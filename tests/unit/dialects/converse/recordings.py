"""Answers of Bedrock, whole and streamed, in the shapes that were recorded in 2026."""

from typing import Any

from msgspec import json

from portico.dialects.converse.upstream import UPSTREAM
from portico.dialects.translate import Upstream
from portico.wire.eventstream import encode

CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
ORIGIN = "converse/bedrock"

Event = dict[str, Any]


def upstream(model: str = CLAUDE) -> Upstream:
    return Upstream(
        model=model, provider="bedrock", origin=ORIGIN, capabilities=UPSTREAM.capabilities(model)
    )


def message(event: Event) -> bytes:
    """One event as Bedrock sends it: `p` is padding."""
    ((name, payload),) = event.items()
    headers = {
        ":event-type": name, ":content-type": "application/json", ":message-type": "event",
    }  # fmt: skip
    return encode(headers, json.encode({**payload, "p": "abcdefgh"}))


def exception(name: str, **payload: Any) -> bytes:
    headers = {
        ":message-type": "exception", ":exception-type": name,
        ":content-type": "application/json",
    }  # fmt: skip
    return encode(headers, json.encode(payload))


def stream(events: list[Event]) -> bytes:
    return b"".join([message(event) for event in events])


def delta(at: int, **fields: Any) -> Event:
    return {"contentBlockDelta": {"contentBlockIndex": at, "delta": fields}}


def stop(at: int) -> Event:
    return {"contentBlockStop": {"contentBlockIndex": at}}


def call(at: int, call_id: str, name: str, **more: Any) -> Event:
    use = {"toolUseId": call_id, "name": name, **more}
    return {"contentBlockStart": {"contentBlockIndex": at, "start": {"toolUse": use}}}


def finish(reason: str, **more: Any) -> Event:
    return {"messageStop": {"stopReason": reason, **more}}


START: Event = {"messageStart": {"role": "assistant"}}
USAGE = {"inputTokens": 12, "outputTokens": 30, "totalTokens": 1142, "cacheReadInputTokens": 1000,
         "cacheWriteInputTokens": 100, "serverToolUsage": {}}  # fmt: skip


def metadata(**more: Any) -> Event:
    return {"metadata": {"metrics": {"latencyMs": 802}, "usage": USAGE, **more}}


def whole(content: list[Event], reason: str, **more: Any) -> bytes:
    return json.encode(
        {
            "metrics": {"latencyMs": 802},
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": reason,
            "usage": USAGE,
            **more,
        }
    )


CITATION = {
    "title": "document-1",
    "location": {"documentPage": {"documentIndex": 1, "start": 1, "end": 2}},
    "sourceContent": [{"text": "Generative models predict."}],
}
RESULT = [{"text": "3 pages"}]

PAIRS: dict[str, tuple[bytes, list[Event]]] = {
    "text": (
        whole([{"text": "Grüße, Welt"}], "end_turn"),
        [START, delta(0, text=""), delta(0, text="Grü"), delta(0, text="ße, Welt"), stop(0),
         finish("end_turn"), metadata()],
    ),
    "metadata before the stop": (
        whole([{"text": "OK."}], "max_tokens", serviceTier={"type": "reserved"}),
        [START, delta(0, text="OK."), stop(0), metadata(serviceTier={"type": "reserved"}),
         finish("max_tokens")],
    ),
    "thinking and calls": (
        whole(
            [
                {"reasoningContent": {
                    "reasoningText": {"text": "Two calls.", "signature": "EpQ="}}},
                {"text": "Looking."},
                {"toolUse": {"toolUseId": "tooluse_1", "name": "look", "input": {"q": "a b"},
                             "type": "tool_use"}},
                {"toolUse": {"toolUseId": "tooluse_2", "name": "now", "input": {}}},
            ],
            "tool_use",
        ),
        [START, delta(0, reasoningContent={"text": "Two "}),
         delta(0, reasoningContent={"text": "calls."}), delta(0, reasoningContent={"text": ""}),
         delta(0, reasoningContent={"signature": "EpQ="}), stop(0), delta(1, text="Looking."),
         stop(1), call(2, "tooluse_1", "look"), delta(2, toolUse={"input": ""}),
         delta(2, toolUse={"input": '{"q":'}), delta(2, toolUse={"input": '"a b"}'}), stop(2),
         call(3, "tooluse_2", "now"), stop(3), finish("tool_use"), metadata()],
    ),
    "redacted": (
        whole(
            [
                {"reasoningContent": {"redactedContent": "cnNuX2E="}},
                {"reasoningContent": {"reasoningText": {"text": "", "signature": "onlyProof"}}},
                {"text": "Done."},
            ],
            "end_turn",
        ),
        [START, delta(0, reasoningContent={"redactedContent": "cnNuX2E="}), stop(0),
         delta(1, reasoningContent={"signature": "onlyProof"}), stop(1), delta(2, text="Done."),
         stop(2), finish("end_turn"), metadata()],
    ),
    "citations": (
        whole(
            [
                {"text": "The page says "},
                {"citationsContent": {"citations": [CITATION],
                                      "content": [{"text": "models predict"}]}},
                {"text": "."},
            ],
            "end_turn",
        ),
        [START, delta(0, text="The page "), delta(0, text="says "), stop(0),
         delta(1, citation=CITATION), delta(1, text="models "), delta(1, text="predict"), stop(1),
         delta(2, text="."), stop(2), finish("end_turn"), metadata()],
    ),
    "a stop sequence": (
        whole([{"text": "a"}], "stop_sequence",
              additionalModelResponseFields={"stop_sequence": "END"}),
        [START, delta(0, text="a"), stop(0),
         finish("stop_sequence", additionalModelResponseFields={"delta": {"stop_sequence": "END"}}),
         metadata()],
    ),
    "a search of the provider's own": (
        whole(
            [
                {"toolUse": {"toolUseId": "t1", "name": "nova_grounding",
                             "input": {"query": "weather"}, "type": "server_tool_use"}},
                {"toolResult": {"toolUseId": "t1", "content": RESULT, "status": "success",
                                "type": "nova_grounding_result"}},
                {"text": "Sunny."},
            ],
            "end_turn",
        ),
        [START, call(0, "t1", "nova_grounding", type="server_tool_use"),
         delta(0, toolUse={"input": '{"query":"wea'}), delta(0, toolUse={"input": 'ther"}'}),
         stop(0),
         {"contentBlockStart": {"contentBlockIndex": 1, "start": {
             "toolResult": {"toolUseId": "t1", "type": "nova_grounding_result"}}}},
         delta(1, toolResult=RESULT), stop(1), delta(2, text="Sunny."), stop(2),
         finish("end_turn"), metadata()],
    ),
    "a picture": (
        whole([{"text": "Here:"},
               {"image": {"format": "png", "source": {"bytes": "iVBORw0KGg=="}}}],
              "end_turn"),
        [START, delta(0, text="Here:"), stop(0),
         {"contentBlockStart": {"contentBlockIndex": 1, "start": {"image": {"format": "png"}}}},
         delta(1, image={"source": {"bytes": "iVBORw=="}}),
         delta(1, image={"source": {"bytes": "DQoa"}}), stop(1), finish("end_turn"), metadata()],
    ),
    "nothing": (
        whole([], "content_filtered"),
        [START, finish("content_filtered"), metadata()],
    ),
}  # fmt: skip
"""Name -> the whole answer and the events of the same answer streamed."""
