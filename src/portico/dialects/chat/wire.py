"""The wire shape of a Chat Completions request: the top level with its JSON types.

Source: OpenAI OpenAPI, `CreateChatCompletionRequest`; openai-python 3.54. Ranges are not checked
here and unknown members are ignored, for compatible servers add their own.
"""

import msgspec
from msgspec import Raw, Struct

Object = dict[str, Raw]


class StreamOptions(Struct, gc=False):
    """The one option that the splice lane looks at."""

    include_usage: bool | None = None


class ChatHead(Struct, gc=False):
    """Known parameters. `messages` and `tools` are not decoded, only counted."""

    model: str
    messages: list[Raw]
    audio: Object | None = None
    frequency_penalty: float | None = None
    function_call: str | Object | None = None
    functions: list[Raw] | None = None
    logit_bias: Object | None = None
    logprobs: bool | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    metadata: Object | None = None
    modalities: list[str] | None = None
    moderation: Object | None = None
    n: int | None = None
    parallel_tool_calls: bool | None = None
    prediction: Object | None = None
    presence_penalty: float | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: Object | None = None
    prompt_cache_retention: str | None = None
    reasoning_effort: str | None = None
    response_format: Object | None = None
    safety_identifier: str | None = None
    seed: int | None = None
    service_tier: str | None = None
    stop: str | list[str] | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    tool_choice: str | Object | None = None
    tools: list[Raw] | None = None
    top_logprobs: int | None = None
    top_p: float | None = None
    user: str | None = None
    verbosity: str | None = None
    web_search_options: Object | None = None


PARAMETERS = frozenset(ChatHead.__struct_fields__)
decode_head = msgspec.json.Decoder(ChatHead).decode
decode_options = msgspec.json.Decoder(Object).decode
