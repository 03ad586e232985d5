"""What a client sends after an answer: the history with the answer in it, and results."""

import json
from typing import Any

Json = Any
RESULT = "18, sunny"
_OPAQUE = frozenset(
    ("encrypted_content", "signature", "thoughtSignature", "redactedContent", "data")
)


def next_turn(client: str, asked: Json, answer: Json) -> Json:
    """The body of the request that follows `asked`."""
    body = json.loads(json.dumps(asked))
    if client == "responses":
        items = body["input"]
        if isinstance(items, str):
            items = [{"role": "user", "content": items}]
        body["input"] = items + answer["output"] + [_output(item) for item in answer["output"]
                                                    if "call_id" in item]  # fmt: skip
    elif client == "chat":
        message = answer["choices"][0]["message"]
        kept = {key: value for key, value in message.items() if value not in (None, [])}
        body["messages"] += [kept, *[
            {"role": "tool", "tool_call_id": call["id"], "content": RESULT}
            for call in message.get("tool_calls") or ()
        ]]  # fmt: skip
    else:
        results = [
            {"type": "tool_result", "tool_use_id": block["id"], "content": RESULT}
            for block in answer["content"]
            if block["type"] == "tool_use"
        ]
        body["messages"] += [
            {"role": "assistant", "content": answer["content"]},
            {"role": "user", "content": results},
        ]
    return body


def _output(item: Json) -> Json:
    return {"type": f"{item['type']}_output", "call_id": item["call_id"], "output": RESULT}


def opaque(value: Json) -> list[str]:
    """Every opaque string of a provider's answer."""
    if isinstance(value, dict):
        found = [inner for key, inner in value.items() if key in _OPAQUE and isinstance(inner, str)]
        return found + [proof for inner in value.values() for proof in opaque(inner)]
    if isinstance(value, list):
        return [proof for inner in value for proof in opaque(inner)]
    return []
