"""A chat client's request as one of the hub."""

from msgspec import Raw

from portico.dialects import checks
from portico.dialects.chat import body as wire
from portico.dialects.chat.messages_in import read_messages
from portico.dialects.chat.tools_in import response_format, tool_choice, tools
from portico.errors import BadRequest
from portico.limits import Limits
from portico.model.request import EFFORTS, Effort, GenerateRequest, ReasoningAsk
from portico.model.sealed import Unseal

# https://platform.openai.com/docs/api-reference/chat/create (2026-11-21)
_MOST_CHOICES = 128
_MOST_STOPS = 4
_MOST_LOGPROBS = 20
_LONGEST_CACHE_KEY = 64
_LONGEST_IDENTIFIER = 128
_VERBOSITIES = ("low", "medium", "high")
_TIERS = ("auto", "default", "flex", "scale", "priority", "fast")
_RANGES: tuple[tuple[str, float, float | None], ...] = (
    ("temperature", 0, 2),
    ("top_p", 0, 1),
    ("presence_penalty", -2, 2),
    ("frequency_penalty", -2, 2),
    ("n", 1, _MOST_CHOICES),
    ("top_logprobs", 0, _MOST_LOGPROBS),
    ("max_completion_tokens", 1, None),
    ("max_tokens", 1, None),
    ("top_k", 0, None),
)


def read(fields: dict[str, Raw], body: bytes, limits: Limits, unseal: Unseal) -> GenerateRequest:
    """Check a whole body. Raises `BadRequest` naming the parameter."""
    asked, losses = checks.decode_head(wire.decode_body, body)
    _check(asked, limits)
    stop = (asked.stop,) if isinstance(asked.stop, str) else tuple(asked.stop or ())
    most = asked.max_completion_tokens
    return GenerateRequest(
        model=asked.model,
        dialect="chat",
        stream=bool(asked.stream),
        items=read_messages(asked.messages, unseal),
        tools=tools(asked, fields.get("web_search_options")),
        tool_choice=tool_choice(asked),
        parallel_tool_calls=False if is_legacy(fields) else asked.parallel_tool_calls,
        max_output_tokens=most if most is not None else asked.max_tokens,
        temperature=asked.temperature,
        top_p=asked.top_p,
        top_k=asked.top_k,
        presence_penalty=asked.presence_penalty,
        frequency_penalty=asked.frequency_penalty,
        stop=stop,
        seed=asked.seed,
        choices=asked.n or 1,
        logit_bias=fields["logit_bias"] if asked.logit_bias else None,
        logprobs=bool(asked.logprobs),
        top_logprobs=asked.top_logprobs,
        reasoning=_reasoning(asked),
        format=response_format(asked.response_format),
        verbosity=asked.verbosity,
        metadata=asked.metadata or {},
        user=asked.user,
        safety_identifier=asked.safety_identifier,
        prompt_cache_key=asked.prompt_cache_key,
        caching=asked.cache_control is not None,
        service_tier=asked.service_tier,
        store=asked.store,
        include_usage=bool(asked.stream_options and asked.stream_options.include_usage),
        extras=_extras(asked, fields),
        losses=losses,
    )


def is_legacy(fields: dict[str, Raw]) -> bool:
    """Whether the client speaks of `functions`, and so wants `function_call` for an answer."""
    return "functions" in fields and "tools" not in fields


def _check(asked: wire.ChatBody, limits: Limits) -> None:
    checks.check_model(asked.model)
    checks.check_items("messages", asked.messages, limits.json_items, required=True)
    checks.check_items("tools", asked.tools, limits.json_items)
    checks.check_items("functions", asked.functions, limits.json_items)
    for name, least, most in _RANGES:
        checks.check_range(name, getattr(asked, name), least, most)
    if isinstance(asked.stop, list):
        checks.check_items("stop", asked.stop, _MOST_STOPS)
    if asked.top_logprobs is not None and not asked.logprobs:
        raise BadRequest(
            "Invalid value for 'top_logprobs': it is only allowed when 'logprobs' is true.",
            code="invalid_value",
            param="top_logprobs",
        )
    for token, bias in (asked.logit_bias or {}).items():
        checks.check_range(f"logit_bias.{token[:32]}", bias, -100, 100)
    checks.check_choice("reasoning_effort", asked.reasoning_effort, EFFORTS)
    checks.check_choice("verbosity", asked.verbosity, _VERBOSITIES)
    checks.check_choice("service_tier", asked.service_tier, _TIERS)
    checks.check_metadata("metadata", asked.metadata)
    checks.check_length("safety_identifier", asked.safety_identifier, _LONGEST_IDENTIFIER)
    checks.check_length("prompt_cache_key", asked.prompt_cache_key, _LONGEST_CACHE_KEY)
    if asked.reasoning is not None:
        checks.check_choice("reasoning.effort", asked.reasoning.effort, EFFORTS)
        checks.check_range("reasoning.max_tokens", asked.reasoning.max_tokens, 0, None)
    if asked.stream_options is not None and not asked.stream:
        raise BadRequest(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            code="invalid_value",
            param="stream_options",
        )


def _reasoning(asked: wire.ChatBody) -> ReasoningAsk | None:
    effort: str | None = asked.reasoning_effort
    more = asked.reasoning
    if more is None:
        return ReasoningAsk(effort=_effort(effort)) if effort is not None else None
    effort = effort or more.effort
    if effort is None and more.enabled is not None and more.max_tokens is None:
        # https://openrouter.ai/docs/use-cases/reasoning-tokens: enabled alone means medium
        effort = "medium" if more.enabled else "none"
    return ReasoningAsk(
        effort=_effort(effort),
        budget=more.max_tokens,
        summary="none" if more.exclude else None,
    )


def _effort(text: str | None) -> Effort | None:
    return text  # type: ignore[return-value]


def _extras(asked: wire.ChatBody, fields: dict[str, Raw]) -> dict[str, Raw]:
    """Members that the hub has no name for. Null ones, and asking for text only, ask nothing."""
    extras = {
        name: value
        for name, value in fields.items()
        if name not in wire.READ and bytes(value) != b"null"
    }
    if asked.modalities and asked.modalities != ["text"]:
        extras["modalities"] = fields["modalities"]
    return extras
