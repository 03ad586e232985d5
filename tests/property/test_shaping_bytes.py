"""Whatever a client sends and an operator sets: valid JSON, and every other member as it was."""

import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from portico.config.settings import Prompt, Shaping
from portico.dialects.base import SpliceRequest
from portico.gateway.shaping import Shaper

NAMES = st.sampled_from(
    (
        "max_tokens", "max_completion_tokens", "max_output_tokens", "stop", "stop_sequences",
        "reasoning", "reasoning_effort", "output_config", "thinking", "metadata", "text", "user",
        "temperature", "n", "stream_options", "service_tier", "tool_choice", "store", "vendor_é",
    )
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=6)
INNER = st.sampled_from(("effort", "type", "user_id", "include_usage", "verbosity", "other"))
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(INNER, SCALARS, max_size=3)
MEMBERS = st.dictionaries(NAMES, VALUES, max_size=5)
PROMPTS = st.lists(
    st.builds(
        Prompt,
        role=st.sampled_from(("system", "user", "assistant")),
        content=st.text(max_size=6),
    ),
    max_size=3,
).map(tuple)
LINKED = (
    {"max_tokens", "max_completion_tokens", "max_output_tokens"},
    {"stop", "stop_sequences"},
    {"reasoning", "reasoning_effort", "output_config", "thinking"},
    {"metadata", "user"},
    {"text", "verbosity"},
)
"""Names that may change one another."""
decode_members = msgspec.json.Decoder(dict[str, Raw]).decode


def written(value: Any, spaces: bool) -> bytes:
    return json.dumps(value, indent=1 if spaces else None, ensure_ascii=spaces).encode()


def may_change(operator: set[str], prompted: bool) -> set[str]:
    names = set(operator)
    for group in LINKED:
        if group & operator:
            names |= group
    if prompted:
        names |= {"messages", "system", "input", "instructions"}
    return names


@settings(max_examples=60, deadline=None)
@given(
    dialect=st.sampled_from(("chat", "messages", "responses")),
    kind=st.sampled_from(("generate", "count", "compact")),
    client=MEMBERS,
    content=st.dictionaries(
        st.sampled_from(("messages", "system", "input", "instructions")), VALUES, max_size=4
    ),
    overrides=MEMBERS,
    defaults=MEMBERS,
    prepend=PROMPTS,
    append=PROMPTS,
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_a_shaped_body_is_json_and_other_members_keep_their_bytes(
    dialect: str,
    kind: str,
    client: dict[str, Any],
    content: dict[str, Any],
    overrides: dict[str, Any],
    defaults: dict[str, Any],
    prepend: tuple[Prompt, ...],
    append: tuple[Prompt, ...],
    flags: tuple[bool, bool, bool],
) -> None:
    stream, native, spaces = flags
    body = written({"model": "m", **client, **content}, spaces)
    ask = SpliceRequest(body, decode_members(body), "m", stream)
    before = {name: bytes(raw) for name, raw in ask.fields.items()}
    shaper = Shaper(
        Shaping(
            overrides={name: written(value, spaces) for name, value in overrides.items()},
            defaults={name: written(value, spaces) for name, value in defaults.items()},
            prepend=prepend,
            append=append,
        )
    )
    shaper.shape(ask, dialect, kind=kind, native=native)
    free = may_change({*overrides, *defaults}, bool(prepend or append))
    for text in (ask.body, ask.render("m")):
        json.loads(text)
        after = {name: bytes(raw) for name, raw in decode_members(text).items()}
        if stream and dialect == "chat":
            free |= {"stream_options"}
        for name in before.keys() | after.keys():
            if name not in free:
                assert after.get(name) == before.get(name)
    assert decode_members(ask.render("up"))["model"] == Raw(b'"up"')
