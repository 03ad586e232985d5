"""Whatever the text is, the loader answers with settings or with a `ConfigError`."""

import json

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from portico.config import blocks, schema, schema_process, schema_routing, schema_shaping
from portico.config.errors import ConfigError, Problem
from portico.config.jsonschema import json_schema
from portico.config.known import every_key
from portico.config.load import loads
from portico.config.settings import Settings

ENV = {"OPENAI_API_KEY": "sk-1", "A": "x"}


def _words() -> list[str]:
    definitions = json_schema()["$defs"]
    assert isinstance(definitions, dict)
    words = {key for _, key in every_key()}
    for node in definitions.values():
        if isinstance(node, dict) and isinstance(node.get("properties"), dict):
            words |= set(node["properties"])  # type: ignore[arg-type]
    return sorted(words)


KEYS = st.sampled_from(_words()) | st.text(max_size=5)
WRITTEN = str.split(
    "$A ${B:-c} $B file:/dev/null env:A openAI HTTPS * a*b 5m responses passthrough bedrock "
    "https://x/v1 h:443 /v1/x :0 off response.code>=500 5xx"
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(WRITTEN)
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


def _shaped(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """Trees that get past the first level, so that what is below is reached too."""
    block = st.dictionaries(KEYS, inner, max_size=4)
    some = st.lists(block, max_size=2)
    model = st.fixed_dictionaries(
        {"name": inner, "provider": inner}, optional={"params": block, "tls": block}
    )
    llm = st.fixed_dictionaries(
        {"models": st.lists(model | block, max_size=2)},
        optional={
            "port": inner,
            "providers": st.lists(model, max_size=2),
            "virtualModels": some,
            "policies": st.dictionaries(KEYS, block | inner, max_size=3),
        },
    )
    ai = st.fixed_dictionaries({}, optional={"provider": block, "groups": some, "baseUrl": inner})
    route = st.fixed_dictionaries(
        {"backends": st.lists(st.fixed_dictionaries({"ai": ai}), max_size=2)},
        optional={"matches": some, "hostnames": inner, "policies": block},
    )
    listener = st.fixed_dictionaries({"routes": st.lists(route, max_size=2)})
    bind = st.fixed_dictionaries({"port": inner, "listeners": st.lists(listener, max_size=2)})
    return st.fixed_dictionaries(
        {}, optional={"llm": llm, "binds": st.lists(bind, max_size=2), "config": block}
    )


def answers(text: str, form: str) -> None:
    problems: tuple[Problem, ...] = (Problem("$", ""),)
    try:
        found: object = loads(text, ENV, name="f", form=form)  # type: ignore[arg-type]
    except ConfigError as error:
        found, problems = None, error.problems
        str(error).encode()
    assert isinstance(found, Settings) or problems


@settings(deadline=None)
@given(TREES | _shaped(TREES))
def test_random_trees_never_raise_anything_but_a_config_error(tree: object) -> None:
    answers(json.dumps(tree), "json")
    answers(yaml.safe_dump(tree), "yaml")


@given(st.text(max_size=200))
def test_random_text_never_raises_anything_but_a_config_error(text: str) -> None:
    for form in ("yaml", "toml", "json"):
        answers(text, form)


@given(st.text(alphabet="{}[]:,-?&*!|>%@`\"'#\n \\UuxX0189fd\ud800\x00~<=ab", max_size=60))
def test_random_punctuation_never_raises_anything_but_a_config_error(text: str) -> None:
    for form in ("yaml", "toml", "json"):
        answers(text, form)


def test_every_block_of_the_schema_is_closed() -> None:
    modules = (schema, schema_process, schema_routing, schema_shaping)
    kinds = [v for module in modules for v in vars(module).values() if isinstance(v, type)]
    for kind in kinds:
        if issubclass(kind, blocks.Block):
            assert kind.__struct_config__.forbid_unknown_fields
            assert kind.__struct_config__.frozen
