"""A Responses request as the hub's `GenerateRequest`: every parameter checked.

Sources: OpenAI OpenAPI and openai-python 3.54, `ResponseCreateParams`; Open Responses 2026-04-24,
`CreateResponseBody`; https://vercel.com/docs/ai-gateway/sdks-and-apis/responses for `caching` and
`allowed_tools` (2026-11-21). What none of them knows is kept in `extras`: Codex sends
`client_metadata`.
"""

import msgspec
from msgspec import Raw, Struct

from portico.dialects import checks, unread
from portico.dialects.responses.items_in import (
    ItemReader,
    WireItem,
    decode_item,
    is_own,
    tolerant,
)
from portico.dialects.responses.parts_in import decode_array
from portico.dialects.responses.tools_in import (
    ToolReader,
    WireChoice,
    WireRef,
    WireTool,
    choice,
    decode_tools,
)
from portico.dialects.responses.wire import NULL, PARAMETERS, Object
from portico.errors import BadRequest
from portico.limits import Limits
from portico.model.items import Item, Message
from portico.model.losses import Losses
from portico.model.parts import Text
from portico.model.request import EFFORTS, GenerateRequest, OutputFormat, ReasoningAsk
from portico.model.sealed import Unseal

MIN_OUTPUT_TOKENS = 16
INPUT_CHARACTERS = 10_485_760
CACHE_KEY_CHARACTERS = 64
"""https://www.openresponses.org/reference, `CreateResponseBody`, 2026-11-21"""
IDENTIFIER_CHARACTERS = 128
"""openai-python 3.54, `ResponseCreateParams.safety_identifier`, 2026-11-21"""
FORMAT_NAME_CHARACTERS = 64
TIERS = ("auto", "default", "flex", "scale", "priority", "fast", "ultrafast")
SUMMARIES = ("auto", "concise", "detailed")
VERBOSITIES = ("low", "medium", "high")
FORMATS = ("text", "json_schema", "json_object")
"""https://platform.openai.com/docs/api-reference/responses/create, 2026-11-21"""
LOGPROBS = "message.output_text.logprobs"


class _Reasoning(Struct, gc=False):
    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None


class _Format(Struct, gc=False):
    type: str = ""
    name: str | None = None
    schema: Raw = NULL
    strict: bool | None = None
    description: str | None = None


class _Text(Struct, gc=False):
    format: _Format | None = None
    verbosity: str | None = None


class _StreamOptions(Struct, gc=False):
    include_obfuscation: bool | None = None


class _Parameters(Struct, gc=False):
    """Everything but `input`."""

    model: str
    allowed_tools: list[str | WireRef] | None = None
    background: bool | None = None
    caching: str | None = None
    conversation: str | Object | None = None
    frequency_penalty: float | None = None
    include: list[str] | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    metadata: dict[str, str] | None = None
    parallel_tool_calls: bool | None = None
    presence_penalty: float | None = None
    previous_response_id: str | None = None
    prompt: Object | None = None
    prompt_cache_key: str | None = None
    reasoning: _Reasoning | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    temperature: float | None = None
    text: _Text | None = None
    tool_choice: str | WireChoice | None = None
    tools: list[WireTool] | None = None
    top_logprobs: int | None = None
    top_p: float | None = None
    truncation: str | None = None
    user: str | None = None


class _Body(_Parameters, gc=False):
    """A whole request, decoded at once."""

    input: str | list[WireItem] | None = None


_decode_body = msgspec.json.Decoder(_Body).decode
_decode_strictly = msgspec.json.Decoder(
    unread.strict(_Body, top=False, keep=(WireTool, WireChoice, _StreamOptions))
).decode
_decode_parameters = msgspec.json.Decoder(_Parameters).decode
_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_READ = frozenset(_Body.__struct_fields__)
_WHOLE: dict[type, unread.Skip] = {
    WireItem: lambda members: not is_own(members.get("type")),
    WireTool: lambda members: True,  # their reader looks at them
    WireChoice: lambda members: True,
    _StreamOptions: lambda members: True,
}
"""What is not walked: items of the provider's side are kept as they are."""
_KNOWN = PARAMETERS | _READ


def read(fields: dict[str, Raw], body: bytes, limits: Limits, unseal: Unseal) -> GenerateRequest:
    """Check the whole body and say what it asks for. Raises `BadRequest` naming the parameter.

    Item `n` of the request is entry `n` of `input`. `store` is taken as asked; whether anything is
    stored is not decided here.
    """
    if not fields.keys() <= _KNOWN:
        checks.check_spelling(fields, _KNOWN)
    asked, items_in, losses = _decode(fields, body, limits)
    checks.check_model(asked.model)
    _refuse_stored_state(asked)
    _check_ranges(asked)
    checks.check_items("tools", asked.tools, limits.json_items)
    tools = ToolReader()
    if asked.tools:
        tools.add(asked.tools, fields["tools"])
    items = _items(items_in, fields, unseal, tools, losses)
    include = frozenset(asked.include) if asked.include else frozenset()
    logprobs = LOGPROBS in include
    return GenerateRequest(
        model=asked.model,
        dialect="responses",
        stream=asked.stream or False,
        instructions=(Text(asked.instructions),) if asked.instructions else (),
        items=items,
        tools=tuple(tools.tools),
        tool_choice=choice(asked.tool_choice, asked.allowed_tools, tools.tools),
        parallel_tool_calls=asked.parallel_tool_calls,
        max_tool_calls=asked.max_tool_calls,
        namespaces=tools.namespaces,
        max_output_tokens=asked.max_output_tokens,
        temperature=asked.temperature,
        top_p=asked.top_p,
        presence_penalty=asked.presence_penalty,
        frequency_penalty=asked.frequency_penalty,
        logprobs=logprobs,
        top_logprobs=asked.top_logprobs if logprobs else None,
        reasoning=_reasoning(asked.reasoning),
        format=_format(asked.text),
        verbosity=asked.text.verbosity if asked.text is not None else None,
        metadata=asked.metadata or {},
        user=asked.user,
        safety_identifier=asked.safety_identifier,
        prompt_cache_key=asked.prompt_cache_key,
        caching=asked.caching is not None,
        service_tier=asked.service_tier,
        truncation=asked.truncation,
        store=asked.store,
        include=include,
        extras={
            **{name: raw for name, raw in fields.items() if name not in _READ},
            **tools.unknown,
        },
        losses=tuple(losses),
    )


def _refuse_stored_state(asked: _Parameters) -> None:
    """Raise `BadRequest` for what needs responses, conversations or prompts that are stored."""
    found = (
        ("previous_response_id", asked.previous_response_id is not None),
        ("conversation", asked.conversation is not None),
        ("prompt", asked.prompt is not None),
        ("background", bool(asked.background)),
    )
    for name, given in found:
        if given:
            raise checks.unsupported(
                name,
                f"Unsupported parameter: '{name}' is not supported with this model: what it names "
                "is not kept here. Send everything in 'input'.",
                code="unsupported_parameter",
            )


def _check_ranges(asked: _Parameters) -> None:
    checks.check_range("max_output_tokens", asked.max_output_tokens, MIN_OUTPUT_TOKENS, None)
    checks.check_range("max_tool_calls", asked.max_tool_calls, 1, None)
    checks.check_range("temperature", asked.temperature, 0, 2)
    checks.check_range("top_p", asked.top_p, 0, 1)
    checks.check_range("presence_penalty", asked.presence_penalty, -2, 2)
    checks.check_range("frequency_penalty", asked.frequency_penalty, -2, 2)
    checks.check_range("top_logprobs", asked.top_logprobs, 0, 20)
    checks.check_length("prompt_cache_key", asked.prompt_cache_key, CACHE_KEY_CHARACTERS)
    checks.check_length("safety_identifier", asked.safety_identifier, IDENTIFIER_CHARACTERS)
    checks.check_choice("truncation", asked.truncation, ("auto", "disabled"))
    checks.check_choice("service_tier", asked.service_tier, TIERS)
    checks.check_choice("caching", asked.caching, ("auto",))
    if asked.metadata:
        checks.check_metadata("metadata", asked.metadata)
    if asked.text is not None:
        checks.check_choice("text.verbosity", asked.text.verbosity, VERBOSITIES)


def _reasoning(asked: _Reasoning | None) -> ReasoningAsk | None:
    if asked is None:
        return None
    checks.check_choice("reasoning.effort", asked.effort, EFFORTS)
    checks.check_choice("reasoning.summary", asked.summary, SUMMARIES)
    checks.check_choice("reasoning.generate_summary", asked.generate_summary, SUMMARIES)
    summary = asked.summary or asked.generate_summary
    if asked.effort is None and summary is None:
        return None
    return ReasoningAsk(effort=asked.effort, summary=summary)  # type: ignore[arg-type]


def _format(asked: _Text | None) -> OutputFormat | None:
    wanted = asked.format if asked is not None else None
    if wanted is None:
        return None
    if not wanted.type:
        raise checks.missing_parameter("text.format.type")
    checks.check_choice("text.format.type", wanted.type, FORMATS)
    if wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return OutputFormat(kind="json_object")
    if not wanted.name:
        raise checks.missing_parameter("text.format.name")
    checks.check_length("text.format.name", wanted.name, FORMAT_NAME_CHARACTERS)
    schema = bytes(wanted.schema)
    if schema == b"null":
        raise checks.missing_parameter("text.format.schema")
    if schema[:1] != b"{":
        raise BadRequest(
            "Invalid type for 'text.format.schema': expected an object.",
            code="invalid_type",
            param="text.format.schema",
        )
    return OutputFormat(
        kind="json_schema",
        name=wanted.name,
        schema=Raw(schema),
        strict=wanted.strict,
        description=wanted.description or "",
    )


def _items(
    given: str | list[WireItem] | None,
    fields: dict[str, Raw],
    unseal: Unseal,
    tools: ToolReader,
    losses: Losses,
) -> tuple[Item, ...]:
    if given is None:
        raise checks.missing_parameter("input")
    if isinstance(given, str):
        checks.check_length("input", given, INPUT_CHARACTERS)
        return (Message("user", (Text(given),)),)
    reader = ItemReader(fields["input"], unseal)
    items = reader.read(given)
    losses.extend(reader.losses)
    for path, raw in reader.tools:
        try:
            found = decode_tools(raw)
        except ValueError:
            raise BadRequest(
                f"Invalid '{path}': expected an array of tools.", code="invalid_value", param=path
            ) from None
        tools.add(found, raw, path)
    return items


# decoding, and saying what is wrong and where


def _decode(
    fields: dict[str, Raw], body: bytes, limits: Limits
) -> tuple[_Parameters, str | list[WireItem] | None, Losses]:
    losses: Losses = []
    asked: _Parameters
    try:
        whole = _decode_strictly(body)
        asked, given = whole, whole.input
    except ValueError:
        asked, given = _decode_tolerantly(fields, body)
        walk = unread.Walk(_WHOLE)
        walk.object(body, _Body, "", top=False)
        losses = walk.losses
    if isinstance(given, list):
        checks.check_items("input", given, limits.json_items, required=True)
    return asked, given, losses


def _decode_tolerantly(
    fields: dict[str, Raw], body: bytes
) -> tuple[_Parameters, str | list[WireItem] | None]:
    try:
        whole = _decode_body(body)
    except ValueError as error:
        if " - at `$.input[" not in str(error):
            raise _bad_member(error, fields) from None
        given = [_item(index, raw) for index, raw in enumerate(decode_array(fields["input"]))]
        return _decode_again(fields, body), given
    return whole, whole.input


def _decode_again(fields: dict[str, Raw], body: bytes) -> _Parameters:
    try:
        return _decode_parameters(body)
    except ValueError as error:
        raise _bad_member(error, fields) from None


def _item(index: int, raw: Raw) -> WireItem:
    """One entry; of types that nobody has heard of the members may be anything."""
    try:
        return decode_item(raw)
    except ValueError as error:
        found = tolerant(raw)
        if found is not None:
            return found
        text = str(error)
        if " - at `$" in text:
            text = text.replace(" - at `$", f" - at `$.input[{index}]", 1)
        else:
            text += f" - at `$.input[{index}]`"
        raise checks.bad_field(ValueError(text)) from None


def _bad_member(error: ValueError, fields: dict[str, Raw]) -> BadRequest:
    """The error for the caller, with the key of `metadata` that msgspec does not name."""
    text = str(error)
    if "`$.metadata[...]`" in text:
        for key, value in _decode_members(fields["metadata"]).items():
            if bytes(value)[:1] != b'"':
                text = text.replace("`$.metadata[...]`", f"`$.metadata.{_plain_key(key)}`")
                break
    return checks.bad_field(ValueError(text))


def _plain_key(key: str) -> str:
    return key[:64].replace("`", "'")
