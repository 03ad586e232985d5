"""What callers say about routing: every source, which one wins, and what is refused by name."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from portico.errors import BadRequest
from portico.gateway.controls import (
    CONTROL_FIELDS,
    CONTROL_HEADERS,
    EVERY,
    Controls,
    read_controls,
)


def read(body: dict[str, Any] | None = None, **headers: str) -> Controls | None:
    """`models="a"` is the header `x-portico-models`."""
    fields = msgspec.json.decode(msgspec.json.encode(body or {}), type=dict[str, Raw])
    return read_controls(
        fields, {f"x-portico-{name}".encode(): text.encode() for name, text in headers.items()}
    )


def vercel(**members: Any) -> dict[str, Any]:
    return {"providerOptions": {"gateway": members}}


def refused(body: dict[str, Any] | None = None, **headers: str) -> tuple[str | None, str | None]:
    with pytest.raises(BadRequest) as caught:
        read(body, **headers)
    return caught.value.code, caught.value.param


def test_a_usual_request_has_none() -> None:
    assert read({"model": "m", "messages": []}) is None
    assert read_controls({}, {b"x-portico-request-id": b"1", b"content-type": b"x"}) is None


def test_the_options_of_vercel_are_read() -> None:
    body = vercel(
        order=["OpenAI", "azure"],
        only=["azure", "OpenAI", "azure"],
        sort="tps",
        models=["b", "c"],
        tags=["t1", "équipe"],
        user="u",
        providerTimeouts={"Azure": 1500, "byok": {"openAI": 3000}, "system": {"x": 1.5}},
    )
    assert read(body) == Controls(
        order=("openai", "azure"),
        only=("azure", "openai"),
        sort="throughput",
        models=("b", "c"),
        tags=("t1", "équipe"),
        user="u",
        timeouts={"azure": 1.5, "openai": 3.0, "x": 0.0015},
        consumed=frozenset({"providerOptions"}),
    )
    snake = {"provider_options": body["providerOptions"]}
    again = read(snake)
    assert again is not None
    assert again.consumed == {"provider_options"}
    assert again.order == ("openai", "azure")


def test_the_members_of_openrouter_are_read() -> None:
    body = {
        "models": ["b", "c", "b"],
        "provider": {
            "order": ["A"],
            "only": ["A", "b"],
            "ignore": ["C"],
            "sort": {"by": "latency", "partition": "model"},
            "allow_fallbacks": False,
        },
    }
    assert read(body) == Controls(
        models=("b", "c"),
        order=("a",),
        only=("a", "b"),
        ignore=("c",),
        sort="ttft",
        fallbacks=False,
        consumed=frozenset({"models", "provider"}),
    )


def test_headers_are_read() -> None:
    found = read(
        models="b, c,,b", order="A ,B", only="a", ignore="C", sort="cost", tags="x,y", user="u",
        timeout="2500, A=500,b = 1000",
    )  # fmt: skip
    assert found == Controls(
        models=("b", "c"),
        order=("a", "b"),
        only=("a",),
        ignore=("c",),
        sort="cost",
        tags=("x", "y"),
        user="u",
        timeouts={EVERY: 2.5, "a": 0.5, "b": 1.0},
    )


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        ("cost", "cost"), ("price", "cost"), ("ttft", "ttft"), ("latency", "ttft"),
        ("throughput", "throughput"), ("tps", "throughput"),
    ],
)  # fmt: skip
def test_every_gateways_word_for_a_sort_is_understood(word: str, meaning: str) -> None:
    for found in (
        read(vercel(sort=word)),
        read({"provider": {"sort": word}}),
        read({"provider": {"sort": {"by": word}}}),
        read(sort=word),
    ):
        assert found is not None
        assert found.sort == meaning


def test_the_first_source_that_mentions_a_control_wins_control_by_control() -> None:
    body = {
        **vercel(order=["one"], only=[]),
        "models": ["two"],
        "provider": {"order": ["two"], "only": ["two"], "sort": "price"},
    }
    found = read(body, models="3", order="3", only="3", sort="ttft", tags="3", ignore="Three")
    assert found == Controls(
        order=("one",),
        only=(),
        models=("two",),
        sort="cost",
        tags=("3",),
        ignore=("three",),
        consumed=frozenset({"providerOptions", "models", "provider"}),
    )


def test_null_mentions_nothing_and_does_not_go_upstream() -> None:
    body = {"models": None, "provider": None, **vercel(order=None, tags=None, user=None, sort=None)}
    found = read(body, order="a", user="u")
    assert found == Controls(
        order=("a",), user="u", consumed=frozenset({"models", "provider", "providerOptions"})
    )
    assert read({"provider": {"order": None, "sort": None, "allow_fallbacks": None}}) == Controls(
        consumed=frozenset({"provider"})
    )


def test_options_for_providers_stay_in_the_body() -> None:
    other = {"openai": {"reasoningEffort": "low"}, "n": 2.50}
    body = {"providerOptions": {**other, "gateway": {"order": ["a"]}}}
    found = read(body)
    assert found is not None
    assert found.consumed == {"providerOptions"}
    assert msgspec.json.decode(found.rest["providerOptions"]) == other
    assert read({"providerOptions": other}) is None
    assert read({"providerOptions": {}, "provider_options": None}) is None
    raw = {"providerOptions": Raw(b'{"x": {"a":1.50,  "b":"\\u00e9"}, "gateway": {}}')}
    exact = read_controls(raw, {})
    assert exact is not None
    assert exact.rest == {"providerOptions": b'{"x":{"a":1.50,  "b":"\\u00e9"}}'}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("provider.data_collection", "deny"),
        ("provider.quantizations", ["fp8"]),
        ("provider.require_parameters", True),
        ("provider.max_price", {"prompt": 1}),
        ("provider.zdr", True),
        ("provider.enforce_distillable_text", True),
        ("provider.preferred_min_throughput", 50),
        ("provider.preferred_max_latency", {"p90": 3}),
        ("provider.something_new", 1),
        ("provider.sort.partition", "none"),
        ("providerOptions.gateway.caching", "auto"),
        ("providerOptions.gateway.has", ["vision"]),
        ("providerOptions.gateway.byok", {"openai": [{"apiKey": "k"}]}),
        ("providerOptions.gateway.zeroDataRetention", True),
        ("providerOptions.gateway.disallowPromptTraining", True),
        ("providerOptions.gateway.serviceTier", "flex"),
        ("providerOptions.gateway.quotaEntityId", "q"),
        ("provider_options.gateway.something_new", "x"),
    ],
)
def test_what_cannot_be_promised_is_refused_by_name(path: str, value: Any) -> None:
    body: Any = value
    for name in reversed(path.split(".")):
        body = {name: body}
    assert refused(body) == ("unsupported_parameter", path)


def test_what_asks_for_nothing_is_not_refused() -> None:
    nothing = {
        "data_collection": "allow", "zdr": False, "max_price": None, "quantizations": [],
        "require_parameters": False, "preferred_max_latency": {},
    }  # fmt: skip
    assert read({"provider": nothing}) == Controls(consumed=frozenset({"provider"}))
    assert read(vercel(zeroDataRetention=False, has=[], byok={})) is not None


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"models": "b"}, "models"),
        ({"models": {}}, "models"),
        ({"models": [1]}, "models[0]"),
        ({"models": ["a", {"model": "b", "when": {}}]}, "models[1]"),
        ({"provider": "openai"}, "provider"),
        ({"provider": ["openai"]}, "provider"),
        ({"provider": {"order": "a"}}, "provider.order"),
        ({"provider": {"ignore": [None]}}, "provider.ignore[0]"),
        ({"provider": {"allow_fallbacks": "no"}}, "provider.allow_fallbacks"),
        ({"provider": {"sort": 1}}, "provider.sort"),
        ({"provider": {"sort": {"by": []}}}, "provider.sort.by"),
        ({"providerOptions": "x"}, "providerOptions"),
        ({"providerOptions": {"gateway": []}}, "providerOptions.gateway"),
        (vercel(user=1), "providerOptions.gateway.user"),
        (vercel(tags=[[]]), "providerOptions.gateway.tags[0]"),
        (vercel(providerTimeouts=5), "providerOptions.gateway.providerTimeouts"),
        (vercel(providerTimeouts={"a": "5"}), "providerOptions.gateway.providerTimeouts.a"),
        (vercel(providerTimeouts={"a": True}), "providerOptions.gateway.providerTimeouts.a"),
        (vercel(providerTimeouts={"a": {}}), "providerOptions.gateway.providerTimeouts.a"),
        (
            vercel(providerTimeouts={"byok": {"a": []}}),
            "providerOptions.gateway.providerTimeouts.byok.a",
        ),
    ],
)
def test_a_wrong_type_is_told_with_its_path(body: dict[str, Any], param: str) -> None:
    assert refused(body) == ("invalid_type", param)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"models": [""]}, "models[0]"),
        ({"models": ["a\nb"]}, "models[0]"),
        ({"models": ["m" * 257]}, "models[0]"),
        ({"models": [f"m{i}" for i in range(17)]}, "models"),
        ({"provider": {"only": ["p"] * 33}}, "provider.only"),
        ({"provider": {"order": ["p" * 129]}}, "provider.order[0]"),
        ({"provider": {"sort": "exacto"}}, "provider.sort"),
        (vercel(tags=["t"] * 33), "providerOptions.gateway.tags"),
        (vercel(tags=["ok", "\x7f"]), "providerOptions.gateway.tags[1]"),
        (vercel(tags=["a\u2028b"]), "providerOptions.gateway.tags[0]"),
        (vercel(user="u" * 257), "providerOptions.gateway.user"),
        (vercel(providerTimeouts={"a": 0}), "providerOptions.gateway.providerTimeouts.a"),
        (vercel(providerTimeouts={"a": 10**400}), "providerOptions.gateway.providerTimeouts.a"),
        (
            vercel(providerTimeouts={f"p{i}": 1 for i in range(33)}),
            "providerOptions.gateway.providerTimeouts",
        ),
    ],
)
def test_a_value_beyond_its_limits_is_told_with_its_path(body: dict[str, Any], param: str) -> None:
    assert refused(body)[1] == param


@pytest.mark.parametrize(
    ("name", "text", "param"),
    [
        ("models", ",".join(f"m{i}" for i in range(17)), "x-portico-models"),
        ("models", "m" * 257, "x-portico-models[0]"),
        ("order", "a,b\x01", "x-portico-order[1]"),
        ("sort", "fast", "x-portico-sort"),
        ("user", "u" * 257, "x-portico-user"),
        ("timeout", "soon", "x-portico-timeout"),
        ("timeout", "a=", "x-portico-timeout"),
        ("timeout", "-5", "x-portico-timeout"),
        ("timeout", "1e3", "x-portico-timeout"),
        ("timeout", "0", "x-portico-timeout"),
        ("timeout", "99999999999", "x-portico-timeout"),
        ("timeout", ",".join(f"p{i}=5" for i in range(33)), "x-portico-timeout"),
    ],
)
def test_a_header_beyond_its_limits_is_told_by_its_name(name: str, text: str, param: str) -> None:
    assert refused(**{name: text})[1] == param


def test_a_header_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(BadRequest):
        read_controls({}, {b"x-portico-user": b"\xff"})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["order", "only", "sort", "by", "partition", "models", "tags", "user", "gateway",
                 "providerTimeouts", "byok", "ignore", "allow_fallbacks", "zdr"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(st.sampled_from(sorted(CONTROL_FIELDS)), JSON),
    st.dictionaries(st.sampled_from(sorted(CONTROL_HEADERS)), st.binary(max_size=8)),
)
def test_whatever_is_sent_there_are_controls_or_one_typed_error(
    body: dict[str, Any], headers: dict[bytes, bytes]
) -> None:
    fields = msgspec.json.decode(msgspec.json.encode(body), type=dict[str, Raw])
    try:
        found = read_controls(fields, headers)
    except BadRequest:
        return
    if found is not None:
        assert found.consumed <= fields.keys()
        assert found.rest.keys() <= found.consumed
        assert all(msgspec.json.decode(text) for text in found.rest.values())


@pytest.mark.parametrize(
    "raw", [b"[" * 100_000, b'{"a":' * 5000, b"{", b"", b"1e999", b'["\\ud800"]']
)
@pytest.mark.parametrize("name", sorted(CONTROL_FIELDS))
def test_what_cannot_be_decoded_is_a_typed_error(name: str, raw: bytes) -> None:
    with pytest.raises(BadRequest):
        read_controls({name: Raw(raw)}, {})
