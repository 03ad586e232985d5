"""Envelopes of provider state."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.model.sealed import PREFIX, Sealed
from portico.policy.sealing import Sealer

STATE = Sealed("messages/anthropic:1", "signature", "EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxB\u00e9")


def test_what_was_sealed_opens_unchanged() -> None:
    box = Sealer("k" * 32).tenant(b"a").seal(STATE)
    assert box.startswith(PREFIX)
    assert box.isascii()
    assert STATE.data not in box
    assert Sealer("k" * 32).tenant(b"a").unseal(box) == STATE


def test_another_tenant_cannot_open_it() -> None:
    sealer = Sealer("k" * 32)
    assert sealer.tenant(b"b").unseal(sealer.tenant(b"a").seal(STATE)) is None


def test_another_key_cannot_open_it() -> None:
    assert Sealer("l" * 32).tenant(b"").unseal(Sealer("k" * 32).tenant(b"").seal(STATE)) is None
    assert Sealer(None).tenant(b"").unseal(Sealer(None).tenant(b"").seal(STATE)) is None


def test_two_envelopes_of_the_same_state_differ() -> None:
    tenant = Sealer(None).tenant(b"")
    assert tenant.seal(STATE) != tenant.seal(STATE)


@pytest.mark.parametrize(
    "text", ["", "gAAAAAB", PREFIX, PREFIX + "!!", PREFIX + "a" * 100, "\ud800"]
)
def test_what_is_not_an_envelope_is_none(text: str) -> None:
    assert Sealer(None).tenant(b"").unseal(text) is None


@given(st.integers(0, 200), st.integers(0, 63))
def test_a_changed_envelope_never_opens(place: int, letter: int) -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    tenant = Sealer("k" * 32).tenant(b"a")
    box = tenant.seal(STATE)
    at = len(PREFIX) + place % (len(box) - len(PREFIX) - 1)  # the last one may hold unused bits
    changed = box[:at] + alphabet[letter] + box[at + 1 :]
    assert tenant.unseal(changed) == (STATE if changed == box else None)
