"""From a model name to its entry: the most specific name wins, whatever the order."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.model.names import covers
from portico.routing.router import Router

NAMES = ("*", "gpt-*", "gpt-4o*", "*-mini", "gpt-4o", "openai/*")


@pytest.mark.parametrize("order", [*itertools.permutations(NAMES)][::97])
@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("gpt-4o", "gpt-4o"),
        ("gpt-4o-mini", "gpt-4o*"),
        ("gpt-3", "gpt-*"),
        ("o3-mini", "*-mini"),
        ("openai/gpt-4o", "openai/*"),
        ("claude", "*"),
        ("GPT-4o", "*"),
        ("", "*"),
        ("*", "*"),
    ],
)
def test_the_most_specific_name_wins(order: tuple[str, ...], asked: str, found: str) -> None:
    assert Router((name, name) for name in order).find(asked) == found


def test_between_equals_the_first_in_the_file_wins() -> None:
    assert Router([("m", 1), ("m", 2)]).find("m") == 1
    assert Router([("ab*", 1), ("*bc", 2)]).find("abc") == 1
    assert Router([("*bc", 2), ("ab*", 1)]).find("abc") == 2


def test_without_a_match_there_is_nothing() -> None:
    assert Router([("gpt-*", 1)]).find("claude") is None
    assert Router[int]([]).find("m") is None


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_pattern_covers_what_it_spells(prefix: str, rest: str) -> None:
    literal = prefix.replace("*", "")
    assert covers(f"{literal}*", literal + rest)
    assert covers(f"*{literal}", rest + literal)
    assert covers("*", rest)
    if literal:
        assert covers(literal, rest) == (literal == rest)
