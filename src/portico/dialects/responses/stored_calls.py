"""Calls and their outputs in a chain: every output belongs to a call, every call has its output.

A provider that is asked through the hub would get half a pair otherwise, and each refuses that in
words of its own; here it is refused in OpenAI's words before anybody is asked. Source: OpenAI's
answers to such requests, https://platform.openai.com/docs/guides/function-calling, 2026-11-21.
"""

import msgspec
from msgspec import Raw, Struct

from portico.dialects.responses.wire import NULL
from portico.errors import BadRequest

_CALLS = {"function_call": "function call", "custom_tool_call": "custom tool call"}
"""Calls that clients answer, which must be answered, and their names in messages."""
_OUTPUTS = {f"{kind}_output": f"{name} output" for kind, name in _CALLS.items()}
_CALL_ID_CHARACTERS = 128

_decode_array = msgspec.json.Decoder(list[Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode


class _Entry(Struct, gc=False):
    """Nothing an object may hold makes it unreadable."""

    type: Raw = NULL
    call_id: Raw = NULL


_decode_entry = msgspec.json.Decoder(_Entry).decode


def check_calls(context: bytes, fresh: bytes) -> None:
    """Raise `BadRequest` for half a pair. `context` is what the chain holds and `fresh` the new
    input, both JSON arrays of items.

    An output in `fresh` needs a call of its `call_id` anywhere, a call in `context` an output
    anywhere. Calls in `fresh` are not looked at: the client wrote both halves. What answers which
    kind of call is not checked either: clients answer `local_shell_call` with function outputs.
    """
    if b'"call_id"' not in context and b'"call_id"' not in fresh:
        return
    before, after = _read(context), _read(fresh)
    called = {call_id for kind, call_id in before + after if not kind.endswith("_output")}
    for kind, call_id in after:
        if kind in _OUTPUTS and call_id not in called:
            raise _refused(f"No tool call found for {_OUTPUTS[kind]} with call_id {_cut(call_id)}.")
    answered = {call_id for kind, call_id in before + after if kind.endswith("_output")}
    for kind, call_id in before:
        if kind in _CALLS and call_id not in answered:
            raise _refused(f"No tool output found for {_CALLS[kind]} {_cut(call_id)}.")


def _read(raw: bytes) -> list[tuple[str, str]]:
    """(type, call_id) of the entries that have both."""
    found: list[tuple[str, str]] = []
    if b'"call_id"' not in raw:
        return found
    for element in _decode_array(raw):
        try:
            entry = _decode_entry(element)
            if bytes(entry.call_id) != b"null":
                found.append((_decode_text(entry.type), _decode_text(entry.call_id)))
        except ValueError:
            continue
    return found


def _cut(call_id: str) -> str:
    return call_id[:_CALL_ID_CHARACTERS]


def _refused(message: str) -> BadRequest:
    return BadRequest(message, param="input")
