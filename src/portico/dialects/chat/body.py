"""The wire shape of a Chat Completions request for the translate lane: all of it, typed.

Source: OpenAI OpenAPI, `CreateChatCompletionRequest`; openai-python 3.54. Unions are read into one
wide Struct each; which members a `type` or `role` needs is checked where it is read. Members of
other servers that have a place in the hub are here too: `reasoning_content` (DeepSeek),
`reasoning_details` and `reasoning` (OpenRouter), `cache_control` (Anthropic), `top_k` (vLLM).
"""

import msgspec
from msgspec import Raw, Struct

from portico.dialects import unread
from portico.dialects.counts import NULL
from portico.model.losses import Loss

Object = dict[str, Raw]


class Mark(Struct, gc=False):
    """`cache_control`."""

    type: str | None = None
    ttl: str | None = None


class Breakpoint(Struct, gc=False):
    """`prompt_cache_breakpoint`. How long it is to last (`ttl`) is not read: 30 minutes or 12 hours
    are no lifetimes that others have."""

    mode: str | None = None


class ImageUrl(Struct, gc=False):
    """`image_url`, `video_url`."""

    url: str
    detail: str | None = None


class InputAudio(Struct, gc=False):
    """`data` is base64."""

    data: str
    format: str


class InputFile(Struct, gc=False):
    """`file_data` is a data URL or bare base64."""

    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class Part(Struct, gc=False):
    """A content part."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: ImageUrl | str | None = None
    input_audio: InputAudio | None = None
    file: InputFile | None = None
    video_url: ImageUrl | None = None
    cache_control: Mark | None = None
    prompt_cache_breakpoint: Breakpoint | None = None


class Called(Struct, gc=False):
    """The inner object of a call."""

    name: str
    arguments: str | None = None
    input: str | None = None


class Call(Struct, gc=False):
    """An element of `tool_calls`."""

    id: str
    type: str = "function"
    function: Called | None = None
    custom: Called | None = None
    extra_content: Raw = NULL


class Message(Struct, gc=False):
    """A message of any role."""

    role: str
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[Call] | None = None
    tool_call_id: str | None = None
    function_call: Called | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[Raw] | None = None
    audio: Raw = NULL
    annotations: Raw = NULL
    cache_control: Mark | None = None


class Function(Struct, gc=False):
    """A function or custom tool; `functions` has them bare."""

    name: str
    description: str | None = None
    parameters: Object | None = None
    strict: bool | None = None
    format: Object | None = None


class Tool(Struct, gc=False):
    """An element of `tools`."""

    type: str
    function: Function | None = None
    custom: Function | None = None
    cache_control: Mark | None = None


class Named(Struct, gc=False):
    """Names a tool."""

    name: str


class Ref(Struct, gc=False):
    """A tool in `allowed_tools`."""

    type: str
    function: Named | None = None
    custom: Named | None = None


class Allowed(Struct, gc=False):
    """The inner object of `allowed_tools`."""

    mode: str
    tools: list[Ref]


class Choice(Struct, gc=False):
    """`tool_choice` as an object."""

    type: str
    function: Named | None = None
    custom: Named | None = None
    allowed_tools: Allowed | None = None


class JsonSchema(Struct, gc=False):
    """The inner object of a `json_schema` format."""

    name: str
    schema: Object | None = None
    strict: bool | None = None
    description: str | None = None


class Format(Struct, gc=False):
    """`response_format`."""

    type: str
    json_schema: JsonSchema | None = None


class StreamOptions(Struct, gc=False):
    """`stream_options`; obfuscation is not added here."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class WebSearch(Struct, gc=False):
    """`web_search_options`."""

    search_context_size: str | None = None
    user_location: Object | None = None


class Reasoning(Struct, gc=False):
    """OpenRouter's `reasoning`, https://openrouter.ai/docs/use-cases/reasoning-tokens"""

    effort: str | None = None
    max_tokens: int | None = None
    exclude: bool | None = None
    enabled: bool | None = None


class ChatBody(Struct, gc=False):
    """A whole request."""

    model: str
    messages: list[Message]
    cache_control: Mark | None = None
    frequency_penalty: float | None = None
    function_call: Named | str | None = None
    functions: list[Function] | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    metadata: dict[str, str] | None = None
    modalities: list[str] | None = None
    n: int | None = None
    parallel_tool_calls: bool | None = None
    presence_penalty: float | None = None
    prompt_cache_key: str | None = None
    reasoning: Reasoning | None = None
    reasoning_effort: str | None = None
    response_format: Format | None = None
    safety_identifier: str | None = None
    seed: int | None = None
    service_tier: str | None = None
    stop: str | list[str] | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    tool_choice: Choice | str | None = None
    tools: list[Tool] | None = None
    top_k: int | None = None
    top_logprobs: int | None = None
    top_p: float | None = None
    user: str | None = None
    verbosity: str | None = None
    web_search_options: WebSearch | None = None


READ = frozenset(ChatBody.__struct_fields__)
"""Members that are read into the hub; others become extras."""
_decode_body = msgspec.json.Decoder(ChatBody).decode
_decode_strictly = msgspec.json.Decoder(unread.strict(ChatBody, top=False)).decode


def decode_body(body: bytes) -> tuple[ChatBody, tuple[Loss, ...]]:
    """The body, and what inside it has no place in the shapes above. Raises ValueError."""
    try:
        return _decode_strictly(body), ()
    except ValueError:
        found = _decode_body(body)
    walk = unread.Walk({})
    walk.object(body, ChatBody, "", top=False)
    return found, tuple(walk.losses)
