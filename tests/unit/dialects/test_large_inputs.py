"""What is large, or names itself again and again, takes no longer than its size.

Each of these once took many seconds, or gigabytes. What is bounded is the processor time of this
thread, a hundred times what it takes: machines are shared.
"""

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from tests.support import goldens

from portico.dialects.chat.details import read_details
from portico.dialects.converse.content_out import Content
from portico.dialects.gemini.schema import Budget, openapi
from portico.dialects.media import source
from portico.dialects.messages.blocks_out import CallIds
from portico.dialects.registry import DIALECTS
from portico.dialects.responses.item_in import ItemIn
from portico.dialects.translators import CLIENTS, UPSTREAMS
from portico.errors import BadRequest
from portico.limits import Limits
from portico.model.losses import MOST, Loss, LossList
from portico.model.passes.fit import fit
from portico.model.passes.schema import mismatch
from portico.model.passes.unwrap import InputText

SECONDS = 4.0
MANY = 9_000
ROUTES = {"responses": "responses", "chat": "completions", "messages": "messages"}


@contextmanager
def quickly() -> Iterator[None]:
    start = time.thread_time()
    yield
    assert time.thread_time() - start < SECONDS


def _function(name: str) -> Any:
    return {"type": "function", "name": name, "parameters": {"type": "object"}, "strict": False}


def _named(at: int) -> Any:
    return {"type": "function", "name": f"f{at}"}


def _file(at: int) -> Any:
    return {"type": "file", "file": {"file_data": "data:text/plain;base64,AAAA",
                                     "filename": "same.txt"}}  # fmt: skip


TOOLS = [_function(f"f{at}") for at in range(MANY)]
BODIES: dict[str, tuple[str, Any]] = {
    "allowed tools": (
        "responses",
        {"input": "x", "tools": TOOLS, "allowed_tools": [f"f{at}" for at in range(MANY)]},
    ),
    "the same allowed tool": (
        "responses", {"input": "x", "tools": TOOLS, "allowed_tools": ["f1"] * 3 * MANY}
    ),
    "a choice among many": (
        "responses",
        {"input": "x", "tools": TOOLS,
         "tool_choice": {"type": "allowed_tools", "mode": "auto",
                         "tools": [_named(at) for at in range(MANY)]}},
    ),
    "a hosted tool allowed again and again": (
        "responses",
        {"input": "x", "tools": [*TOOLS[: MANY // 2], {"type": "web_search"}],
         "tool_choice": {"type": "allowed_tools", "mode": "auto",
                         "tools": [{"type": "web_search"}] * 3 * MANY}},
    ),
    "a namespace allowed again and again": (
        "responses",
        {"input": "x", "allowed_tools": ["n"] * MANY,
         "tools": [{"type": "namespace", "name": "n", "description": "d", "tools": TOOLS}]},
    ),
    "a choice among many, chat": (
        "chat",
        {"messages": [{"role": "user", "content": "x"}],
         "tools": [{"type": "function", "function": {"name": f"f{at}"}} for at in range(MANY)],
         "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [
             {"type": "function", "function": {"name": f"f{at}"}} for at in range(MANY)]}}},
    ),
    "files of one name": (
        "chat", {"messages": [{"role": "user", "content": [_file(at) for at in range(MANY)]}]}
    ),
}  # fmt: skip


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("name", BODIES)
def test_a_request_of_many_parts_is_fitted_in_time(name: str, upstream: str) -> None:
    client, members = BODIES[name]
    body = json.dumps({"model": "m", **members}).encode()
    uplink = UPSTREAMS[upstream]
    target = goldens.TARGETS[upstream]
    there = uplink.upstream(target["kind"], "here", frozenset(), target["model"])
    with quickly():
        ask = DIALECTS[ROUTES[client]].read(body, Limits())
        wanted = CLIENTS[client].read(ask.fields, ask.body, Limits(), goldens.unseal)
        losses = LossList()
        fitted = fit(wanted, there.capabilities, uplink.origins(there), losses)
        uplink.side.write(fitted.request, there, losses)


def test_pieces_of_reasoning_are_joined_once() -> None:
    piece = Raw(b'{"type":"reasoning.text","format":"portico-v1","text":"%b","index":0}'
                % (b"t" * 2000))  # fmt: skip
    with quickly():
        (placed,) = read_details([piece] * 20_000, goldens.unseal)
    assert len(placed.item.content[0]) == 2000 * 20_000


def test_the_input_of_a_free_form_tool_is_read_once() -> None:
    """The whole text used to be copied for every letter of it."""
    reader = InputText()
    with quickly():
        told = reader.feed('{"input":"')
        told += "".join([reader.feed("x") for _ in range(400_000)])
        told += reader.feed('"}') + reader.end()
    assert told == "x" * 400_000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (r'{"input":"a\ud83d\ude00b"}', "a\U0001f600b"),
        (r'{"input":"\ud83dabcdefgh"}', "\ufffdabcdefgh"),
        (r'{"input":"\ud83d\u0041bc"}', "\ufffdAbc"),
        (r'{"input":"\ud83d', ""),
        (r'{"input":"\u00e9\n\"q\""}', '\u00e9\n"q"'),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_escapes_are_read_however_they_are_cut(text: str, words: str, size: int) -> None:
    reader = InputText()
    told = "".join([reader.feed(text[at : at + size]) for at in range(0, len(text), size)])
    assert told + reader.end() == words


def test_arguments_that_wait_for_a_name_are_joined_once() -> None:
    item = ItemIn(0, "function_call", "here")
    with quickly():
        for _ in range(400_000):
            item.argue("x", [])
        events: list[Any] = []
        item.done(Raw(b'{"type":"function_call","call_id":"c","name":"f"}'), events)
    assert len(events[1].text) == 400_000


def test_ids_that_repeat_are_numbered_in_one_go() -> None:
    ids = CallIds(None)  # type: ignore[arg-type]
    with quickly():
        given = {ids("same") for _ in range(30_000)} | {ids("same_7")}
    assert len(given) == 30_001


def test_names_of_documents_stay_apart() -> None:
    content = Content(None, "messages", [])  # type: ignore[arg-type]
    names = [content._name(name) for name in ("a.txt", "a [2].txt", "a.txt", "a.txt", "a [2].txt")]
    assert len(set(names)) == len(names)


def test_a_loss_is_kept_once_and_only_so_many() -> None:
    losses = LossList()
    with quickly():
        for at in range(100_000):
            losses.append(Loss(f"p{at % 5000}", "dropped", "x"))
            assert (losses[0] in losses) is True
        losses.extend([Loss("more", "adapted", "x")] * 3)
    assert len(losses) == MOST == len(set(losses))


# -- schemas --------------------------------------------------------------------------------------


def _refs(one: Any, many: int = 4_900) -> Any:
    return {"type": "object", "$defs": {"e": one},
            "properties": {f"p{at}": {"$ref": "#/$defs/e"} for at in range(many)}}  # fmt: skip


def _laughs(of: Callable[[int], Any]) -> Any:
    return {"$ref": "#/$defs/a0", "$defs": {f"a{at}": of(at) for at in range(40)}}


def _next(at: int) -> Any:
    return {"$ref": f"#/$defs/a{at + 1}"}


SCHEMAS: dict[str, Any] = {
    "a long enum, named often": _refs({"type": "string", "enum": [f"v{n}" for n in range(50_000)]}),
    "a long text, named often": _refs({"type": "string", "description": "d" * 1_000_000}),
    "a large default, named often": _refs({"type": "string", "default": ["d" * 100] * 5_000}),
    "a large constant, named often": _refs({"const": {"x": ["d" * 100] * 5_000}}),
    "unknown members, named often": _refs({f"k{n}": 1 for n in range(50_000)}),
    "doubling properties": _laughs(
        lambda at: {"type": "object", "properties": {"x": _next(at), "y": _next(at)}}
    ),
    "doubling allOf": _laughs(lambda at: {"allOf": [_next(at), _next(at)]}),
    "a wide allOf": {
        "$defs": {"a": {"properties": {f"p{n}": {} for n in range(20_000)}}},
        "allOf": [{"$ref": "#/$defs/a"}] * 20_000,
    },
    "many required": {"allOf": [{"required": [f"{a}_{b}" for b in range(90)]} for a in range(900)]},
    "a long reference": {
        "type": "object", "properties": {f"p{n}": {"$ref": "#/" + "a/" * 3000} for n in range(3000)}
    },
}  # fmt: skip


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_that_blows_up_is_refused_in_time(name: str) -> None:
    raw = Raw(json.dumps(SCHEMAS[name]).encode())
    with quickly(), pytest.raises(BadRequest, match="too large"):
        openapi(raw, "tools[0].parameters", [])


def test_many_schemas_share_one_budget() -> None:
    one = Raw(json.dumps(_refs({"type": "string", "description": "d" * 100}, 400)).encode())
    budget = Budget()

    def convert() -> None:
        for _ in range(2_000):
            openapi(one, "tools[0].parameters", [], budget=budget)

    with quickly(), pytest.raises(BadRequest, match="too large"):
        convert()


def test_a_schema_of_a_sensible_size_is_written_out() -> None:
    made = openapi(Raw(json.dumps(_refs({"type": "string"}, 300)).encode()), "p", [])
    assert len(made["properties"]) == 300


@pytest.mark.parametrize(
    "schema",
    [
        {"type": [{}, [], "string"]}, {"required": [[], {}, None, 3]}, {"enum": {"a": 1}},
        {"properties": []}, {"items": {"type": [None]}}, {"type": {"a": 1}}, [], 3, None,
    ],
)  # fmt: skip
def test_an_answer_is_checked_against_any_schema(schema: Any) -> None:
    for text in ('{"a":1}', "[1]", '"x"', "3"):
        assert isinstance(mismatch(text, Raw(msgspec.json.encode(schema))), str)


def test_a_check_against_a_long_list_ends() -> None:
    choices = [f"v{at}" for at in range(20_000)]
    text = json.dumps([choices[-1]] * 20_000)
    with quickly():
        schema = {"type": "array", "items": {"type": "string", "enum": choices}}
        assert mismatch(text, Raw(json.dumps(schema).encode())) == ""


# -- data URLs ------------------------------------------------------------------------------------


def test_a_data_url_of_nothing_but_escapes_is_read_in_time() -> None:
    """Thirty megabytes of them once took seven seconds and two gigabytes."""
    with quickly():
        found = source("data:text/plain," + "%41" * 10_000_000)
    assert len(found.value) == (10_000_000 + 2) // 3 * 4


@given(st.binary(max_size=60), st.text("%=_ \r\n\tAZaz09.~\u00e9", max_size=20))
def test_a_data_url_says_what_python_reads_in_it(data: bytes, plain: str) -> None:
    text = quote_from_bytes(data) + plain.replace("%", "%25") + "%3d%3D"
    found = source("data:text/plain," + text)
    assert base64.b64decode(found.value) == unquote_to_bytes(text)


@pytest.mark.parametrize("text", ["100%", "%zz", "%4", "%%41", "%\n41"])
def test_a_data_url_with_a_bare_percent_sign_cannot_be_read(text: str) -> None:
    with pytest.raises(ValueError, match="percent"):
        source("data:text/plain," + text)
