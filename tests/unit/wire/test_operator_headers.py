"""An operator changes headers, and never the framing of a message."""

import pytest

from portico.config.settings import HeaderRules
from portico.wire.header_rules import (
    RequestRules,
    ResponseRules,
    is_fixed_request,
    is_fixed_response,
)

BLOCK = (
    b"content-type: application/json\r\nx-request-id: req_1\r\nretry-after: 3\r\n"
    b"x-ratelimit-limit: 9\r\nx-portico-losses: seed=dropped\r\n"
)


def test_removed_fields_are_gone_and_all_others_keep_their_bytes() -> None:
    rules = ResponseRules(HeaderRules(remove=("retry-after", "x-not-there")))
    assert rules.apply(BLOCK) == BLOCK.replace(b"retry-after: 3\r\n", b"")


def test_set_takes_the_place_of_what_is_there() -> None:
    rules = ResponseRules(HeaderRules(set=(("retry-after", "60"), ("x-team", "core"))))
    plain = BLOCK.replace(b"retry-after: 3\r\n", b"")
    assert rules.apply(BLOCK) == plain + b"retry-after: 60\r\nx-team: core\r\n"


def test_add_stands_beside_what_is_there() -> None:
    rules = ResponseRules(HeaderRules(add=(("retry-after", "60"), ("retry-after", "61"))))
    assert rules.apply(BLOCK) == BLOCK + b"retry-after: 60\r\nretry-after: 61\r\n"


def test_remove_comes_before_set_and_set_before_add() -> None:
    rules = ResponseRules(
        HeaderRules(remove=("x-a",), set=(("x-a", "1"), ("x-b", "2")), add=(("x-b", "3"),))
    )
    assert rules.apply(b"x-a: 0\r\nx-b: 0\r\n") == b"x-a: 1\r\nx-b: 2\r\nx-b: 3\r\n"


def test_no_rules_change_nothing() -> None:
    assert ResponseRules(HeaderRules()).apply(BLOCK) == BLOCK
    request = RequestRules(HeaderRules())
    assert (request.names, request.lines, request.dress(BLOCK)) == (frozenset(), b"", BLOCK)


def test_an_empty_block_gets_the_lines() -> None:
    rules = HeaderRules(set=(("x-a", "1"),), remove=("x-b",))
    assert ResponseRules(rules).apply(b"") == b"x-a: 1\r\n"
    assert RequestRules(rules).dress(b"") == b"x-a: 1\r\n"


@pytest.mark.parametrize(
    "name",
    [
        "content-length", "transfer-encoding", "content-type", "connection", "date",
        "x-request-id", "request-id", "x-portico-losses", "X-Portico-Provider",
    ],
)  # fmt: skip
def test_framing_and_the_gateways_own_words_are_not_the_operators(name: str) -> None:
    rules = HeaderRules(set=((name, "1"),), add=((name, "2"),), remove=(name,))
    assert is_fixed_response(name)
    assert ResponseRules(rules).apply(BLOCK) == BLOCK


@pytest.mark.parametrize("name", ["host", "content-length", "transfer-encoding", "te", "Upgrade"])
def test_the_framing_of_requests_is_not_the_operators(name: str) -> None:
    rules = RequestRules(HeaderRules(set=((name, "1"),), add=((name, "2"),), remove=(name,)))
    assert is_fixed_request(name)
    assert (rules.names, rules.lines) == (frozenset(), b"")


def test_a_request_rule_says_what_stays_behind_and_what_is_written() -> None:
    rules = RequestRules(
        HeaderRules(
            set=(("anthropic-beta", "x"),),
            add=(("x-team", "core"),),
            remove=("traceparent", "user-agent"),
        )
    )
    assert rules.names == {b"anthropic-beta", b"traceparent", b"user-agent"}
    assert rules.lines == b"anthropic-beta: x\r\nx-team: core\r\n"
    common = b"host: h\r\nuser-agent: portico\r\nauthorization: Bearer k\r\n"
    assert rules.dress(common) == (
        b"host: h\r\nauthorization: Bearer k\r\nanthropic-beta: x\r\nx-team: core\r\n"
    )


def test_names_are_lower_case_however_they_were_written() -> None:
    assert RequestRules(HeaderRules(set=(("X-Team", "core"),))).lines == b"x-team: core\r\n"


def test_a_field_whose_name_begins_alike_is_another_field() -> None:
    block = b"x-team-name: a\r\nx-te: b\r\n"
    assert ResponseRules(HeaderRules(remove=("x-team",))).apply(block) == block


@pytest.mark.parametrize(
    ("name", "value"),
    [("x-a", "1\r\nx-b: 2"), ("x-a", "1\n"), ("x-a", "\0"), ("x a", "1"), ("x-a:", "1"), ("", "1")],
)
def test_what_no_header_can_hold_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"header|control"):
        RequestRules(HeaderRules(set=((name, value),)))
    with pytest.raises(ValueError, match=r"header|control"):
        ResponseRules(HeaderRules(add=((name, value),)))
