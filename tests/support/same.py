"""Whether a stream, folded by the client's SDK, is the answer in one piece."""

from collections.abc import Callable
from typing import Any

Json = Any


def same_answer(client: str, whole: Json, folded: Json) -> None:
    """Raise AssertionError where they differ in more than ids, times and what only one can say."""
    _SAME[client](whole, folded)


def _responses(whole: Json, folded: Json) -> None:
    assert folded == whole


def _chat(whole: Json, folded: Json) -> None:
    one, other = whole["choices"][0], folded["choices"][0]
    assert other["finish_reason"] == one["finish_reason"]
    assert (other.get("logprobs") or None) == (one.get("logprobs") or None)
    message, streamed = one["message"], other["message"]
    for key in message.keys() | streamed.keys():
        if key == "tool_calls":
            calls, said = message.get(key) or [], streamed.get(key) or []
            assert [_call(call) for call in said] == [_call(call) for call in calls]
        elif key == "reasoning_details":
            # accumulators that do not know them make one of all with the same index
            for detail in message[key]:
                same = next(each for each in streamed[key] if each["index"] == detail["index"])
                for member in detail.keys() & {"data", "text", "summary", "signature"}:
                    assert same[member] == detail[member]
        elif key != "parsed":
            assert (streamed.get(key) or None) == (message.get(key) or None), key
    if folded.get("usage") is not None:
        assert folded["usage"] == whole["usage"]
    assert folded["model"] == whole["model"]


def _call(call: Json) -> Json:
    """Without what accumulators add: the place in the list, and arguments they have parsed."""
    bare = {key: value for key, value in call.items() if key != "index"}
    inner = bare[call["type"]]
    bare[call["type"]] = {key: inner[key] for key in inner if key != "parsed_arguments"}
    return bare


def _messages(whole: Json, folded: Json) -> None:
    for key in ("model", "role", "stop_reason", "stop_sequence", "type"):
        assert folded[key] == whole[key], key
    assert folded.get("stop_details") == whole.get("stop_details")
    one = [_plain(_bare(block)) for block in whole["content"]]
    assert [_plain(_bare(block)) for block in folded["content"]] == one
    for key, value in whole["usage"].items():
        if isinstance(value, int):
            assert folded["usage"][key] == value, key


def _bare(block: Json) -> Json:
    gone = ("parsed_output", "tool_use_id", "id" if block["type"] == "server_tool_use" else "")
    out = {key: value for key, value in block.items() if value is not None and key not in gone}
    if out.get("citations") == []:
        del out["citations"]
    return out


def _plain(value: Json) -> Json:
    """Without nulls, which models of the SDK fill in."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value


_SAME: dict[str, Callable[[Json, Json], None]] = {
    "responses": _responses,
    "chat": _chat,
    "messages": _messages,
}
