"""A chain in which half a pair of call and output is missing is refused in OpenAI's words."""

import json
from typing import Any

import pytest

from portico.dialects.responses.stored_calls import check_calls
from portico.errors import BadRequest

CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "x"}
CUSTOM = {"type": "custom_tool_call", "call_id": "c2", "name": "g", "input": ""}
CUSTOM_OUTPUT = {"type": "custom_tool_call_output", "call_id": "c2", "output": "x"}
HELLO = {"role": "user", "content": '"call_id"'}


def checked(context: list[Any], fresh: list[Any]) -> None:
    check_calls(json.dumps(context).encode(), json.dumps(fresh, indent=1).encode())


@pytest.mark.parametrize(
    ("context", "fresh"),
    [
        ([], []),
        ([HELLO], [HELLO]),
        ([HELLO, CALL], [OUTPUT]),
        ([CALL, OUTPUT], [HELLO]),
        ([], [CALL, OUTPUT]),
        ([], [CALL]),
        ([CALL, CUSTOM], [CUSTOM_OUTPUT, OUTPUT]),
        ([CALL], [{**CUSTOM_OUTPUT, "call_id": "c1"}]),
        ([{"type": "local_shell_call", "call_id": "c1"}], [OUTPUT]),
        ([{"type": "shell_call", "call_id": "c9"}], [HELLO]),
        ([], [{**OUTPUT, "call_id": None}]),
        ([], [{**OUTPUT, "call_id": 5}, {"call_id": "c1"}, 5, None, "c1", ["c1"]]),
        ([OUTPUT], [HELLO]),
    ],
)
def test_whole_pairs_pass(context: list[Any], fresh: list[Any]) -> None:
    checked(context, fresh)


@pytest.mark.parametrize(
    ("context", "fresh", "message"),
    [
        ([], [OUTPUT], "No tool call found for function call output with call_id c1."),
        ([HELLO], [CALL, OUTPUT, {**OUTPUT, "call_id": "c3"}],
         "No tool call found for function call output with call_id c3."),
        ([CALL], [OUTPUT, CUSTOM_OUTPUT],
         "No tool call found for custom tool call output with call_id c2."),
        ([CALL], [HELLO], "No tool output found for function call c1."),
        ([CALL, {**CALL, "call_id": "c3"}], [OUTPUT], "No tool output found for function call c3."),
        ([CUSTOM], [], "No tool output found for custom tool call c2."),
        ([], [{**OUTPUT, "call_id": "c" * 500}],
         "No tool call found for function call output with call_id " + "c" * 128 + "."),
    ],
)  # fmt: skip
def test_half_a_pair_is_refused(context: list[Any], fresh: list[Any], message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        checked(context, fresh)
    assert caught.value.message == message
    assert (caught.value.param, caught.value.code) == ("input", None)


def test_ids_are_compared_as_text() -> None:
    check_calls(
        b'[{"type":"function_call","call_id":"\\u0061"}]',
        b'[{"type":"function_call_output","call_id":"a"}]',
    )
