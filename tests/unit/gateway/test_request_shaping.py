"""A shaped request says the same to both lanes, and the original is there for the next target."""

import json
from typing import Any

import pytest
from msgspec import Raw, structs

from portico.config.settings import Prompt, Shaping
from portico.dialects.base import SpliceRequest
from portico.dialects.registry import DIALECTS
from portico.dialects.translators import CLIENTS
from portico.errors import BadRequest
from portico.gateway.shaping import Shaper, check_required, instructions_told, undo
from portico.limits import Limits
from portico.model.items import Message
from portico.model.request import GenerateRequest

LIMITS = Limits()
USER = {"role": "user", "content": "hi"}
BODIES: dict[str, dict[str, Any]] = {
    "completions": {"model": "m", "messages": [USER]},
    "responses": {"model": "m", "input": "hi"},
    "messages": {"model": "m", "max_tokens": 9, "messages": [USER]},
}
PROMPTS = {
    "prepend": (Prompt(role="system", content="A"), Prompt(role="user", content="B")),
    "append": (Prompt(role="system", content="Z"), Prompt(role="user", content="Y")),
}


def read(route: str, **members: Any) -> SpliceRequest:
    body = {**BODIES[route], **members}
    return DIALECTS[route].read(json.dumps(body, separators=(",", ":")).encode(), LIMITS)


def shaper(
    overrides: dict[str, Any] | None = None, defaults: dict[str, Any] | None = None, **more: Any
) -> Shaper:
    return Shaper(
        Shaping(
            overrides={
                name: json.dumps(value).encode() for name, value in (overrides or {}).items()
            },
            defaults={name: json.dumps(value).encode() for name, value in (defaults or {}).items()},
            **more,
        )
    )


def sent(ask: SpliceRequest) -> dict[str, Any]:
    """What the splice lane sends."""
    body: dict[str, Any] = json.loads(ask.render("up"))
    assert body.pop("model") == "up"
    assert json.loads(ask.render("m"))["model"] == "m"
    return body


def understood(ask: SpliceRequest, dialect: str) -> GenerateRequest:
    """What the translate lane reads."""
    return CLIENTS[dialect].read(ask.fields, ask.body, LIMITS, lambda text: None)


def texts(wanted: GenerateRequest) -> list[tuple[str, str]]:
    out = [("instructions", text.text) for text in wanted.instructions]
    for item in wanted.items:
        assert isinstance(item, Message)
        out += [(item.role, getattr(part, "text", "")) for part in item.parts]
    return out


def name_of(route: str) -> str:
    return DIALECTS[route].name


@pytest.mark.parametrize("route", sorted(BODIES))
def test_both_lanes_get_the_operators_members(route: str) -> None:
    ask = read(route, temperature=0.9, top_p=None)
    shape = shaper({"temperature": 0.2}, {"top_p": 0.5, "max_tokens": 4096, "user": "u"})
    assert shape.shape(ask, name_of(route)) == ()
    wanted = understood(ask, name_of(route))
    assert (wanted.temperature, wanted.top_p, wanted.user) == (0.2, 0.5, "u")
    assert wanted.max_output_tokens == (9 if route == "messages" else 4096)
    body = sent(ask)
    assert (body["temperature"], body["top_p"]) == (0.2, 0.5)
    assert json.loads(ask.body)["temperature"] == 0.2


@pytest.mark.parametrize("route", sorted(BODIES))
def test_both_lanes_get_the_operators_prompts(route: str) -> None:
    ask = read(route)
    shaper(**PROMPTS).shape(ask, name_of(route))
    said = {
        "completions": [("system", "A"), ("user", "B"), ("user", "hi"), ("system", "Z")],
        "responses": [("instructions", "A\n\nZ"), ("user", "B"), ("user", "hi")],
        "messages": [("instructions", "A\n\nZ"), ("user", "B"), ("user", "hi")],
    }
    assert texts(understood(ask, name_of(route))) == [*said[route], ("user", "Y")]
    assert json.loads(ask.render("m")) == json.loads(ask.body)


@pytest.mark.parametrize("route", sorted(BODIES))
def test_the_original_is_there_for_the_next_target(route: str) -> None:
    ask = read(route, stream=True)
    fields, body = ask.fields, ask.render("up")
    before = (dict(fields), dict(ask.changes or {}), ask.body)
    for _ in range(2):
        shaped = structs.replace(ask)
        shaper({"temperature": 0.2, "n": 2}, **PROMPTS).shape(shaped, name_of(route))
        assert shaped.render("up") != body
        assert (dict(ask.fields), dict(ask.changes or {}), ask.body) == before
        assert ask.fields is fields
        assert ask.render("up") == body


def test_what_was_shaped_for_one_target_can_be_undone_for_the_next() -> None:
    ask = read("completions", stream=True, n=3)
    plain, body = structs.replace(ask), ask.render("up")
    shaper({"stream_options": {"include_usage": True}, "n": 2}, **PROMPTS).shape(ask, "chat")
    assert (ask.hides_usage, ask.choices) == (False, 2)
    undo(ask, plain)
    assert ask.render("up") == body
    assert (ask.hides_usage, ask.choices, ask.body) == (True, 3, plain.body)


@pytest.mark.parametrize("route", sorted(BODIES))
def test_shaping_that_changes_nothing_leaves_the_clients_own_bytes(route: str) -> None:
    ask = read(route, temperature=1)
    body = ask.body
    shaper(defaults={"temperature": 0}).shape(ask, name_of(route))
    assert ask.render("m") is body


@pytest.mark.parametrize("kind", ["stored", "models"])
def test_other_kinds_of_requests_are_not_shaped(kind: str) -> None:
    ask = read("responses")
    assert shaper({"temperature": 0}).shape(ask, "responses", kind=kind) == ()
    assert "temperature" not in ask.fields


def test_the_caller_hears_what_its_api_has_no_word_for() -> None:
    (loss,) = shaper({"seed": 1}).shape(read("messages"), "messages")
    assert (loss.path, loss.how) == ("seed", "dropped")


# required members


def test_a_default_stands_in_for_what_messages_require() -> None:
    ask = read("messages")
    fields = {name: raw for name, raw in ask.fields.items() if name != "max_tokens"}
    for missing in (fields, {**fields, "max_tokens": Raw(b"null")}):
        bare = structs.replace(ask, fields=dict(missing))
        with pytest.raises(BadRequest) as caught:
            check_required(bare, "messages")
        assert caught.value.param == "max_tokens"
        shaper(defaults={"max_output_tokens": 7}).shape(bare, "messages")
        check_required(bare, "messages")
        assert understood(bare, "messages").max_output_tokens == 7
    check_required(read("responses"), "responses")


# counting, compacting


def test_a_count_is_of_what_would_be_sent_without_what_counters_refuse() -> None:
    shape = shaper(
        {"temperature": 0, "reasoning_effort": "low"},
        {"max_tokens": 7, "tool_choice": {"type": "auto"}},
        **PROMPTS,
    )
    body = json.dumps({"model": "m", "messages": [USER]}).encode()
    ask = DIALECTS["anthropicTokenCount"].read(body, LIMITS)
    assert shape.shape(ask, "messages", kind="count") == ()
    assert sorted(sent(ask)) == ["messages", "output_config", "system", "tool_choice"]
    ask = DIALECTS["responsesInputTokens"].read(b'{"model":"m","input":"hi"}', LIMITS)
    shape.shape(ask, "responses", kind="count")
    assert sorted(sent(ask)) == ["input", "instructions", "reasoning", "tool_choice"]
    assert len(sent(ask)["input"]) == 3


def test_a_count_of_nothing_is_still_one_of_the_instructions() -> None:
    ask = DIALECTS["responsesInputTokens"].read(b'{"model":"m","input":null}', LIMITS)
    shaper(prepend=(Prompt(role="system", content="A"),)).shape(ask, "responses", kind="count")
    assert sent(ask) == {"instructions": "A"}


def test_a_compaction_is_of_the_clients_own_conversation() -> None:
    ask = read("responses", input=[USER])
    shaper({"service_tier": "flex"}, **PROMPTS).shape(ask, "responses", kind="compact")
    assert sent(ask) == {"input": [USER], "service_tier": "flex"}


# chat: what the tap has to know


def test_a_stream_reports_its_usage_whatever_the_operator_says() -> None:
    ask = read("completions", stream=True, stream_options={"include_usage": True})
    assert not ask.hides_usage
    shaper({"stream_options": {"include_obfuscation": False}}).shape(ask, "chat")
    assert ask.hides_usage
    assert sent(ask)["stream_options"] == {"include_obfuscation": False, "include_usage": True}
    ask = read("completions", stream=True)
    shaper(defaults={"stream_options": {"include_usage": True}}).shape(ask, "chat")
    assert not ask.hides_usage
    assert sent(ask)["stream_options"] == {"include_usage": True}
    ask = read("completions", stream=True)
    shaper({"temperature": 0}).shape(ask, "chat")
    assert ask.hides_usage
    assert sent(ask)["stream_options"] == {"include_usage": True}


def test_options_of_streams_do_not_go_into_requests_for_whole_answers() -> None:
    for route, options in (
        ("completions", {"include_usage": True}),
        ("responses", {"include_obfuscation": False}),
    ):
        for how in ("overrides", "defaults"):
            ask = read(route)
            shaper(**{how: {"stream_options": options}}).shape(ask, name_of(route))
            assert "stream_options" not in sent(ask)


def test_the_number_of_choices_is_the_operators() -> None:
    ask = read("completions", n=4)
    shaper({"n": 2}).shape(ask, "chat")
    assert ask.choices == 2
    ask = read("completions", n=4)
    shaper({"n": None}).shape(ask, "chat")
    assert (ask.choices, "n" in sent(ask)) == (1, False)
    ask = read("completions")
    shaper({"n": "many", "stream_options": 7}).shape(ask, "chat")
    assert ask.choices == 1
    with pytest.raises(BadRequest):
        understood(ask, "chat")


# responses: chains, answers, what the body alone holds


def test_a_chain_at_the_provider_does_not_repeat_the_first_prompts() -> None:
    for ask, native in (
        (read("responses"), True),
        (read("responses", previous_response_id="resp_1"), False),
    ):
        shaper(**PROMPTS).shape(ask, "responses", native=native)
        body = sent(ask)
        assert [item["content"] for item in body["input"]] == ["hi", "Y"]
        assert body["instructions"] == "A\n\nZ"


def test_answers_repeat_what_was_in_effect_but_no_prompts() -> None:
    ask = read("responses", instructions="own", temperature=1)
    plain = structs.replace(ask)
    shaper({"temperature": 0}, {"max_tokens": 99}, **PROMPTS).shape(ask, "responses")
    assert ask.told is not None
    told = {name: json.loads(bytes(raw)) for name, raw in ask.told.items()}
    assert told == {
        "model": "m", "input": "hi", "instructions": "own", "temperature": 0,
        "max_output_tokens": 99,
    }  # fmt: skip
    assert instructions_told(plain, ask) == {"instructions": b'"own"'}
    bare = read("responses")
    plain = structs.replace(bare)
    shaper(**PROMPTS).shape(bare, "responses")
    assert instructions_told(plain, bare) == {"instructions": b"null"}
    assert instructions_told(plain, plain) == {}


def test_answers_repeat_the_store_that_is_and_not_the_operators() -> None:
    for told in (None, "as it was"):
        ask = read("responses", temperature=1)
        if told is not None:
            ask.told = {**ask.fields, "store": read("responses", store=True).fields["store"]}
        shaper({"store": False, "temperature": 0}).shape(ask, "responses")
        assert sent(ask)["store"] is False
        assert ask.told is not None
        assert bytes(ask.told["temperature"]) == b"0"
        assert bytes(ask.told.get("store", b"none")) == (b"none" if told is None else b"true")


def test_nobody_keeps_what_the_model_is_not_to_keep() -> None:
    ask = read("responses")
    ask.changes = {"store": b"false"}
    shaper({"store": True}).shape(ask, "responses")
    assert sent(ask)["store"] is False


def test_parameters_of_gateways_stay_where_only_the_translate_lane_reads_them() -> None:
    tools = [{"type": "function", "name": name, "parameters": {}} for name in ("a", "b")]
    ask = read("responses", tools=tools, allowed_tools=["a"], caching="auto")
    shaper({"temperature": 0}, **PROMPTS).shape(ask, "responses")
    assert {"allowed_tools", "caching"} <= json.loads(ask.body).keys()
    body = sent(ask)
    assert not {"allowed_tools", "caching"} & body.keys()
    assert body["tool_choice"]["tools"] == [{"type": "function", "name": "a"}]
    assert understood(ask, "responses").caching


def test_caching_by_default_reaches_the_translate_lane_only() -> None:
    ask = read("responses")
    shaper(defaults={"caching": "auto"}).shape(ask, "responses")
    assert understood(ask, "responses").caching
    assert sent(ask) == {"input": "hi"}


def test_a_choice_of_tools_by_the_operator_replaces_the_clients() -> None:
    tools = [{"type": "function", "name": name, "parameters": {}} for name in ("a", "b")]
    ask = read("responses", tools=tools, allowed_tools=["a"])
    shaper(defaults={"tool_choice": "required"}).shape(ask, "responses")
    assert sent(ask)["tool_choice"]["tools"] == [{"type": "function", "name": "a"}]
    ask = read("responses", tools=tools, allowed_tools=["a"])
    shaper({"tool_choice": "none"}).shape(ask, "responses")
    assert sent(ask)["tool_choice"] == "none"
    assert understood(ask, "responses").tool_choice.mode == "none"
