"""Typed conditions: each test on values it is about, and on values it is not about."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from portico.config.settings import Condition, ValueTest
from portico.routing.matching import DERIVED, Facts, compile_condition


def facts(
    body: dict[str, Any] | bytes | None = None,
    *,
    headers: dict[bytes, bytes] | None = None,
    caller: dict[str, str] | None = None,
    **more: Any,
) -> Facts:
    text = body if isinstance(body, bytes) else msgspec.json.encode(body or {})
    values = {"model": "m", "stream": False, "dialect": "chat", "body_bytes": len(text), **more}
    return Facts(
        headers=headers or {},
        caller=caller or {},
        fields=msgspec.json.decode(text, type=dict[str, Raw]),
        **values,
    )


def holds(test: ValueTest, **where: Any) -> bool:
    """Whether a test holds for one value in the body, a header or the caller's metadata."""
    if "header" in where:
        condition = Condition(headers={"x": test})
        given_facts = facts(headers={b"x": where["header"]})
    elif "caller" in where:
        condition = Condition(caller={"x": test})
        given_facts = facts(caller={"x": where["caller"]})
    else:
        condition = Condition(request={"x": test})
        given_facts = facts({"x": where["body"]})
    return compile_condition(condition).matches(given_facts)


WRONG: list[Any] = [None, {}, [], {"a": 1}, [1]]


@pytest.mark.parametrize(
    ("test", "good", "bad"),
    [
        (ValueTest(equals="a"), ["a"], ["A", "", "ab", 1, True, *WRONG]),
        (ValueTest(equals=""), [""], ["a", 0, False, *WRONG]),
        (ValueTest(equals=12), [12, 12.0], ["12", 13, True, *WRONG]),
        (ValueTest(equals=1), [1, 1.0], [True, "1", *WRONG]),
        (ValueTest(equals=0), [0, 0.0, -0.0], [False, "0", "", *WRONG]),
        (ValueTest(equals=2.5), [2.5], ["2.5", 2, *WRONG]),
        (ValueTest(equals=2**70), [2**70], [2**70 + 1, *WRONG]),
        (ValueTest(equals=True), [True], [False, 1, "true", *WRONG]),
        (ValueTest(equals=False), [False], [True, 0, "false", *WRONG]),
        (ValueTest(one_of=("a", 2, True)), ["a", 2, 2.0, True], ["b", "2", 1, False, *WRONG]),
        (ValueTest(prefix="ab"), ["ab", "abc"], ["a", "xab", 1, *WRONG, ["ab"]]),
        (ValueTest(suffix="bc"), ["bc", "abc"], ["bcd", 1, *WRONG]),
        (ValueTest(prefix="ab", suffix="bc"), ["abc", "abbc"], ["abx", "xbc", *WRONG]),
        (ValueTest(contains="b"), ["abc", ["a", "b"]], ["ac", 1, ["abc"], {"b": 1}, *WRONG]),
        (ValueTest(present=True), ["", 0, False, {}, []], [None]),
        (ValueTest(present=False), [None], ["", 0, False, {}, []]),
        (ValueTest(present=False, equals="a"), [], [None, "a"]),
        (ValueTest(lt=5), [4, 4.9, -(2**80)], [5, 2**80, "4", True, *WRONG]),
        (ValueTest(lte=5), [5, 5.0, 4], [5.1, "5", *WRONG]),
        (ValueTest(gt=5), [6, 5.1, 10**400], [5, -(10**400), "6", *WRONG]),
        (ValueTest(gte=5), [5], [4.9, "5", *WRONG]),
        (ValueTest(gte=1, lt=3), [1, 2.9], [0, 3, *WRONG]),
        (ValueTest(equals="abc", contains="b", present=True), ["abc"], ["b", *WRONG]),
    ],
)
def test_an_operator_matches_its_values_and_no_other_type(
    test: ValueTest, good: list[Any], bad: list[Any]
) -> None:
    assert [value for value in good if not holds(test, body=value)] == []
    assert [value for value in bad if holds(test, body=value)] == []


@pytest.mark.parametrize(
    ("test", "good", "bad"),
    [
        (ValueTest(equals="12"), ["12"], ["12.0", " 12"]),
        (ValueTest(equals=12), ["12", "12.0", "012"], ["", "1_2", "12e0", "0x0c", "twelve", "١٢"]),
        (ValueTest(equals=9007199254740993), ["9007199254740993"], ["9007199254740992"]),
        (ValueTest(equals=True), ["true", "True", "TRUE"], ["1", "yes", "", "false"]),
        (ValueTest(equals=False), ["false"], ["0", "", "true"]),
        (ValueTest(one_of=("a", 2)), ["a", "2", "2.0"], ["b", "3"]),
        (ValueTest(lt=5), ["4", "-1.5"], ["5", "nan", "-inf", "", "a", "9" * 5000]),
        (ValueTest(contains="b"), ["abc"], ["ac"]),
        (ValueTest(prefix="é"), ["été"], ["ete"]),
    ],
)
def test_text_that_says_a_number_or_a_truth_is_one_in_headers_and_metadata(
    test: ValueTest, good: list[str], bad: list[str]
) -> None:
    for text in good:
        assert holds(test, header=text.encode()), text
        assert holds(test, caller=text), text
    for text in bad:
        assert not holds(test, header=text.encode()), text
        assert not holds(test, caller=text), text


def test_a_header_that_is_not_utf8_is_read_byte_for_byte() -> None:
    assert holds(ValueTest(equals="\xff"), header=b"\xff")
    assert not holds(ValueTest(equals="a"), header=b"\xff")


@pytest.mark.parametrize("place", ["headers", "caller", "request"])
def test_what_is_absent_meets_nothing_but_its_absence(place: str) -> None:
    tests = [
        ValueTest(equals=""), ValueTest(one_of=("",)), ValueTest(prefix=""), ValueTest(contains=""),
        ValueTest(lt=1), ValueTest(present=True), ValueTest(present=False, suffix=""),
    ]  # fmt: skip
    for test in tests:
        condition = Condition(**{place: {"missing": test}})
        assert not compile_condition(condition).matches(facts()), test
    condition = Condition(**{place: {"missing": ValueTest(present=False)}})
    assert compile_condition(condition).matches(facts())


def at(path: str, body: dict[str, Any] | bytes, value: Any) -> bool:
    condition = Condition(request={path: ValueTest(equals=value)})
    return compile_condition(condition).matches(facts(body))


def test_paths_lead_through_objects_and_nothing_else() -> None:
    assert at("a.b.c", {"a": {"b": {"c": 1}}}, 1)
    for body in ({"a": {"b": 1}}, {"a": [{"b": {"c": 1}}]}, {"a": "b.c"}, {"a": None}, {}):
        assert not at("a.b.c", body, 1)
    assert not at("a.0", {"a": [1]}, 1)
    assert not at("a.b", {"a.b": 1}, 1)
    assert not at("", {"a": 1}, 1)
    assert at("", {"": 1}, 1)


def test_of_a_name_that_is_given_twice_the_last_one_counts() -> None:
    assert at("a.b", b'{"a": {"b": 1, "b": 2}}', 2)
    assert not at("a.b", b'{"a": {"b": 1, "b": 2}}', 1)


def test_what_nests_too_deep_or_cannot_be_read_does_not_match() -> None:
    deep = Raw(b'{"a":' * 1000 + b"1" + b"}" * 1000)
    given_facts = facts()
    for raw in (deep, Raw(b"1e999"), Raw(b"[" * 100_000), Raw(b"{"), Raw(b"")):
        fields = {"x": raw, "tools": raw, "messages": raw, "input": raw, "max_tokens": raw}
        given_facts = Facts(
            headers={}, caller={}, fields=fields, model="", stream=False, dialect="", body_bytes=0
        )
        for path in ("x", ".".join("x" + "a" * 999), *DERIVED):
            test = ValueTest(equals="never")
            assert not compile_condition(Condition(request={path: test})).matches(given_facts)


def test_a_member_is_decoded_once_and_only_if_it_is_asked_for() -> None:
    given_facts = facts({"a": {"b": 1, "c": 2}, "messages": [1, 2]})
    test = ValueTest(present=True)
    assert compile_condition(Condition(request={"a.b": test, "a.c": test})).matches(given_facts)
    assert given_facts.seen == {"a": {"b": 1, "c": 2}}
    given_facts.seen["a"] = {"b": None}
    assert not compile_condition(Condition(request={"a.b": test})).matches(given_facts)


def test_all_parts_of_a_condition_have_to_hold() -> None:
    yes, no = ValueTest(equals="1"), ValueTest(equals="2")
    given_facts = facts({"a": "1", "b": "1"}, headers={b"h": b"1"}, caller={"c": "1"})
    match = {"headers": {"H": yes}, "caller": {"c": yes}, "request": {"a": yes, "b": yes}}
    assert compile_condition(Condition(**match)).matches(given_facts)
    for place, name in (("headers", "H"), ("caller", "c"), ("request", "a"), ("request", "b")):
        wrong = {**match, place: {**match[place], name: no}}
        assert not compile_condition(Condition(**wrong)).matches(given_facts)
    assert compile_condition(Condition()).matches(given_facts)


def test_any_needs_one_and_none_needs_no_one_however_they_nest() -> None:
    def is_(value: int) -> Condition:
        return Condition(request={"x": ValueTest(equals=value)})

    one = facts({"x": 1})
    table = [
        (Condition(any=(is_(1), is_(2))), True),
        (Condition(any=(is_(2), is_(3))), False),
        (Condition(none=(is_(2), is_(3))), True),
        (Condition(none=(is_(2), is_(1))), False),
        (Condition(any=(is_(1),), none=(is_(1),)), False),
        (Condition(any=(Condition(none=(is_(1),)), Condition(any=(is_(1),)))), True),
        (Condition(none=(Condition(none=(is_(1),)),)), True),
        (Condition(none=(Condition(any=(is_(2), is_(3))), Condition(none=(is_(1),)))), True),
        (Condition(request={"x": ValueTest(equals=2)}, any=(is_(1),)), False),
    ]
    for condition, wanted in table:
        assert compile_condition(condition).matches(one) is wanted, condition


@pytest.mark.parametrize(
    ("body", "name", "value"),
    [
        ({"max_tokens": 5}, "max_output_tokens", 5),
        ({"max_completion_tokens": 6}, "max_output_tokens", 6),
        ({"max_output_tokens": 7}, "max_output_tokens", 7),
        ({"max_tokens": 5, "max_completion_tokens": None}, "max_output_tokens", 5),
        ({"reasoning_effort": "low"}, "effort", "low"),
        ({"reasoning": {"effort": "high"}}, "effort", "high"),
        ({"reasoning": {}, "output_config": {"effort": "max"}}, "effort", "max"),
        ({}, "tools.count", 0),
        ({"tools": []}, "tools.count", 0),
        ({"tools": [{}, {"type": "function"}]}, "tools.count", 2),
        ({"messages": [1, 2, 3]}, "messages.count", 3),
        ({"input": [1]}, "messages.count", 1),
        ({"input": "hello"}, "messages.count", 1),
        ({}, "model", "m"),
        ({"model": "another"}, "model", "m"),
        ({}, "stream", False),
        ({}, "dialect", "chat"),
        ({}, "body_bytes", 2),
    ],
)
def test_derived_names_mean_the_same_in_every_dialect(
    body: dict[str, Any], name: str, value: Any
) -> None:
    assert at(name, body, value)


@pytest.mark.parametrize("body", [{"tools": "x"}, {"tools": {}}, {"tools": None}, {"tools": 3}])
def test_what_is_no_list_has_no_count(body: dict[str, Any]) -> None:
    test = ValueTest(gte=0)
    assert not compile_condition(Condition(request={"tools.count": test})).matches(facts(body))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abx"), inner, max_size=3)
    ),
    max_leaves=8,
)
SCALAR = st.integers() | st.floats(allow_nan=False) | st.booleans() | st.text(max_size=2)
TESTS = st.builds(
    ValueTest,
    equals=st.none() | SCALAR,
    one_of=st.lists(SCALAR, max_size=2).map(tuple),
    prefix=st.none() | st.text(max_size=1),
    contains=st.none() | st.text(max_size=1),
    present=st.none() | st.booleans(),
    lt=st.none() | st.floats(allow_nan=False),
    gte=st.none() | st.floats(allow_nan=False),
)


@settings(max_examples=150, deadline=None)
@given(JSON, TESTS, st.sampled_from(["a", "a.b", "x.a.b", *DERIVED]), st.binary(max_size=6))
def test_no_request_makes_a_condition_raise(
    value: Any, test: ValueTest, path: str, header: bytes
) -> None:
    body = dict.fromkeys(("a", "x", "tools", "messages", "input", "max_tokens", "reasoning"), value)
    given_facts = facts(body, headers={b"h": header}, caller={"c": header.decode("latin-1")})
    condition = Condition(headers={"h": test}, caller={"c": test}, request={path: test})
    matched = compile_condition(condition).matches(given_facts)
    assert compile_condition(Condition(none=(condition,))).matches(given_facts) is not matched
