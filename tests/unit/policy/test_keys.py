"""`policy.auth` without a socket: what a table holds, and how it is asked."""

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.config.settings import ApiKeySettings, CallerKey
from portico.errors import RateLimited, Unauthenticated
from portico.policy import auth
from portico.policy.auth import Caller, KeyTable


def table(*keys: str, mode: Any = "strict") -> KeyTable:
    digests = [hashlib.sha256(key.encode()).hexdigest() for key in keys]
    return KeyTable(
        ApiKeySettings(
            mode=mode,
            keys=tuple(
                CallerKey(digest=digest, metadata={"n": str(n)}) for n, digest in enumerate(digests)
            ),
        )
    )


def test_each_key_finds_its_own_caller() -> None:
    keys = table("a-key", "b-key")
    for n, key in enumerate((b"a-key", b"b-key")):
        for headers in ({b"authorization": b"Bearer " + key}, {b"x-api-key": key}):
            caller = keys.identify(headers, {})
            assert caller is not None
            assert caller.metadata == {"n": str(n)}


@given(st.binary(max_size=5000))
def test_no_bytes_but_the_key_open_anything(token: bytes) -> None:
    keys = table("the-key")
    for headers in ({b"authorization": b"Bearer " + token}, {b"x-api-key": token}):
        if token.strip() == b"the-key":
            continue
        with pytest.raises(Unauthenticated):
            keys.identify(headers, {})


def test_two_tables_never_hold_the_same_entry() -> None:
    assert not table("k")._callers.keys() & table("k")._callers.keys()


def test_a_huge_token_is_not_even_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = table("k")
    seen: list[int] = []
    real = hashlib.sha256
    monkeypatch.setattr(auth.hashlib, "sha256", lambda t: seen.append(len(t)) or real(t))
    with pytest.raises(Unauthenticated):
        keys.identify({b"x-api-key": b"x" * (auth.MAX_KEY_BYTES + 1)}, {})
    with pytest.raises(Unauthenticated):
        keys.identify({b"x-api-key": b"x" * auth.MAX_KEY_BYTES}, {})
    assert seen == [auth.MAX_KEY_BYTES]


def test_optional_and_permissive_let_nobody_pass_as_somebody() -> None:
    assert table("k", mode="optional").identify({}, {}) is None
    with pytest.raises(Unauthenticated):
        table("k", mode="optional").identify({b"x-api-key": b"wrong"}, {})
    assert table("k", mode="permissive").identify({b"x-api-key": b"wrong"}, {}) is None


def test_the_cap_counts_in_and_out() -> None:
    caller = Caller(None, None)
    caller.enter(2)
    caller.enter(2)
    with pytest.raises(RateLimited) as full:
        caller.enter(2)
    assert full.value.limit == "inFlightPerKey"
    assert full.value.retryable is None, "a client may well try again"
    caller.leave()
    caller.enter(2)
    assert caller.in_flight == 2


def test_what_a_connection_remembers_opens_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    keys, others = table("mine", "yours"), table("other")
    memory: dict[Any, Any] = {}
    mine = keys.identify({b"x-api-key": b"mine"}, memory)
    hashed: list[bytes] = []
    real = hashlib.sha256
    monkeypatch.setattr(auth.hashlib, "sha256", lambda t: hashed.append(t) or real(t))
    assert keys.identify({b"authorization": b"Bearer mine"}, memory) is mine
    assert hashed == [], "the same key on the same connection is not hashed again"
    for wrong in (b"", b"min", b"mine2", b"nine"):
        with pytest.raises(Unauthenticated):
            keys.identify({b"x-api-key": wrong}, memory)
    yours = keys.identify({b"x-api-key": b"yours"}, memory)
    assert yours is not mine
    # Another table (another route, or the same one after a reload) starts from nothing.
    with pytest.raises(Unauthenticated):
        others.identify({b"x-api-key": b"yours"}, memory)
    assert len(memory) == 1, "and the memory does not grow"
