"""Seals are recognised, hold what they were made for, and cannot be altered or moved."""

import base64

import pytest

from portico.demo.seals import Places, canonical, seal, unseal

MADE = seal("thinking", "é", turn="t", index=2, after="call:f")


def test_a_seal_says_what_it_covers() -> None:
    found = unseal(MADE)
    assert found is not None
    assert (found.turn, found.index, found.after) == ("t", 2, "call:f")
    assert found.of("thinking", "é")
    assert not found.of("thinking", "e")
    assert not found.of("call", "é")


def test_both_alphabets_are_read() -> None:
    raw = base64.b64decode(MADE)
    assert unseal(base64.urlsafe_b64encode(raw).decode()) == unseal(MADE)
    assert unseal(MADE.rstrip("=")) == unseal(MADE)


@pytest.mark.parametrize(
    "bad", ["", "x", "ZGVtbw==", MADE[:-4], MADE.swapcase(), "é", None, 3, f"{MADE}AAAA"]
)
def test_nothing_else_is_a_seal(bad: object) -> None:
    assert unseal(bad) is None


def test_no_byte_of_a_seal_may_change() -> None:
    for at in range(len(MADE.rstrip("="))):
        other = "B" if MADE[at] == "A" else "A"
        assert unseal(MADE[:at] + other + MADE[at + 1 :]) is None


def test_a_seal_stays_in_its_turn_and_its_order() -> None:
    first, second = (unseal(seal("k", "", turn="t", index=index)) for index in (0, 1))
    assert first is not None
    assert second is not None
    places = Places()
    assert places.take(first, 1)
    assert places.take(second, 1)
    assert not places.take(second, 1)
    assert not places.take(first, 1)
    fresh = Places()
    assert fresh.take(first, 1)
    assert not fresh.take(second, 2)


def test_arguments_are_compared_as_protobuf_structs_are() -> None:
    assert canonical({"b": 1.0, "a": [2.0, {"c": 0.5}]}) == canonical(
        {"a": [2, {"c": 0.5}], "b": 1}
    )
    assert canonical({"a": 1}) != canonical({"a": "1"})
