"""The script is deterministic, strict about directives, and makes values that fit a schema."""

from typing import Any

import pytest
from tests.support.asks import WEATHER

from portico.demo.directives import Directives, directives_of
from portico.demo.example import example
from portico.demo.faults import RefusedError
from portico.demo.memory import BLOCK_BYTES, Lru, Metered, PromptCache
from portico.demo.script import Ask, Tool, Turn, pieces, play

TOOL = Tool("get_weather", WEATHER)


def turn(**fields: Any) -> Turn:
    return play(Ask(**{"model": "demo-small", **fields}), Metered(10))


@pytest.mark.parametrize("text", ["", " ", "a", "one  two\n\nthree ", "x" * 50, "🏮 \u2028 é" * 9])
def test_pieces_join_to_the_text(text: str) -> None:
    assert "".join(pieces(text)) == text
    assert all(pieces(text))


def test_same_request_same_turn_and_it_says_who_it_is() -> None:
    for text in ("Tell me a story", "Hello", ""):
        assert turn(text=text) == turn(text=text)
        assert "the demo model of Portico" in "".join(turn(text=text).text)
    assert "standing in for gpt-x" in "".join(turn(model="gpt-x", text="hi").text)


def test_usage_counts_every_piece() -> None:
    said = turn(text="Why?", thinks=True)
    assert said.thinking == len(said.reasoning) > 0
    assert said.output == said.thinking + len(said.text)
    assert turn(model="demo-reasoner").thinking > 0
    assert turn(model="demo-reasoner", thinks=False).thinking == 0


@pytest.mark.parametrize(
    ("fields", "calls"),
    [
        ({"text": "How is the weather in Oslo?"}, ['{"city":"Oslo","unit":"celsius"}']),
        ({"text": "Use a tool, please"}, ['{"city":"Paris","unit":"celsius"}']),
        ({"text": "Hello"}, []),
        ({"text": "Hello", "must_call": True}, ['{"city":"Paris","unit":"celsius"}']),
        ({"text": "The weather", "results": ("cold",)}, []),
        (
            {"text": "The weather in both Oslo and Rome"},
            ['{"city":"Oslo","unit":"celsius"}', '{"city":"Rome","unit":"celsius"}'],
        ),
        (
            {"text": "The weather in both Oslo and Rome", "parallel": False},
            ['{"city":"Oslo","unit":"celsius"}'],
        ),
        ({"text": "Hello", "order": Directives(calls=3)}, ["{", "{", "{"]),
        ({"text": "The weather", "order": Directives(calls=0)}, []),
    ],
)
def test_when_tools_are_called(fields: dict[str, Any], calls: list[str]) -> None:
    said = turn(tools=(TOOL,), **fields)
    made = ["".join(call.arguments) for call in said.calls]
    assert len(made) == len(calls)
    assert all(one.startswith(other) for one, other in zip(made, calls, strict=True))
    assert said.finish == ("tool_calls" if calls else "stop")
    assert bool(said.text) is not bool(calls)


def test_a_tool_result_is_quoted() -> None:
    assert "“12 degrees” and “rain”" in "".join(turn(results=("12 degrees", "rain")).text)


def test_custom_tools_get_free_text() -> None:
    said = turn(text="run this script", tools=(Tool("script", None, custom=True),))
    assert "".join(said.calls[0].arguments) == "run this script"


@pytest.mark.parametrize("limit", [1, 5, 19, 30])
def test_max_tokens_is_exact(limit: int) -> None:
    said = turn(text="Why?", thinks=True, max_tokens=limit)
    whole = turn(text="Why?", thinks=True)
    assert (said.finish, said.output) == ("length", limit)
    assert said.reasoning + said.text == (whole.reasoning + whole.text)[:limit]


def test_stop_sequences_end_the_text() -> None:
    said = turn(text="hi", stop=("nope", " small"))
    assert "".join(said.text).endswith("I am a")
    assert (said.finish, said.stop_sequence) == ("stop_sequence", " small")


@pytest.mark.parametrize("count", [1, 200, 5000])
def test_tokens_directive_is_exact(count: int) -> None:
    assert turn(order=Directives(tokens=count)).output == count


@pytest.mark.parametrize(
    ("model", "text", "order", "rest"),
    [
        ("m", "hi", Directives(), "hi"),
        ("m:status=429", "hi", Directives(), "hi"),
        ("demo:status=429,retry_after=2", "hi", Directives(status=429, retry_after=2.0), "hi"),
        ("demo-reasoner:cut=3", "", Directives(cut=3), ""),
        ("demo:", "", Directives(), ""),
        (
            "demo:tokens=1",
            "a [[demo tokens=2 delay=0.5]] b",
            Directives(tokens=2, delay=0.5),
            "a b",
        ),
        ("m", "[[demo cut=0]] [[demo times=2]]", Directives(cut=0, times=2), ""),
        ("m", "[[demo text=two words, ok]] x", Directives(text="two words, ok"), "x"),
        ("demo:code=a.b,text=a, b=c", "", Directives(code="a.b", text="a, b=c"), ""),
        ("m", "[[demo]] x [demo y=1]", Directives(), "x [demo y=1]"),
        ("m", "[[demo finish=length\terror=2 hang=1 fin=9]]", None, ""),
    ],
)
def test_directives(model: str, text: str, order: Directives | None, rest: str) -> None:
    found, left = directives_of(model, text)
    assert left == rest
    assert found == (order or Directives(finish="length", error=2, hang=1, fin=9))


@pytest.mark.parametrize(
    "inner",
    """status;status=;status=200;status=4x9;status=٤٠٠;nope=1;delay=-1;delay=1e3;delay=601;tokens=0
    tokens=200001;finish=odd;code=a b;first_delay=inf;x""".replace("\n", ";").split(";"),
)
def test_bad_directives_are_refused(inner: str) -> None:
    with pytest.raises(RefusedError) as caught:
        directives_of("m", f"[[demo {inner}]]")
    assert (caught.value.status, caught.value.code) == (400, "invalid_demo_directive")
    with pytest.raises(RefusedError):
        directives_of(f"demo:{inner}", "")


@pytest.mark.parametrize("text", ["[[demo status=429", "[[demons]]"])
def test_directives_must_be_well_formed(text: str) -> None:
    with pytest.raises(RefusedError):
        directives_of("m", text)


RECURSIVE = {
    "$defs": {"node": {"type": "object", "properties": {"kids": {"type": "array", "items": {}}}}},
    "$ref": "#/$defs/node",
}
RECURSIVE["$defs"]["node"]["properties"]["kids"]["items"] = {"$ref": "#/$defs/node"}  # type: ignore[index]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "demo"),
        ({"type": "string", "maxLength": 2}, "de"),
        ({"type": "string", "minLength": 6}, "demoxx"),
        ({"type": "string", "format": "date"}, "2026-01-15"),
        ({"type": "integer", "minimum": 5}, 5),
        ({"type": "integer", "maximum": -5}, -5),
        ({"type": "integer", "exclusiveMaximum": 1}, 0),
        ({"type": "integer", "exclusiveMinimum": 1, "multipleOf": 5}, 5),
        ({"type": "number"}, 1.0),
        ({"type": ["null", "boolean"]}, True),
        ({"type": "null"}, None),
        ({"const": [1]}, [1]),
        ({"default": 7, "type": "integer"}, 7),
        ({"anyOf": [{"type": "null"}, {"enum": ["b", "a"]}]}, "b"),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [True, True]),
        ({"properties": {"n": {"type": "integer"}}}, {"n": 1}),
        (
            {
                "allOf": [
                    {"type": "object", "properties": {"a": {"const": 1}}},
                    {"properties": {"b": {"const": 2}}},
                ]
            },
            {"a": 1, "b": 2},
        ),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"const": "x"}}}, "x"),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"$ref": "#/$defs/x"}}}, "demo"),
        ({"$ref": "https://example.com/x"}, "demo"),
        (True, "demo"),
    ],
)
def test_examples(schema: Any, value: Any) -> None:
    assert example(schema) == value


def test_recursive_schemas_end() -> None:
    value, depth = example(RECURSIVE), 0
    while value.get("kids"):
        value, depth = value["kids"][0], depth + 1
    assert 1 < depth < 20


def test_lru_is_bounded() -> None:
    memory: Lru[int, int] = Lru(2)
    for key in (1, 2):
        memory.put(key, key)
    assert memory.get(1) == 1
    memory.put(3, 3)
    assert (memory.get(2), memory.get(1), len(memory)) == (None, 1, 2)
    assert (memory.pop(1), memory.pop(1)) == (1, None)


def test_prompt_cache() -> None:
    cache = PromptCache()
    assert cache.meter("m", [b"x" * 100], None, False) == Metered(25)
    assert cache.meter("m", [b"x" * 100], None, False) == Metered(25)
    assert cache.meter("m", [b"x" * 100], "key", False) == Metered(25)
    assert cache.meter("m", [b"x" * 200], "key", False) == Metered(50, 16)
    assert cache.meter("other", [b"x" * 200], "key", False) == Metered(50)
    long = [b"a" * BLOCK_BYTES, b"b" * BLOCK_BYTES, b"tail"]
    assert cache.meter("m", long, None, True) == Metered(2049, 0, 2048)
    assert cache.meter("m", [*long, b"c" * BLOCK_BYTES], None, True) == Metered(3073, 2048, 1024)
    assert cache.meter("m", [b"z", *long], None, False) == Metered(2050)
    assert cache.meter("n", long, None, False).cached == 0
