"""What a target can take, as data: the passes adapt to it and the documentation is made from it.

Each upstream dialect has a row (`dialects/<name>/maps.py`); a provider, or a family of models,
overrides fields of it. Facts carry a link and a date where they are written.
"""

from typing import Literal, TypeAlias

from msgspec import Struct

Parameter: TypeAlias = Literal[
    "temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty", "stop", "seed",
    "choices", "logit_bias", "logprobs", "parallel_tool_calls", "verbosity", "metadata", "user",
    "safety_identifier", "prompt_cache_key", "service_tier", "effort", "budget", "summary",
    "max_output_tokens", "truncation", "max_tool_calls", "cache_extras", "store",
]  # fmt: skip
"""Parameters a target may lack. One it lacks is a declared loss, except that `choices` above 1 is
refused. `cache_extras` are OpenAI's settings of the prompt cache."""

Content: TypeAlias = Literal[
    "image",
    "image_url",
    "file",
    "file_url",
    "file_text",
    "audio",
    "video",
    "video_url",
    "file_id",
    "storage_url",
]
"""Content besides text. `image`, `file`, `video` mean data that is sent along (base64); the `_url`
forms are addresses the provider fetches itself; `storage_url` is an object of the provider's own
storage (`s3://`, `gs://`); `file_text` is a plain text document; `file_id` an
id of the provider's own store."""

Naming: TypeAlias = Literal["openai", "gemini"]
"""`openai`: `^[a-zA-Z0-9_-]{1,64}$`. `gemini`: dots too, and a letter or underscore first."""


class Capabilities(Struct, frozen=True, kw_only=True, gc=False):
    """`results` is what the output of a tool may hold besides text; other content moves to a user
    message behind it. `hosted` are kinds of hosted tools there is a native tool for.
    `custom_tools`: free-form tools as they are; others are wrapped as a function with one string.
    `allowed_tools`: whether a choice may name a subset itself; others get the subset only.
    `forced_tools`: whether one tool, or any, can be forced. `json_schema`, `json_object`: native
    structured output; else emulated with a forced tool. `efforts` are the reasoning efforts it
    takes, empty when the encoder maps all of them itself. `reasoning_text`: reasoning without proof
    may be sent back. `phases`: knows `Message.phase`. `temperature_max` is the upper bound.
    `call_id` is a pattern that call ids must match in full, "" when any will do."""

    parameters: frozenset[Parameter]
    content: frozenset[Content]
    results: frozenset[Content] = frozenset()
    hosted: frozenset[str] = frozenset()
    custom_tools: bool = False
    namespaces: bool = False
    allowed_tools: bool = False
    forced_tools: bool = True
    json_schema: bool = True
    json_object: bool = True
    efforts: tuple[str, ...] = ()
    reasoning_text: bool = False
    phases: bool = False
    is_error: bool = False
    naming: Naming = "openai"
    name_characters: int = 64
    call_id: str = ""
    stop_most: int | None = None
    temperature_max: float = 2.0
