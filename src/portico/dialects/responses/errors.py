"""Errors in the Responses dialect: the OpenAI envelope (see `dialects.openai_error`)."""

from portico.dialects.openai_error import encode_error, error_object, is_envelope
from portico.dialects.upstream_error import read_error

__all__ = ["encode_error", "error_object", "is_envelope", "read_error"]
