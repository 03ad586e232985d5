"""The wire shape of Converse answers and stream events.

Names are the API's own in snake case. Unknown members are ignored; members in which models differ
are `Raw`. Source: the service model `bedrock-runtime` 2023-09-30 as of 2026-11.
"""

import msgspec
from msgspec import Raw, Struct

NULL = Raw(b"null")


class ToolUse(Struct, rename="camel", gc=False):
    """A call. `input` is an object in whole answers, text in deltas. `type` is `server_tool_use`
    for calls that Bedrock carries out itself."""

    tool_use_id: str | None = None
    name: str | None = None
    input: Raw = NULL
    type: str | None = None


class ToolUsePiece(Struct, rename="camel", gc=False):
    input: str | None = None


class ReasoningText(Struct, rename="camel", gc=False):
    text: str | None = None
    signature: str | None = None


class Reasoning(Struct, rename="camel", gc=False):
    """`reasoningText` in whole answers; `text` and `signature` in deltas."""

    reasoning_text: ReasoningText | None = None
    redacted_content: str | None = None
    text: str | None = None
    signature: str | None = None


class Words(Struct, rename="camel", gc=False):
    text: str | None = None


class Place(Struct, rename="camel", gc=False):
    """A location: of a document (`documentIndex`), a search result, or a page (`url`)."""

    document_index: int | None = None
    search_result_index: int | None = None
    start: int | None = None
    end: int | None = None
    url: str | None = None


class Location(Struct, rename="camel", gc=False):
    web: Place | None = None
    document_char: Place | None = None
    document_page: Place | None = None
    document_chunk: Place | None = None
    search_result_location: Place | None = None


class Citation(Struct, rename="camel", gc=False):
    title: str | None = None
    source: str | None = None
    source_content: list[Words] | None = None
    location: Location | None = None


class CitationsContent(Struct, rename="camel", gc=False):
    content: list[Words] | None = None
    citations: list[Raw] | None = None


class ImageSource(Struct, rename="camel", gc=False):
    bytes: str | None = None


class Image(Struct, rename="camel", gc=False):
    format: str | None = None
    source: ImageSource | None = None


class ToolResult(Struct, rename="camel", gc=False):
    """What a tool of Bedrock's own gave."""

    tool_use_id: str | None = None
    content: Raw = NULL
    status: str | None = None


class Block(Struct, rename="camel", gc=False):
    """One content block of a whole answer."""

    text: str | None = None
    tool_use: ToolUse | None = None
    tool_result: ToolResult | None = None
    reasoning_content: Reasoning | None = None
    citations_content: CitationsContent | None = None
    image: Image | None = None


class Message(Struct, rename="camel", gc=False):
    content: list[Raw]


class Output(Struct, rename="camel", gc=False):
    message: Message


class Tier(Struct, rename="camel", gc=False):
    type: str | None = None


class Answer(Struct, rename="camel", gc=False):
    """A whole answer."""

    output: Output
    stop_reason: str | None = None
    usage: Raw = NULL
    additional_model_response_fields: Raw = NULL
    service_tier: Tier | None = None


class Start(Struct, rename="camel", gc=False):
    tool_use: ToolUse | None = None
    tool_result: ToolResult | None = None
    image: Image | None = None


class BlockStart(Struct, rename="camel", gc=False):
    content_block_index: int = 0
    start: Start | None = None


class Delta(Struct, rename="camel", gc=False):
    text: str | None = None
    tool_use: ToolUsePiece | None = None
    reasoning_content: Reasoning | None = None
    citation: Raw = NULL
    image: Image | None = None
    tool_result: Raw = NULL


class BlockDelta(Struct, rename="camel", gc=False):
    delta: Delta
    content_block_index: int = 0


class BlockStop(Struct, rename="camel", gc=False):
    content_block_index: int = 0


class MessageStop(Struct, rename="camel", gc=False):
    stop_reason: str | None = None
    additional_model_response_fields: Raw = NULL


class Metadata(Struct, rename="camel", gc=False):
    usage: Raw = NULL
    service_tier: Tier | None = None


class Fault(Struct, rename="camel", gc=False):
    """The payload of an exception."""

    message: str | None = None
    capital: str | None = msgspec.field(name="Message", default=None)
    original_status_code: int | None = None
    original_message: str | None = None


decode_answer = msgspec.json.Decoder(Answer).decode
decode_block = msgspec.json.Decoder(Block).decode
decode_citation = msgspec.json.Decoder(Citation).decode
decode_start = msgspec.json.Decoder(BlockStart).decode
decode_delta = msgspec.json.Decoder(BlockDelta).decode
decode_stop = msgspec.json.Decoder(BlockStop).decode
decode_message_stop = msgspec.json.Decoder(MessageStop).decode
decode_metadata = msgspec.json.Decoder(Metadata).decode
decode_fault = msgspec.json.Decoder(Fault).decode
