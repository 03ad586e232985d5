"""Compacted conversations and counts, as clients of the Responses API send and get them."""

import json
from typing import Any

import pytest
from msgspec import Raw

from portico.dialects.responses import compact_out
from portico.dialects.responses.count_tokens import read_body, read_request, write_answer
from portico.dialects.responses.items_in import OWN_CONTEXT, OWN_SUMMARY
from portico.errors import BadRequest
from portico.limits import Limits
from portico.model.items import Compaction
from portico.model.sealed import PREFIX, Sealed

BASE = "ab" * 16
LIMITS = Limits()


def seal(sealed: Sealed) -> str:
    return f"{PREFIX}{sealed.origin}|{sealed.data}"


def unseal(text: str) -> Sealed | None:
    origin, bar, data = text.removeprefix(PREFIX).partition("|")
    return Sealed(origin, "encrypted", data) if bar else None


def output(given: Any) -> list[dict[str, Any]]:
    raw = Raw(json.dumps(given).encode())
    body = compact_out.write(raw, Compaction("S"), None, base=BASE, created=7, seal=seal)
    value = json.loads(body)
    assert (value["id"], value["object"]) == (f"resp_{BASE}", "response.compaction")
    assert value["usage"]["total_tokens"] == 0
    items: list[dict[str, Any]] = value["output"]
    assert items[-1]["encrypted_content"] == seal(Sealed(OWN_SUMMARY, "encrypted", "S"))
    return items[:-1]


def test_text_is_one_message_of_the_user() -> None:
    assert output("Hi\n") == [
        {"type": "message", "id": f"msg_{BASE}0000", "status": "completed", "role": "user",
         "content": [{"type": "input_text", "text": "Hi\n"}]}
    ]  # fmt: skip


def test_messages_of_the_user_keep_their_parts_and_the_rest_goes() -> None:
    parts = [{"type": "input_image", "image_url": "https://a.example/x.png", "detail": "low"}]
    given = [
        {"role": "user", "content": "One", "id": "mine"},
        {"role": "assistant", "content": "Two"},
        {"type": "function_call_output", "call_id": "c", "output": "x"},
        {"type": "message", "role": "user", "content": parts, "status": "in_progress"},
    ]
    first, second = output(given)
    assert first["content"] == [{"type": "input_text", "text": "One"}]
    assert (second["content"], second["status"]) == (parts, "completed")
    assert first["id"] != second["id"] != "mine"


def wire(origin: str, text: str) -> dict[str, Any]:
    value = seal(Sealed(origin, "encrypted", text))
    return {"type": "compaction", "id": "cmp_1", "encrypted_content": value}


def restated(items: Any) -> Any:
    raw = compact_out.restated({"input": Raw(json.dumps(items).encode())}, unseal)
    return None if raw is None else json.loads(bytes(raw))


def test_a_summary_is_put_into_words_for_a_provider_that_gets_the_bytes() -> None:
    user = {"role": "user", "content": "Hi"}
    told = restated([user, wire(OWN_SUMMARY, "S"), user])
    assert told == [
        user,
        {"type": "message", "role": "user", "content": "Summary of the conversation so far:\nS"},
        user,
    ]


def test_what_a_complete_summary_stands_for_is_left_out() -> None:
    user, rule = {"role": "user", "content": "Hi"}, {"role": "system", "content": "Be good"}
    told = restated([rule, user, wire(OWN_CONTEXT, "S"), user])
    assert [each["role"] for each in told] == ["system", "user", "user"]


@pytest.mark.parametrize(
    "items",
    [
        "text with ptco1_ in it",
        [{"role": "user", "content": "ptco1_"}],
        [{"type": "compaction", "encrypted_content": "ptco1_nothing of ours"}],
        [{"type": "compaction", "encrypted_content": "gAAAA"}],
        [wire("responses/elsewhere", "S")],
    ],
)
def test_everything_else_keeps_its_bytes(items: Any) -> None:
    assert restated(items) is None


@pytest.mark.parametrize("given", [b"", b',"input":[ ]', b',"input":null', b',"input":""'])
def test_a_count_needs_no_input(given: bytes) -> None:
    body = b'{"model":"m","instructions":"Be brief"%b}' % given
    ask = read_body(body, LIMITS)
    assert (ask.body, ask.model) == (body, "m")
    asked = read_request(ask.fields, ask.body, LIMITS, unseal)
    assert asked.items == ()
    assert asked.instructions[0].text == "Be brief"


def test_a_count_checks_everything_else() -> None:
    body = b'{"model":"m","tools":"many"}'
    with pytest.raises(BadRequest) as refused:
        read_body(body, LIMITS)
    assert refused.value.param == "tools"
    body = b'{"model":"m","input":[{"role":"nobody","content":"x"}]}'
    ask = read_body(body, LIMITS)
    with pytest.raises(BadRequest) as refused:
        read_request(ask.fields, ask.body, LIMITS, unseal)
    assert refused.value.param == "input[0].role"


def test_the_answer_to_a_count_names_its_object() -> None:
    assert json.loads(write_answer(7)) == {"object": "response.input_tokens", "input_tokens": 7}
