"""One JSON object is split into exact members, and everything else is a clear 400."""

import pytest
from tests.support.growth import growth

from portico.errors import BadRequest
from portico.wire.json import (
    depth,
    encode,
    one_line,
    quote,
    shallow,
    splice,
    structure,
    untouched,
)


def refusal(body: bytes, **limits: int) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        shallow(body, **limits)
    return caught.value


def nested(levels: int) -> bytes:
    """An object with `levels` levels, itself included."""
    return b'{"a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


def test_values_keep_their_exact_bytes() -> None:
    values = [b"2.50", rb'"\u00e9\/"', b"123456789012345678901234567890", b"-0.0", b"1e999"]
    values += [b'{"b" : [1, 2 ] }', b"null"]
    body = b"{" + b",".join(b'"k%d" : %b ' % pair for pair in enumerate(values)) + b"}"
    assert [bytes(raw) for raw in shallow(body).values()] == values


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The request body is empty. Send one JSON object."),
        (b"[]", "The request body must be one JSON object."),
        (b"null", "The request body must be one JSON object."),
        (b'"x"', "The request body must be one JSON object."),
        (b'{"a":NaN}', "The request body is not valid JSON: invalid character (byte 5)."),
        (b'{"a":-Infinity}', "The request body is not valid JSON: invalid character (byte 6)."),
        (b'{"a":1}x', "The request body is not valid JSON: trailing characters (byte 8)."),
        (b'{"a":1', "The request body is not valid JSON: unexpected end (byte 6)."),
        (b'{"a":"\xff"}', "The request body is not valid UTF-8 (byte 6)."),
        (b'{"\xc3":1}', "The request body is not valid UTF-8 (byte 2)."),
    ],
)
def test_each_defect_has_its_message(body: bytes, message: str) -> None:
    error = refusal(body)
    assert error.message == message
    assert error.code == "invalid_json"


def test_lone_surrogates_are_refused() -> None:
    assert "surrogate" in refusal(rb'{"model":"\udc00xxxxxxxx"}').message


def test_messages_never_repeat_the_body() -> None:
    assert "sk-secret" not in refusal(b'{"a": sk-secret}').message


def test_128_levels_are_accepted_and_129_refused() -> None:
    assert shallow(nested(128))
    assert refusal(nested(129)).code == "nesting_too_deep"
    assert shallow(nested(128) + b" " * 20_000)
    assert refusal(nested(129) + b" " * 20_000).code == "nesting_too_deep"


@pytest.mark.parametrize("levels", [129, 900, 1_100, 100_000])
def test_deep_nesting_is_refused_however_deep(levels: int) -> None:
    assert refusal(nested(levels)).code == "nesting_too_deep"


def test_refusing_deep_nesting_grows_with_the_bytes_only() -> None:
    assert growth(lambda size: refusal(nested(size)), 100_000) < 3


def test_brackets_in_strings_do_not_count_as_nesting() -> None:
    for text in [b"[" * 500, rb"\"[" * 500, b"\\\\" * 3 + b"{" * 500, rb"\n\u005b[" * 300]:
        assert shallow(b'{"a":"' + text + b'","b":["' + text + b'"]}')


def test_nesting_hidden_behind_escaped_quotes_is_found() -> None:
    assert refusal(rb'{"a":"\\\"","b":' + b"[" * 200 + b"]" * 200 + b"}").code == "nesting_too_deep"
    assert refusal(rb'{"a":"\\","b":' + b"[" * 200 + b"]" * 200 + b"}").code == "nesting_too_deep"


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        (b"1", 0),
        (b"[]", 1),
        (b"[[],[[]],[]]", 3),
        (b'{"a":[{"b":"]]]"}]}', 3),
        (b"[" * 40 + b"]" * 40, 40),
        (b"[" + b"[]," * 999 + b"[[]]]", 3),
    ],
)
def test_depth_is_the_longest_path(text: bytes, levels: int) -> None:
    assert depth(structure(text)) == levels


def test_structure_leaves_out_strings() -> None:
    assert structure(rb'{"a": ["],\"", "\\"], "b": 1}') == b"[[,],]"


def test_the_last_of_duplicate_names_wins() -> None:
    fields = shallow(rb'{"model":"a","m\u006fdel":"b"}')
    assert {name: bytes(raw) for name, raw in fields.items()} == {"model": b'"b"'}


def test_long_names_are_refused_by_bytes_not_characters() -> None:
    assert shallow(b'{"' + b"k" * 1024 + b'":1}')
    assert refusal(b'{"' + b"k" * 1025 + b'":1}').code == "name_too_long"
    assert refusal(('{"' + "é" * 513 + '":1}').encode()).code == "name_too_long"


def test_too_many_members_or_values_are_refused() -> None:
    many = b"{" + b",".join(b'"k%d":1' % number for number in range(11)) + b"}"
    error = refusal(many, max_members=10)
    assert (error.code, error.limit) == ("too_many_members", "jsonItems")
    error = refusal(b'{"a":[' + b"1," * 999 + b"1]}", max_values=500)
    assert (error.code, error.limit) == ("too_many_values", "jsonValues")
    assert shallow(b'{"a":"' + b"1," * 999 + b'"}', max_values=500)


def test_the_cost_of_a_million_names_grows_with_the_bytes_only() -> None:
    def refused(names: int) -> BadRequest:
        return refusal(bodies[names])

    bodies = {
        size: b"{" + b",".join(b'"k%d":1' % number for number in range(size)) + b"}"
        for size in (500_000, 1_000_000)
    }
    assert refused(1_000_000).code == "too_many_values"
    assert growth(refused, 500_000) < 3


def test_the_cost_of_escaped_code_grows_with_the_bytes_only() -> None:
    text = encode("def f(x):\n\treturn \"a{b}[c]\" + 'é'\n" * 10)
    bodies = {
        size: b'{"messages":[' + b",".join([b'{"content":' + text + b"}"] * size) + b"]}"
        for size in (1_400, 2_800)
    }
    assert len(bodies[1_400]) > 500_000
    assert growth(lambda size: shallow(bodies[size]), 1_400) < 3


def test_splice_replaces_in_place_and_adds_at_the_end() -> None:
    fields = shallow(b'{"a": 1.0, "model":"x", "z":{"k" :2}}')
    out = splice(fields, {"model": quote('y"é'), "new": b"true"})
    assert out == '{"a":1.0,"model":"y\\"é","z":{"k" :2},"new":true}'.encode()


def test_splice_leaves_the_request_as_it_was_for_the_next_provider() -> None:
    fields = shallow(b'{"model":"x","n":1}')
    assert splice(fields, {"model": b'"y"', "new": b"1"}) == b'{"model":"y","n":1,"new":1}'
    assert encode(fields) == b'{"model":"x","n":1}'


def test_one_line_changes_nothing_but_white_space_between_values() -> None:
    assert one_line(b'{\r\n "a": ["x\\n", 1.0]\n}') == b'{"a":["x\\n",1.0]}'
    assert one_line(b'{"a": 1}') == b'{"a": 1}'


def test_encode_is_deterministic() -> None:
    fields = shallow(b'{"b":1,"a":2}')
    assert encode(fields) == encode(dict(fields)) == b'{"b":1,"a":2}'


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"model":"x"}',
        b'{"a": 1, "model": "x"}',
        b' {\n  "a" : [ {"model": 2} ],\n  "model" : "x"\n}\n',
        b"{}",
    ],
)
def test_an_unchanged_body_is_the_same_object(body: bytes) -> None:
    assert untouched(body, shallow(body)) is body


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a","model":"b"}',
        b'{"model":"b","model":"b"}',
        b'{"model":"a" ,"x":1,"model":"b"}',
        rb'{"m\u006fdel":"a","x":1,"model":"b"}',
        b'{"x":1,"model":"a","model":"b"  }',
    ],
)
def test_a_body_that_two_parsers_may_read_differently_is_written_again(body: bytes) -> None:
    out = untouched(body, shallow(body))
    assert out.count(b"model") == 1
    assert b'"model":"b"' in out
