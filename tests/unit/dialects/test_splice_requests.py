"""A request is checked at the top level, and only what must change is changed."""

import json
from typing import Any

import pytest

from portico.dialects.base import SpliceRequest
from portico.dialects.registry import DIALECTS
from portico.errors import BadRequest
from portico.limits import Limits

LIMITS = Limits()
MINIMAL: dict[str, dict[str, Any]] = {
    "completions": {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
    "responses": {"model": "m", "input": "hi"},
    "messages": {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]},
}
ROUTES = sorted(MINIMAL)


def read(route: str, body: dict[str, Any] | bytes, limits: Limits = LIMITS) -> SpliceRequest:
    raw = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()
    return DIALECTS[route].read(raw, limits)


def refusal(
    route: str, body: dict[str, Any] | bytes, limits: Limits = LIMITS
) -> tuple[str, str | None, str | None]:
    with pytest.raises(BadRequest) as caught:
        read(route, body, limits)
    return caught.value.message, caught.value.code, caught.value.param


@pytest.mark.parametrize("route", ROUTES)
def test_an_unchanged_request_is_the_clients_own_bytes(route: str) -> None:
    for separators in [(",", ":"), (", ", ": ")]:
        body = json.dumps({**MINIMAL[route], "stream": False}, separators=separators).encode()
        request = read(route, body)
        assert (request.model, request.stream, request.hides_usage) == ("m", False, False)
        assert request.render("m") is body


@pytest.mark.parametrize("route", ROUTES)
def test_only_the_model_changes_and_everything_else_is_byte_exact(route: str) -> None:
    body = json.dumps(MINIMAL[route], separators=(",", ":")).encode()
    odd = rb',"metadata":{"a" : "\u00e9\/"},"temperature":2.50,"x":[1e+2 ,-0.0],"y":1'
    body = body[:-1] + odd + b"}"
    request = read(route, body)
    assert request.render('up/stream "é"') == body.replace(
        b'"model":"m"', '"model":"up/stream \\"é\\""'.encode(), 1
    )


@pytest.mark.parametrize("route", ROUTES)
def test_the_authorised_model_is_the_forwarded_model(route: str) -> None:
    rest = json.dumps(MINIMAL[route], separators=(",", ":")).encode()[1:]
    for first in (b'{"model":"other",', rb'{"m\u006fdel":"other",', b'{"model":"m",'):
        request = read(route, first + rest)
        assert request.model == "m"
        out = request.render("m")
        assert out.count(b'"model"') == 1
        assert json.loads(out)["model"] == "m"


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (None, "Invalid type for 'model': expected a string, but got null instead."),
        (7, "Invalid type for 'model': expected a string, but got an integer instead."),
        ("", "Invalid 'model': expected a name, but got an empty string."),
        ("x" * 257, "Invalid 'model': longer than 256 characters."),
        ("a\0b", "Invalid 'model': it holds a control character."),
        ("a\r\nx: y", "Invalid 'model': it holds a control character."),
    ],
)
def test_a_bad_model_is_a_400_that_names_it(route: str, model: Any, message: str) -> None:
    found, _, param = refusal(route, {**MINIMAL[route], "model": model})
    assert (found, param) == (message, "model")
    assert read(route, {**MINIMAL[route], "model": "é" * 256})


@pytest.mark.parametrize(
    ("route", "name"),
    [
        ("completions", "model"),
        ("completions", "messages"),
        ("responses", "model"),
        ("responses", "input"),
        ("messages", "model"),
        ("messages", "messages"),
    ],
)
def test_a_missing_parameter_is_named(route: str, name: str) -> None:
    body = {key: value for key, value in MINIMAL[route].items() if key != name}
    assert refusal(route, body) == (
        f"Missing required parameter: '{name}'.",
        "missing_required_parameter",
        name,
    )


@pytest.mark.parametrize(
    ("route", "name", "value", "wanted"),
    [
        ("completions", "stream", "yes", "a boolean, but got a string"),
        ("completions", "temperature", "hot", "a number, but got a string"),
        ("completions", "max_tokens", 1.5, "an integer, but got a number"),
        ("completions", "messages", {}, "an array, but got an object"),
        ("completions", "stop", 1, "one of a string or an array, but got an integer"),
        ("completions", "tool_choice", [], "one of a string or an object, but got an array"),
        ("completions", "stream_options", True, "an object, but got a boolean"),
        ("responses", "input", 1, "one of a string or an array, but got an integer"),
        ("responses", "store", "no", "a boolean, but got a string"),
        ("responses", "metadata", [], "an object, but got an array"),
        ("messages", "max_tokens", "9", "an integer, but got a string"),
        ("messages", "system", {}, "one of a string or an array, but got an object"),
        ("messages", "stop_sequences", "x", "an array, but got a string"),
    ],
)
def test_a_wrong_type_is_a_400_that_names_the_field(
    route: str, name: str, value: Any, wanted: str
) -> None:
    assert refusal(route, {**MINIMAL[route], name: value}) == (
        f"Invalid type for '{name}': expected {wanted} instead.",
        "invalid_type",
        name,
    )


def test_a_wrong_type_inside_a_field_is_named_with_its_path() -> None:
    body = MINIMAL["completions"]
    options = {**body, "stream_options": {"include_usage": 1}}
    assert refusal("completions", options)[2] == "stream_options.include_usage"
    assert refusal("completions", {**body, "stop": ["a", 1]})[2] == "stop[1]"


def test_a_number_out_of_range_is_a_400() -> None:
    body = json.dumps(MINIMAL["completions"])[:-1].encode()
    for literal in (b"1e999", b"1" * 5000):
        message, code, param = refusal("completions", body + b',"n":' + literal + b"}")
        assert (message, code, param) == (
            "Invalid value for 'n': out of range.", "invalid_value", "n",
        )  # fmt: skip


@pytest.mark.parametrize("route", ROUTES)
def test_null_and_unknown_parameters_are_let_through(route: str) -> None:
    read(route, {**MINIMAL[route], "stream": None, "tools": None, "client_metadata": {"a": 1}})


@pytest.mark.parametrize(
    ("route", "name"),
    [
        ("completions", "messages"),
        ("completions", "tools"),
        ("responses", "input"),
        ("responses", "tools"),
        ("messages", "messages"),
        ("messages", "system"),
    ],
)
def test_too_many_items_are_refused(route: str, name: str) -> None:
    limits = Limits(json_items=5)
    read(route, {**MINIMAL[route], name: [{}] * 5}, limits)
    message, code, param = refusal(route, {**MINIMAL[route], name: [{}] * 6}, limits)
    assert "maximum length 5, but got an array with length 6" in message
    assert (code, param) == ("array_above_max_length", name)


@pytest.mark.parametrize("route", ["completions", "messages"])
def test_empty_messages_are_refused(route: str) -> None:
    assert refusal(route, {**MINIMAL[route], "messages": []})[1:] == ("empty_array", "messages")


@pytest.mark.parametrize("name", ["prompt", "conversation", "previous_response_id"])
def test_responses_need_no_input_when_something_stands_in_for_it(name: str) -> None:
    value = {"id": "x"} if name == "prompt" else "x"
    read("responses", {"model": "m", name: value})
    assert refusal("responses", {"model": "m", name: None})[2] == "input"


def test_a_chat_stream_always_reports_usage_and_hides_it_if_unasked() -> None:
    body = {**MINIMAL["completions"], "stream": True}
    request = read("completions", body)
    assert request.hides_usage
    assert json.loads(request.render("m")) == {**body, "stream_options": {"include_usage": True}}
    for options in ({"include_usage": False, "x": 1.0}, {"x": 1.0}, None):
        request = read("completions", {**body, "stream_options": options})
        wanted = {**(options or {}), "include_usage": True}
        assert request.hides_usage
        assert json.loads(request.render("m"))["stream_options"] == wanted


def test_a_chat_stream_that_asked_for_usage_is_not_touched() -> None:
    body = {**MINIMAL["completions"], "stream": True, "stream_options": {"include_usage": True}}
    raw = json.dumps(body).encode()
    request = read("completions", raw)
    assert request.stream
    assert not request.hides_usage
    assert request.render("m") is raw


@pytest.mark.parametrize(("n", "choices"), [(None, 1), (3, 3), (0, 1), (10**12, 1)])
def test_the_number_of_choices_is_bounded(n: int | None, choices: int) -> None:
    assert read("completions", {**MINIMAL["completions"], "n": n}).choices == choices


def test_limits_of_the_configuration_are_used() -> None:
    deep = {**MINIMAL["completions"], "metadata": {"a": {"b": {"c": {}}}}}
    assert refusal("completions", deep, Limits(json_depth=4))[1] == "nesting_too_deep"
    long = {**MINIMAL["completions"], "k" * 40: 1}
    assert refusal("completions", long, Limits(json_key_bytes=30))[1] == "name_too_long"


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ({"allowed_tools": ["a"]}, "auto"),
        ({"allowed_tools": ["a"], "tool_choice": "required"}, "required"),
        ({"allowed_tools": ["a"], "tool_choice": None}, "auto"),
    ],
)
def test_a_list_of_allowed_tools_is_said_as_openai_says_it(
    asked: dict[str, Any], sent: str
) -> None:
    tools = [{"type": "function", "name": name, "parameters": {}} for name in "ab"]
    request = read("responses", {**MINIMAL["responses"], "tools": tools, **asked})
    body = json.loads(request.render("m"))
    assert "allowed_tools" not in body
    assert body["tools"] == tools
    assert body["tool_choice"] == {
        "type": "allowed_tools", "mode": sent, "tools": [{"type": "function", "name": "a"}],
    }  # fmt: skip


@pytest.mark.parametrize("choice", ["none", {"type": "function", "name": "a"}])
def test_a_choice_that_is_narrower_stays(choice: object) -> None:
    asked = {**MINIMAL["responses"], "allowed_tools": ["a"], "tool_choice": choice}
    assert json.loads(read("responses", asked).render("m"))["tool_choice"] == choice


def test_caching_is_a_parameter_of_gateways_only() -> None:
    request = read("responses", {**MINIMAL["responses"], "caching": "auto"})
    assert json.loads(request.render("m")) == MINIMAL["responses"]


@pytest.mark.parametrize("names", [1, "a", [1], {"a": 1}])
def test_allowed_tools_of_a_wrong_type_is_refused(names: object) -> None:
    asked = {**MINIMAL["responses"], "allowed_tools": names}
    assert refusal("responses", asked)[1:] == ("invalid_type", "allowed_tools")
