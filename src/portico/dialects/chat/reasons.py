"""Why an answer ended, and what an error inside one means, as data. As known on 2026-11-21."""

from portico.model.events import FinishReason

FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "length": "length",
    "content_filter": "content_filter",
    "max_tokens": "length",
    "model_length": "length",  # https://docs.mistral.ai/api
    "refusal": "refusal",
    "stop_sequence": "stop_sequence",
}
"""`finish_reason` to the hub's; others mean that the answer ended by itself."""

FAILURES: dict[str, int] = {
    "error": 502,  # https://openrouter.ai/docs/api-reference/overview#finish-reason
    "abort": 502,  # https://docs.vllm.ai/en/latest/api/vllm/v1/request.html
    # https://api-docs.deepseek.com/api/create-chat-completion
    "insufficient_system_resource": 503,
}
"""Values of `finish_reason` that say the answer broke off, and the status that fits."""

TOLD_REASONS: dict[FinishReason, str] = {
    "stop": "stop",
    "stop_sequence": "stop",
    "tool_calls": "tool_calls",
    "length": "length",
    "content_filter": "content_filter",
    "refusal": "stop",
    "pause": "length",
}
"""The hub's reasons to `finish_reason`. Chat has no word for a turn that was paused; like one that
ran out of tokens it is not whole."""

ERROR_STATUS: dict[str, int] = {
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "invalid_request_error": 400,
    "context_length_exceeded": 400,
    "not_found_error": 404,
    "overloaded_error": 503,
    "overloaded": 503,
    "over_capacity": 503,
    "service_unavailable": 503,
    "timeout": 504,
}
"""`type` or `code` of an error inside a stream to the status it would have had."""
