"""Conditions in CEL: what they see of a request, and that nothing in one makes them raise."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from portico.config.expressions import MAX_LENGTH
from portico.routing.expressions import MOST_MEMBER, CelMatcher, write_defaults
from portico.routing.matching import Facts

pytest.importorskip("cel")


def facts(body: dict[str, Any] | bytes | None = None) -> Facts:
    text = body if isinstance(body, bytes) else msgspec.json.encode(body or {})
    return Facts(
        headers={b"x-team": b"red", b"x-raw": b"\xff", b"host": b"here", b"x-other": b"1"},
        caller={"team": "blue", "tier": "gold"},
        fields=msgspec.json.decode(text, type=dict[str, Raw]),
        model="smart",
        stream=True,
        dialect="chat",
        body_bytes=len(text),
    )


BODY = {
    "model": "smart",
    "max_tokens": 512,
    "temperature": 0.5,
    "reasoning": {"effort": "high"},
    "metadata": {"a-b": "c"},
    "user": None,
    "tools": [{"type": "function"}, {"type": "web_search"}],
}


@pytest.mark.parametrize(
    "text",
    [
        "true",
        'headers["x-team"] == "red"',
        'request.headers["x-team"].startsWith("r")',
        'headers["X-Team"] == "red" && has(headers.host)',
        'request.headers["x-raw"] != ""',
        'apiKey.team == "blue" && apiKey.tier in ["gold", "silver"]',
        'llmRequest.model == "smart"',
        "llmRequest.max_tokens <= 1024",
        "llmRequest.temperature < 1",
        'llmRequest.reasoning.effort == "high"',
        'llmRequest["metadata"]["a-b"] == "c"',
        'llmRequest.tools.exists(tool, tool.type == "web_search")',
        "size(llmRequest.tools) == 2",
        '"tools" in llmRequest && size(llmRequest) == 1',
        "!has(llmRequest.user)",
        "has(llmRequest.max_tokens) && !has(llmRequest.top_p)",
        'llm.requestModel == "smart" && llm.streaming',
        "default(llmRequest.max_tokens, 1024) <= 1024",
        "default(llmRequest.max_output_tokens, 1024) == 1024",
        'default(llmRequest.user, "nobody") == "nobody"',
        'default(llmRequest.nowhere.at.all, "none") == "none"',
        'default(llmRequest.reasoning.effort.deeper, "none") == "none"',
        'default(llmRequest.model.effort, "none") == "none"',
        'default(llmRequest.metadata["a-b"], "none") == "c"',
        "default(null, 3) == 3 && default(4, 3) == 4",
        'default(request.headers["x-missing"], "fallback") == "fallback"',
        "default(request . headers [ 'x-team' ], 'fallback') == 'red'",
        'default(apiKey.team, default(headers["x-team"], "none")) == "blue"',
        'default(apiKey.nobody, default(headers["x-team"], "none")) == "red"',
        'default(llmRequest.max_tokens, size("a,b)")) == 512',
        'llmRequest.tools.exists(tool, default(tool.name, "?") == "?")',
        '"default(llmRequest.model, 1)".size() == 28',
    ],
)
def test_an_expression_sees_the_request_by_agentgateways_names(text: str) -> None:
    assert CelMatcher(text).matches(facts(BODY))


@pytest.mark.parametrize(
    "text",
    [
        "false",
        "1",
        '"true"',
        "null",
        "llmRequest.nowhere == 1",
        "llmRequest.model < 1",
        "llmRequest.model.effort == 1",
        "llmRequest.tools[7].type == 'x'",
        "jwt.sub == 'me'",
        "nothing",
        "unknownFunction(1)",
        "1 / 0 == 1",
        "llmRequest.max_tokens + 9223372036854775807 > 0",
        'headers["x-missing"] == ""',
        "default(llmRequest.max_tokens / 0, 1) == 1",
        "llmRequest == 1",
    ],
)
def test_what_is_not_true_or_cannot_be_evaluated_does_not_match(text: str) -> None:
    assert not CelMatcher(text).matches(facts(BODY))


@pytest.mark.parametrize("text", ["", "a b", "(", "llmRequest.", '"', "1 +", "default(", "[?"])
def test_what_is_not_cel_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        CelMatcher(text)


def test_a_long_expression_is_refused() -> None:
    assert CelMatcher("true".ljust(MAX_LENGTH)).matches(facts())
    with pytest.raises(ValueError, match="at most 4096 characters"):
        CelMatcher("true".ljust(MAX_LENGTH + 1))


def test_only_headers_that_are_named_are_there() -> None:
    assert CelMatcher('size(headers) == 1 && "x-team" in headers').matches(facts())


def test_only_members_that_are_named_are_decoded() -> None:
    given_facts = facts(BODY)
    assert CelMatcher("llmRequest.max_tokens > 1").matches(given_facts)
    assert given_facts.seen == {"max_tokens": 512}
    untouched = facts(BODY)
    assert CelMatcher('apiKey.team == "blue"').matches(untouched)
    assert untouched.seen == {}


def test_a_member_that_is_too_large_is_not_there() -> None:
    text = "has(llmRequest.input)"
    fits, over = "x" * (MOST_MEMBER - 2), "x" * (MOST_MEMBER - 1)
    assert CelMatcher(text).matches(facts({"input": fits}))
    assert not CelMatcher(text).matches(facts({"input": over}))


def test_members_that_nest_deep_or_cannot_be_read_do_not_raise() -> None:
    for raw in (b'{"a":' * 900 + b"1" + b"}" * 900, b"[" * 100_000, b"1e999", b"1" * 400):
        given_facts = facts()
        given_facts.fields = {"x": Raw(raw)}
        for text in (
            "llmRequest.x == 1",
            "size(llmRequest.x) > 7",
            "default(llmRequest.x.b, 1) > 1",
        ):
            assert not CelMatcher(text).matches(given_facts)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("default(a.b, 1)", "(type(a) == map && has(a.b) && a.b != null ? a.b : (1))"),
        (
            'default(a["b"], "c") == "d"',
            '(type(a) == map && "b" in a && a["b"] != null ? a["b"] : ("c")) == "d"',
        ),
        ("default(a, 1)", "default(a, 1)"),
        ("default(f(a, 2), 1)", "default(f(a, 2), 1)"),
        ("default(a.b)", "default(a.b)"),
        ("default(a.b, 1, 2)", "default(a.b, 1, 2)"),
        ("x.default(a.b, 1)", "x.default(a.b, 1)"),
        ('"default(a.b, 1)"', '"default(a.b, 1)"'),
        ("undefault(a.b, 1)", "undefault(a.b, 1)"),
        ("a // default(a.b, 1)\n|| b", "a \n|| b"),
        ("default(a.b, 1", "default(a.b, 1"),
    ],
)
def test_a_default_is_written_as_a_test_of_its_path(text: str, written: str) -> None:
    assert write_defaults(text).replace("( ", "(") == written


def test_a_path_of_many_steps_does_not_grow_without_bound() -> None:
    text = f"default({'.'.join(['llmRequest', *'a' * 1000])}, 1) == 1"
    assert write_defaults(text) == text
    assert not CelMatcher(text).matches(facts(BODY))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=3)
    ),
    max_leaves=8,
)
MATCHERS = [
    CelMatcher(text)
    for text in (
        "llmRequest.x.a > 1",
        'default(llmRequest.x.a.b, "") == "b"',
        "llmRequest.x.all(y, y == 1)",
        "llmRequest.x == llmRequest.y",
        '"a" in llmRequest.x || size(llmRequest.y) > 1',
        "int(llmRequest.x) + 1 > 0",
    )
]


@settings(max_examples=100, deadline=None)
@given(JSON, JSON)
def test_no_body_makes_an_expression_raise(one: Any, other: Any) -> None:
    given_facts = facts({"x": one, "y": other})
    for matcher in MATCHERS:
        assert matcher.matches(given_facts) in (True, False)
