"""The wire shape of chat answers, whole and in chunks, and reading it whatever a provider sends.

Source: OpenAI OpenAPI, `CreateChatCompletionResponse` and `...StreamResponse`; openai-python 3.54;
the members that other servers add are named where they are read (`assemble`). Typed decoding is the
fast way. An answer with a member of another type is read again, without that member.
"""

from collections.abc import Callable
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Raw, Struct

from portico.dialects.counts import NULL, UNREADABLE
from portico.wire.json import encode


class Function(Struct, gc=False):
    """`arguments` is JSON text; some servers send the object itself. `input` is of custom tools."""

    name: str | None = None
    arguments: str | dict[str, Raw] | None = None
    input: str | None = None


class Call(Struct, gc=False):
    """A tool call, or a fragment of one."""

    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: Function | None = None
    custom: Function | None = None
    extra_content: Raw = NULL


class Delta(Struct, gc=False):
    """A message, or a fragment of one."""

    content: str | list[Raw] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[Call] | None = None
    refusal: str | None = None
    reasoning_details: list[Raw] | None = None
    function_call: Function | None = None
    annotations: list[Raw] | None = None
    audio: Raw = NULL
    images: list[Raw] | None = None
    extra_content: Raw = NULL


class Logprobs(Struct, gc=False):
    """Token objects stay raw."""

    content: Raw = NULL


class Choice(Struct, gc=False):
    """`delta` in a stream, `message` in a whole answer."""

    index: int | None = None
    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: str | None = None
    logprobs: Logprobs | None = None
    error: Raw = NULL


class Chunk(Struct, gc=False):
    """One chunk, or a whole answer."""

    id: str | None = None
    object: str | None = None
    model: str | None = None
    created: float | None = None
    choices: list[Choice] | None = None
    usage: Raw = NULL
    x_groq: Raw = NULL
    service_tier: str | None = None
    error: Raw = NULL
    citations: list[Raw] | None = None
    search_results: list[Raw] | None = None


class Part(Struct, gc=False):
    """An element of `content` where that is an array (Mistral: text, thinking, reference)."""

    type: str = ""
    text: str | None = None
    thinking: str | list[Raw] | None = None
    refusal: str | None = None


class Detail(Struct, gc=False):
    """An element of `reasoning_details`, https://openrouter.ai/docs/use-cases/reasoning-tokens"""

    type: str = ""
    text: str | None = None
    summary: str | None = None
    data: str | None = None
    signature: str | None = None
    id: str | None = None
    format: str | None = None
    index: int | None = None


class UrlCitation(Struct, gc=False):
    """The inner object of an annotation."""

    url: str = ""
    title: str | None = None
    start_index: int | None = None
    end_index: int | None = None
    content: str | None = None


class Annotation(Struct, gc=False):
    """An element of `annotations`."""

    type: str = ""
    url_citation: UrlCitation | None = None


class SearchResult(Struct, gc=False):
    """https://docs.perplexity.ai/api-reference/chat-completions-post"""

    url: str = ""
    title: str | None = None


class Address(Struct, gc=False):
    """The inner object of a picture."""

    url: str = ""


class Picture(Struct, gc=False):
    """https://openrouter.ai/docs/features/multimodal/image-generation"""

    image_url: Address | None = None


class Sound(Struct, gc=False):
    """Spoken output; only its words can be carried."""

    transcript: str | None = None


class _Google(Struct, gc=False):
    thought_signature: str | None = None
    thought: bool = False


class Extra(Struct, gc=False):
    """`extra_content`, https://ai.google.dev/gemini-api/docs/thought-signatures"""

    google: _Google | None = None


class Groq(Struct, gc=False):
    """`x_groq`, https://console.groq.com/docs/api-reference"""

    usage: Raw = NULL
    error: str | None = None


Shape = TypeVar("Shape", bound=Struct)


def reader(kind: type[Shape]) -> Callable[[bytes | Raw], Shape | None]:
    """Makes a function that reads JSON text as `kind`; None if it is not an object at all."""
    decode = msgspec.json.Decoder(kind).decode
    loosely = msgspec.json.Decoder().decode

    def read(text: bytes | Raw) -> Shape | None:
        try:
            return decode(text)
        except UNREADABLE:
            pass
        try:
            value = loosely(text)
        except UNREADABLE:
            return None
        return _forgive(value, kind) if isinstance(value, dict) else None

    return read


def _forgive(value: dict[str, Any], kind: type[Shape]) -> Shape:
    """`kind` from the members of `value` that fit; the others are as if they were not there."""
    members: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        if field.encode_name in value:
            fitted = _fit(value[field.encode_name], field.type)
            if fitted is not None:
                members[field.name] = fitted
    return kind(**members)


def _fit(value: Any, wanted: Any) -> Any:
    if wanted is Raw:
        return Raw(encode(value))
    if get_origin(wanted) in (Union, UnionType):
        for choice in get_args(wanted):
            fitted = _fit(value, choice)
            if fitted is not None:
                return fitted
        return None
    if isinstance(wanted, type) and issubclass(wanted, Struct):
        return _forgive(value, wanted) if isinstance(value, dict) else None
    origin = get_origin(wanted)
    if origin is list:
        if not isinstance(value, list):
            return None
        inner = get_args(wanted)[0]
        return [fitted for each in value if (fitted := _fit(each, inner)) is not None]
    if origin is dict:
        if not isinstance(value, dict):
            return None
        return {name: Raw(encode(each)) for name, each in value.items()}
    try:
        return msgspec.convert(value, wanted)
    except UNREADABLE:
        return None
