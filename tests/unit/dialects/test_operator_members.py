"""One name in the configuration holds for the clients of every dialect that can say it."""

import json
from typing import Any

import pytest
from msgspec import Raw

from portico.dialects.members import edits_for

DIALECTS = ["chat", "messages", "responses"]


def shaped(
    dialect: str,
    client: dict[str, Any],
    overrides: dict[str, Any] | None = None,
    defaults: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The client's members after the operator's."""
    edits = edits_for(dialect, text(overrides or {}), text(defaults or {}))
    fields = {name: Raw(value) for name, value in text(client).items()}
    edits.apply(fields)
    return {name: json.loads(bytes(raw)) for name, raw in fields.items()}


def text(members: dict[str, Any]) -> dict[str, bytes]:
    return {name: json.dumps(value).encode() for name, value in members.items()}


def lost(dialect: str, **members: Any) -> list[str]:
    return [loss.path for loss in edits_for(dialect, {}, text(members)).losses]


@pytest.mark.parametrize("written", ["max_tokens", "max_completion_tokens", "max_output_tokens"])
def test_a_limit_of_output_holds_in_every_dialect(written: str) -> None:
    names = {
        dialect: list(shaped(dialect, {}, defaults={written: 4096})) for dialect in DIALECTS
    }  # fmt: skip
    assert names["messages"] == ["max_tokens"]
    assert names["responses"] == ["max_output_tokens"]
    own = "max_completion_tokens" if written == "max_output_tokens" else written
    assert names["chat"] == [own]


@pytest.mark.parametrize("written", ["max_tokens", "max_completion_tokens", "max_output_tokens"])
@pytest.mark.parametrize("sent", ["max_tokens", "max_completion_tokens"])
def test_no_default_is_added_beside_a_synonym_of_the_client(written: str, sent: str) -> None:
    assert shaped("chat", {sent: 5}, defaults={written: 4096}) == {sent: 5}
    assert list(shaped("chat", {sent: None}, defaults={written: 1}).values())[-1] == 1


def test_an_override_replaces_the_synonyms_of_the_client() -> None:
    client = {"max_completion_tokens": 5, "n": 1, "max_tokens": 6}
    assert shaped("chat", client, {"max_tokens": 9}) == {"n": 1, "max_tokens": 9}
    assert shaped("chat", client, {"max_output_tokens": 9}) == {"max_completion_tokens": 9, "n": 1}


def test_the_dialects_own_name_goes_before_a_translated_one() -> None:
    both = {"max_tokens": 1, "max_output_tokens": 2}
    for order in (both, dict(reversed(both.items()))):
        for how in ("overrides", "defaults"):
            assert shaped("responses", {}, **{how: order}) == {"max_output_tokens": 2}
            assert shaped("messages", {}, **{how: order}) == {"max_tokens": 1}
            assert shaped("chat", {}, **{how: order}) == {"max_tokens": 1}


def test_a_default_is_for_what_is_missing_or_null() -> None:
    defaults = {"temperature": 0.2, "top_p": 0.5, "user": "u"}
    client = {"temperature": 0, "top_p": None}
    assert shaped("chat", client, defaults=defaults) == {
        "temperature": 0, "top_p": 0.5, "user": "u"
    }  # fmt: skip


def test_an_override_keeps_the_place_and_every_other_byte() -> None:
    edits = edits_for("chat", {"temperature": b"0.20"}, {})
    fields = {"a": Raw(b"1e+2"), "temperature": Raw(b"1"), "b": Raw(rb'"\u00e9"')}
    before = dict(fields)
    edits.apply(fields)
    assert list(fields) == ["a", "temperature", "b"]
    assert bytes(fields["temperature"]) == b"0.20"
    assert fields["a"] is before["a"]
    assert fields["b"] is before["b"]


def test_an_override_of_null_takes_the_member_out() -> None:
    assert shaped("chat", {"temperature": 1, "n": 1}, {"temperature": None}) == {"n": 1}
    assert shaped("responses", {"max_output_tokens": 1}, {"max_tokens": None}) == {}
    assert shaped("messages", {"metadata": {"user_id": "u"}}, {"user": None}) == {}
    assert shaped("messages", {"metadata": {"user_id": "u"}}, {"metadata": None}) == {}
    assert shaped("chat", {}, defaults={"temperature": None}) == {}


def test_stop_is_an_array_where_a_dialect_wants_one() -> None:
    assert shaped("chat", {}, {"stop": "END"}) == {"stop": "END"}
    assert shaped("messages", {}, {"stop": "END"}) == {"stop_sequences": ["END"]}
    assert shaped("messages", {}, {"stop": ["a", "b"]}) == {"stop_sequences": ["a", "b"]}
    assert shaped("chat", {}, {"stop_sequences": ["a"]}) == {"stop": ["a"]}
    assert shaped("responses", {}, {"stop": "END"}) == {}
    assert lost("responses", stop="END") == ["stop"]


# effort


@pytest.mark.parametrize(
    "written",
    [
        {"reasoning_effort": "low"},
        {"reasoning": {"effort": "low"}},
        {"output_config": {"effort": "low"}},
    ],
)
def test_effort_holds_in_every_dialect(written: dict[str, Any]) -> None:
    for how in ("overrides", "defaults"):
        assert shaped("chat", {}, **{how: written}) == {"reasoning_effort": "low"}
        assert shaped("responses", {}, **{how: written}) == {"reasoning": {"effort": "low"}}
        assert shaped("messages", {}, **{how: written}) == {"output_config": {"effort": "low"}}


def test_effort_joins_what_the_client_says_beside_it() -> None:
    client = {"reasoning": {"summary": "auto"}}
    wanted = {"reasoning": {"summary": "auto", "effort": "low"}}
    assert shaped("responses", client, defaults={"reasoning_effort": "low"}) == wanted
    assert shaped("responses", client, {"reasoning_effort": "low"}) == wanted
    said = {"reasoning": {"effort": "high"}}
    assert shaped("responses", said, defaults={"reasoning_effort": "low"}) == said
    assert shaped("responses", said, {"reasoning_effort": "low"}) == {
        "reasoning": {"effort": "low"}
    }  # fmt: skip
    form = {"output_config": {"format": {"type": "json_schema"}}}
    assert shaped("messages", form, defaults={"reasoning_effort": "low"}) == {
        "output_config": {"format": {"type": "json_schema"}, "effort": "low"}
    }


def test_no_effort_is_no_thinking_for_messages() -> None:
    off = {"thinking": {"type": "disabled"}}
    assert shaped("messages", {}, {"reasoning_effort": "none"}) == off
    assert shaped("messages", {}, defaults={"reasoning_effort": "none"}) == off
    said = {"output_config": {"effort": "high"}}
    assert shaped("messages", said, defaults={"reasoning_effort": "none"}) == said
    assert shaped("messages", {}, {"reasoning_effort": "minimal"}) == {
        "output_config": {"effort": "low"}
    }
    for dialect, wanted in (
        ("chat", {"reasoning_effort": "none"}),
        ("responses", {"reasoning": {"effort": "none"}}),
    ):
        assert shaped(dialect, {}, off) == wanted


def test_an_override_of_effort_wins_over_thinking_that_is_off() -> None:
    off = {"thinking": {"type": "disabled"}}
    assert shaped("messages", off, {"reasoning_effort": "high"}) == {
        "output_config": {"effort": "high"}
    }
    assert shaped("messages", off, defaults={"reasoning_effort": "high"}) == off
    shown = {"thinking": {"type": "adaptive", "display": "omitted"}}
    assert shaped("messages", shown, {"reasoning_effort": "high"}) == {
        **shown, "output_config": {"effort": "high"}
    }  # fmt: skip


def test_a_chat_client_that_speaks_of_reasoning_has_said_its_effort() -> None:
    client = {"reasoning": {"max_tokens": 99}}
    assert shaped("chat", client, defaults={"reasoning_effort": "low"}) == client
    both = {"reasoning": {"effort": "high", "exclude": True}}
    assert shaped("chat", both, {"reasoning_effort": "low"}) == {
        "reasoning": {"exclude": True}, "reasoning_effort": "low"
    }  # fmt: skip


@pytest.mark.parametrize("wrong", ["high", 7, ["x"]])
def test_an_object_of_the_wrong_type_is_left_for_the_reader(wrong: Any) -> None:
    client = {"reasoning": wrong}
    assert shaped("responses", client, {"reasoning_effort": "low"}) == client
    assert shaped("responses", client, defaults={"reasoning_effort": "low"}) == client


# users, tiers, the rest


def test_a_user_is_an_id_in_the_metadata_of_messages() -> None:
    assert shaped("messages", {}, {"user": "u"}) == {"metadata": {"user_id": "u"}}
    assert shaped("responses", {}, {"user": "u"}) == {"user": "u"}
    assert shaped("messages", {}, {"metadata": {"user_id": "u", "team": "t"}}) == {
        "metadata": {"user_id": "u"}
    }
    assert lost("messages", metadata={"user_id": "u", "team": "t"}) == ["metadata.team"]
    assert shaped("chat", {}, {"metadata": {"team": "t"}}) == {"metadata": {"team": "t"}}


@pytest.mark.parametrize(
    ("dialect", "word", "sent"),
    [
        ("chat", "priority", "priority"),
        ("chat", "standard_only", "default"),
        ("responses", "standard_only", "default"),
        ("messages", "default", "standard_only"),
        ("messages", "auto", "auto"),
        ("messages", "flex", None),
        ("messages", 7, None),
    ],
)
def test_service_tiers_have_other_words(dialect: str, word: Any, sent: str | None) -> None:
    wanted = {} if sent is None else {"service_tier": sent}
    assert shaped(dialect, {}, {"service_tier": word}) == wanted


def test_verbosity_has_another_place_in_responses() -> None:
    assert shaped("responses", {"text": {"format": 1}}, {"verbosity": "low"}) == {
        "text": {"format": 1, "verbosity": "low"}
    }
    assert shaped("chat", {}, {"text": {"verbosity": "low"}}) == {"verbosity": "low"}
    assert lost("chat", text={"format": {"type": "text"}}) == ["text.format"]


def test_what_only_another_dialect_has_is_left_out_and_said() -> None:
    assert shaped("messages", {}, {"seed": 1, "temperature": 0}) == {"temperature": 0}
    assert lost("messages", seed=1, temperature=0) == ["seed"]
    assert lost("responses", seed=1, top_k=4) == ["seed", "top_k"]
    assert lost("chat", seed=1, top_k=4) == []


def test_what_no_dialect_has_is_a_vendors_own_and_passes() -> None:
    for dialect in DIALECTS:
        assert shaped(dialect, {}, {"chat_template_kwargs": {"a": 1}}) == {
            "chat_template_kwargs": {"a": 1}
        }


def test_what_is_read_before_cannot_be_set() -> None:
    for dialect in DIALECTS:
        assert shaped(dialect, {"model": "m"}, {"model": "other", "stream": True}) == {"model": "m"}
    kept = {"background": True, "previous_response_id": "resp_1", "conversation": "conv_1"}
    assert shaped("responses", {}, kept) == {}


def test_options_of_streams_are_those_of_the_dialect() -> None:
    both = {"stream_options": {"include_usage": True, "include_obfuscation": False}}
    assert shaped("chat", {}, both) == both
    assert shaped("responses", {}, both) == {"stream_options": {"include_obfuscation": False}}
    assert shaped("responses", {}, {"stream_options": {"include_usage": True}}) == {}
