"""The wire shape of an Anthropic Messages request: the top level with its JSON types.

Source: anthropic-python 2.12, `MessageCreateParams` and its beta twin. Ranges are not checked here
and unknown members are ignored: beta headers switch new ones on.
"""

import msgspec
from msgspec import Raw, Struct

Object = dict[str, Raw]


class MessagesHead(Struct, gc=False):
    """Known parameters. `messages`, `system` and `tools` are not decoded, only counted."""

    model: str
    messages: list[Raw]
    max_tokens: int | None = None
    cache_control: Object | None = None
    container: str | Object | None = None
    context_management: Object | None = None
    inference_geo: str | None = None
    mcp_servers: list[Raw] | None = None
    metadata: Object | None = None
    output_config: Object | None = None
    service_tier: str | None = None
    stop_sequences: list[str] | None = None
    stream: bool | None = None
    system: str | list[Raw] | None = None
    temperature: float | None = None
    thinking: Object | None = None
    tool_choice: Object | None = None
    tools: list[Raw] | None = None
    top_k: int | None = None
    top_p: float | None = None


class CountHead(Struct, gc=False):
    """What a request that only counts tokens has to have
    (https://platform.claude.com/docs/en/api/messages-count-tokens, 2026-11-21)."""

    model: str
    messages: list[Raw]
    system: str | list[Raw] | None = None
    tools: list[Raw] | None = None


decode_count = msgspec.json.Decoder(CountHead).decode
PARAMETERS = frozenset(MessagesHead.__struct_fields__)
decode_head = msgspec.json.Decoder(MessagesHead).decode
