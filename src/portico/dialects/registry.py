"""The dialects, by the kind of route they serve."""

from msgspec import structs

from portico.dialects.base import Dialect, SpliceRequest, Tap
from portico.dialects.chat import errors as chat_errors
from portico.dialects.chat import lens as chat_lens
from portico.dialects.chat import opening as chat_opening
from portico.dialects.chat import request as chat_request
from portico.dialects.messages import errors as messages_errors
from portico.dialects.messages import lens as messages_lens
from portico.dialects.messages import opening as messages_opening
from portico.dialects.messages import request as messages_request
from portico.dialects.responses import count_tokens as responses_count
from portico.dialects.responses import errors as responses_errors
from portico.dialects.responses import lens as responses_lens
from portico.dialects.responses import opening as responses_opening
from portico.dialects.responses import request as responses_request
from portico.wire.headers import ANTHROPIC_REQUEST, OPENAI_REQUEST


def _chat_tap(request: SpliceRequest) -> Tap:
    return chat_lens.Tap(request.hides_usage, request.choices)


def _responses_tap(request: SpliceRequest) -> Tap:
    return responses_lens.Tap()


def _messages_tap(request: SpliceRequest) -> Tap:
    return messages_lens.Tap()


CHAT = Dialect(
    name="chat",
    operation="chat",
    request_headers=OPENAI_REQUEST,
    read=chat_request.read,
    read_usage=chat_lens.read_usage,
    usage_from_tail=chat_lens.usage_from_tail,
    tap=_chat_tap,
    encode_error=chat_errors.encode_error,
    is_envelope=chat_errors.is_envelope,
    read_error=chat_errors.read_error,
    opening=chat_opening.opening,
)
RESPONSES = Dialect(
    name="responses",
    operation="chat",
    request_headers=OPENAI_REQUEST,
    read=responses_request.read,
    read_usage=responses_lens.read_usage,
    usage_from_tail=responses_lens.usage_from_tail,
    tap=_responses_tap,
    encode_error=responses_errors.encode_error,
    is_envelope=responses_errors.is_envelope,
    read_error=responses_errors.read_error,
    opening=responses_opening.opening,
)
MESSAGES = Dialect(
    name="messages",
    operation="chat",
    request_headers=ANTHROPIC_REQUEST,
    read=messages_request.read,
    read_usage=messages_lens.read_usage,
    usage_from_tail=messages_lens.usage_from_tail,
    tap=_messages_tap,
    encode_error=messages_errors.encode_error,
    is_envelope=messages_errors.is_envelope,
    read_error=messages_errors.read_error,
    opening=messages_opening.opening,
    request_id_header=b"request-id",
)

MESSAGES_COUNT = structs.replace(
    MESSAGES, operation="count_tokens", read=messages_request.read_count
)

RESPONSES_COUNT = structs.replace(
    RESPONSES, operation="count_tokens", read=responses_count.read_body
)

DIALECTS = {
    "completions": CHAT,
    "responses": RESPONSES,
    "responsesInputTokens": RESPONSES_COUNT,
    "messages": MESSAGES,
    "anthropicTokenCount": MESSAGES_COUNT,
}
"""Route type to dialect."""
