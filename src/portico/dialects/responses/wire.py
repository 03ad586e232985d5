"""The wire shape of a Responses request and of the response object's required members.

Source: OpenAI OpenAPI, `CreateResponse`, openai-python 3.54; Open Responses 2026-04-24,
`ResponseResource`. Ranges are not checked here and unknown members are ignored: Codex sends
`client_metadata`.
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct

Object = dict[str, Raw]


class ResponsesHead(Struct, gc=False):
    """Known parameters. `input` and `tools` are not decoded, only counted."""

    model: str
    input: str | list[Raw] | None = None
    background: bool | None = None
    context_management: list[Raw] | None = None
    conversation: str | Object | None = None
    include: list[str] | None = None
    instructions: str | None = None
    frequency_penalty: float | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    metadata: Object | None = None
    moderation: Object | None = None
    parallel_tool_calls: bool | None = None
    presence_penalty: float | None = None
    previous_response_id: str | None = None
    prompt: Object | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: Object | None = None
    prompt_cache_retention: str | None = None
    reasoning: Object | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: Object | None = None
    temperature: float | None = None
    text: Object | None = None
    tool_choice: str | Object | None = None
    tools: list[Raw] | None = None
    top_logprobs: int | None = None
    top_p: float | None = None
    truncation: str | None = None
    user: str | None = None


PARAMETERS = frozenset(ResponsesHead.__struct_fields__)
decode_head = msgspec.json.Decoder(ResponsesHead).decode

REQUIRED: dict[str, Any] = {
    "id": "",
    "object": "response",
    "created_at": 0,
    "completed_at": None,
    "status": "failed",
    "incomplete_details": None,
    "model": "",
    "previous_response_id": None,
    "instructions": None,
    "output": [],
    "error": None,
    "tools": [],
    "tool_choice": "auto",
    "truncation": "disabled",
    "parallel_tool_calls": True,
    "text": {"format": {"type": "text"}},
    "top_p": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "top_logprobs": 0,
    "temperature": 1.0,
    "reasoning": None,
    "usage": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "store": True,
    "background": False,
    "service_tier": "default",
    "metadata": {},
    "safety_identifier": None,
    "prompt_cache_key": None,
}
"""The 31 members every response object has, with what they are when nobody said otherwise."""

NULL = Raw(b"null")
ALIEN = "portico:"
"""Before the type of a hosted item that this API has no type for. Open Responses wants extensions
prefixed: https://www.openresponses.org/specification, 2026-11-21"""
