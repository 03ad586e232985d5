"""Any bytes are either one object, split into exact members, or a `BadRequest`."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portico.dialects.registry import DIALECTS
from portico.errors import BadRequest
from portico.limits import Limits
from portico.wire.json import depth, encode, quote, shallow, splice, structure, untouched

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.text('"\\[]{},:n', max_size=12),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text('ab"\\[{,', max_size=4), inner)
    ),
    max_leaves=20,
)
OBJECTS = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), VALUES)
INDENTS = st.sampled_from([None, 0, 2])
FRAGMENTS = st.lists(
    st.sampled_from(
        [
            *(b'{"model":', b"{", b"}", b"[", b"]", b'"', b"\\", b",", b":", b"1", b"\xff", b" "),
            *(b'"stream":true', b'"messages":[', b"null", b'"\\ud800"', b"\0", b"1e999", b"NaN"),
        ]
    ),
    max_size=30,
).map(b"".join)
LITERALS = [b"2.50", rb'"\u00e9"', b"1" * 400, b"-0.0", b"1E+5", rb'"\/\u0041"', b'{"a" : [ ]}']


def deepest(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(deepest, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(deepest, value), default=0)
    return 0


@given(st.binary(max_size=200) | FRAGMENTS)
@example(b'{"a":' * 2000)
@example(b'{"a":' + b"9" * 5000 + b"}")
def test_any_bytes_are_an_object_or_a_bad_request(body: bytes) -> None:
    for max_values in (1, 200_000):
        try:
            fields = shallow(body, max_values=max_values)
        except BadRequest:
            continue
        assert all(isinstance(raw, msgspec.Raw) for raw in fields.values())


@given(st.sampled_from(sorted(DIALECTS)), st.binary(max_size=200) | FRAGMENTS)
@example("completions", b'{"model":' + b"9" * 5000 + b"}")
@example("completions", b'{"model":"a","n":' + b"9" * 5000 + b',"messages":[1]}')
def test_reading_a_request_raises_nothing_else(route: str, body: bytes) -> None:
    try:
        request = DIALECTS[route].read(body, Limits())
    except BadRequest:
        return
    assert json.loads(request.render("other"))["model"] == "other"


@given(st.lists(st.tuples(st.text("abc", min_size=1), st.sampled_from(LITERALS)), max_size=6))
def test_nested_bytes_stay_exact(pairs: list[tuple[str, bytes]]) -> None:
    body = b"{" + b" , ".join(quote(name) + b" : " + raw for name, raw in pairs) + b"}"
    assert {name: bytes(raw) for name, raw in shallow(body).items()} == dict(pairs)
    out = splice(shallow(body), {"model": b'"m"'})
    assert {name: bytes(raw) for name, raw in shallow(out).items()} == {
        **dict(pairs),
        "model": b'"m"',
    }


@given(OBJECTS, INDENTS, st.booleans())
def test_members_mean_what_a_full_parser_says(
    value: dict[str, Any], indent: int | None, ascii_only: bool
) -> None:
    body = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    fields = shallow(body)
    assert {name: json.loads(bytes(raw)) for name, raw in fields.items()} == value
    assert json.loads(encode(fields)) == value
    assert untouched(body, fields) is body


@given(VALUES, INDENTS, st.booleans())
def test_depth_is_what_a_full_parser_says(value: Any, indent: int | None, pad: bool) -> None:
    body = json.dumps(value, indent=indent).encode()
    assert depth(structure(body)) == deepest(value)
    wrapped = b'{"a":' + body + b"}" + b" " * (20_000 if pad else 0)
    levels = deepest(value) + 1
    assert shallow(wrapped, max_depth=levels)
    if levels > 1:
        with pytest.raises(BadRequest, match="nests deeper"):
            shallow(wrapped, max_depth=levels - 1)
