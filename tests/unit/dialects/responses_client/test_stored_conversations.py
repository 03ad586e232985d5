"""What a conversation takes can be sent as input; what it does not take is named."""

import json
from typing import Any

import pytest
from msgspec import Raw
from openai.types.conversations import Conversation, ConversationDeletedResource

from portico.dialects.responses.conversation_in import (
    conversation_id,
    conversation_object,
    deleted_object,
    deleted_response,
    read_create,
    read_items,
    read_update,
)
from portico.errors import BadRequest
from portico.limits import Limits

LIMITS = Limits()
HELLO = {"role": "user", "content": "hi"}


def dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    "body", [b"", b" \n", b"{}", b'{"metadata":null,"items":null}', b'{"metadata":{},"items":[]}']
)
def test_a_conversation_may_begin_with_nothing(body: bytes) -> None:
    assert read_create(body, LIMITS) == (b"{}", b"[]")


def test_what_a_conversation_begins_with_is_kept() -> None:
    items = b'[ {"role":"user" , "content":"\\u00e9","n":1.50}, {"type":"later","x":{}} ]'
    body = b'{"items":' + items + b',"metadata":{ "a" : "b",\n"a":"\\n" },"more":1}'
    assert read_create(body, LIMITS) == (b'{"a":"\\n"}', items)
    assert read_items(b'{"items":' + items + b"}", LIMITS) == items


def test_metadata_is_replaced() -> None:
    assert read_update(b'{"metadata":{"a":"b"}}', LIMITS) == b'{"a":"b"}'
    assert read_update(b'{"metadata":null}', LIMITS) == b"{}"


METADATA: list[tuple[Any, str | None, str]] = [
    (5, "invalid_type", "metadata"),
    ([], "invalid_type", "metadata"),
    ({"a": 5}, "invalid_type", "metadata.a"),
    ({str(n): "" for n in range(17)}, "object_above_max_properties", "metadata"),
    ({"k" * 65: ""}, "string_above_max_length", "metadata key"),
    ({"k": "v" * 513}, "string_above_max_length", "metadata.k"),
]
ITEMS: list[tuple[Any, str | None, str]] = [
    ("hi", "invalid_type", "items"),
    ({}, "invalid_type", "items"),
    ([HELLO] * 21, "array_above_max_length", "items"),
    ([HELLO, 5], "invalid_type", "items[1]"),
    ([{"role": "user"}], "missing_required_parameter", "items[0].content"),
    ([{"content": "a"}], "missing_required_parameter", "items[0].role"),
    ([HELLO, {"role": "king", "content": "a"}], "invalid_value", "items[1].role"),
    ([{"role": "user", "content": 5}], "invalid_type", "items[0].content"),
    ([{"type": "function_call", "name": "f"}], "missing_required_parameter", "items[0].call_id"),
    ([{"role": "user", "content": [{"type": "x"}]}], "invalid_value", "items[0].content[0].type"),
]


def refused(read: Any, body: bytes) -> tuple[str | None, str | None]:
    with pytest.raises(BadRequest) as caught:
        read(body, LIMITS)
    error = caught.value
    if error.param is not None:
        assert f"'{error.param}'" in error.message
    return error.code, error.param


@pytest.mark.parametrize(("metadata", "code", "param"), METADATA)
def test_bad_metadata_is_named(metadata: Any, code: str, param: str) -> None:
    body = dumped({"metadata": metadata})
    assert refused(read_create, body) == (code, param)
    assert refused(read_update, body) == (code, param)


@pytest.mark.parametrize(("items", "code", "param"), ITEMS)
def test_bad_items_are_named(items: Any, code: str, param: str) -> None:
    body = dumped({"items": items, "metadata": {"input[0]": "'input'"}})
    assert refused(read_create, body) == (code, param)
    assert refused(read_items, body) == (code, param)


@pytest.mark.parametrize(
    ("read", "body", "expected"),
    [
        (read_items, b"{}", ("missing_required_parameter", "items")),
        (read_items, b'{"items":null}', ("missing_required_parameter", "items")),
        (read_items, b'{"items":[]}', ("empty_array", "items")),
        (read_items, b"", ("invalid_json", None)),
        (read_update, b"{}", ("missing_required_parameter", "metadata")),
        (read_update, b"", ("invalid_json", None)),
        (read_create, b"[]", ("invalid_json", None)),
        (read_create, b"{", ("invalid_json", None)),
        (read_create, b'{"Items":[]}', ("unknown_parameter", "Items")),
        (read_create, b'{"metadata":' + b"[" * 500 + b"]" * 500 + b"}", ("nesting_too_deep", None)),
    ],
)
def test_bodies_that_say_nothing_are_refused(
    read: Any, body: bytes, expected: tuple[str | None, str | None]
) -> None:
    assert refused(read, body) == expected


@pytest.mark.parametrize("raw", [b'"conv_1"', b'{"id":"conv_1"}', b'{ "more":1, "id" : "conv_1" }'])
def test_a_conversation_is_named_in_two_ways(raw: bytes) -> None:
    assert conversation_id(Raw(raw)) == "conv_1"


@pytest.mark.parametrize(
    ("raw", "code", "param"),
    [
        (b"5", "invalid_type", "conversation"),
        (b"[]", "invalid_type", "conversation"),
        (b"null", "invalid_type", "conversation"),
        (b"{}", "missing_required_parameter", "conversation.id"),
        (b'{"id":null}', "invalid_type", "conversation.id"),
        (b'{"id":""}', "invalid_value", "conversation.id"),
        (b'""', "invalid_value", "conversation"),
    ],
)
def test_a_conversation_without_an_id_is_refused(raw: bytes, code: str, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        conversation_id(Raw(raw))
    assert (caught.value.code, caught.value.param) == (code, param)


def test_the_objects_are_those_of_the_api() -> None:
    made = json.loads(conversation_object("conv_1", 1_700_000_000, b'{"a":"b"}'))
    assert made == {"id": "conv_1", "object": "conversation", "created_at": 1_700_000_000,
                    "metadata": {"a": "b"}}  # fmt: skip
    Conversation.model_validate(made)
    gone = json.loads(deleted_object("conv_1"))
    assert gone == {"id": "conv_1", "object": "conversation.deleted", "deleted": True}
    ConversationDeletedResource.model_validate(gone)
    assert json.loads(deleted_response("resp_1")) == {
        "id": "resp_1", "object": "response", "deleted": True,
    }  # fmt: skip
