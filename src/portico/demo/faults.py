"""What the demo provider refuses, and the error envelopes it answers with.

OpenAI: `{"error": {"message", "type", "param", "code"}}`, all four keys present; Azure the same.
Anthropic: `{"type": "error", "error": {"type", "message"}, "request_id"}`.
Google: `{"error": {"code", "message", "status", "details"}}`, with `BadRequest` and `RetryInfo`.
Bedrock: `{"message"}` and the header `x-amzn-errortype`.
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from portico.demo.shapes import Path, WrongError, camel

__all__ = [
    "RefusedError",
    "anthropic_error",
    "aws_kind",
    "bracketed",
    "dotted",
    "encode",
    "envelope",
    "google_error",
    "missing_parameter",
    "openai_error",
    "readable",
    "worded",
]

encode = msgspec.json.Encoder().encode

_OPENAI_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_GOOGLE_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_GOOGLE_CODES = {status: code for code, status in _GOOGLE_STATUSES.items()}
_AWS_KINDS = {
    400: "ValidationException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    409: "ConflictException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}
_RPC = "type.googleapis.com/google.rpc."
_UPPER = re.compile(r"(?<=[a-z0-9])([A-Z])")


class RefusedError(Exception):
    """A request the demo provider answers with an HTTP error of its own.

    `kind` is the vendor's name of the error where the status does not say it.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
        kind: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.retry_after = retry_after
        self.kind = kind


def readable(error: Exception) -> RefusedError:
    """The 400 for a body that is not JSON."""
    text = "the body is nested too deeply" if isinstance(error, RecursionError) else str(error)
    return RefusedError(400, f"Invalid body: {text}.", code="invalid_json")


def missing_parameter(name: str) -> RefusedError:
    """400: a required key is absent or empty."""
    message = f"Missing required parameter: '{name}'."
    return RefusedError(400, message, code="missing_required_parameter", param=name)


# -- envelopes ----------------------------------------------------------------------------------


def openai_error(error: RefusedError) -> dict[str, Any]:
    """The inner OpenAI error object."""
    kind = error.kind or _OPENAI_TYPES.get(error.status)
    if kind is None:
        kind = "server_error" if error.status >= 500 else "invalid_request_error"
    return {"message": error.message, "type": kind, "param": error.param, "code": error.code}


def anthropic_error(error: RefusedError, request_id: str) -> dict[str, Any]:
    """The whole Anthropic error body, also the data of a stream's `error` event."""
    kind = error.kind or _ANTHROPIC_TYPES.get(error.status)
    if kind is None:
        kind = "api_error" if error.status >= 500 else "invalid_request_error"
    inner = {"type": kind, "message": error.message}
    return {"type": "error", "error": inner, "request_id": request_id}


def google_error(error: RefusedError) -> dict[str, Any]:
    """The whole Google error body, also what a stream fails with."""
    fallback = "INTERNAL" if error.status >= 500 else "INVALID_ARGUMENT"
    status = error.kind or _GOOGLE_STATUSES.get(error.status, fallback)
    details: list[dict[str, Any]] = []
    if error.param is not None:
        violation = {"field": error.param, "description": error.message}
        details.append({"@type": f"{_RPC}BadRequest", "fieldViolations": [violation]})
    if error.code is not None:
        info = {"reason": error.code, "domain": "googleapis.com"}
        details.append({"@type": f"{_RPC}ErrorInfo", **info})
    if error.retry_after is not None:
        details.append({"@type": f"{_RPC}RetryInfo", "retryDelay": f"{error.retry_after:g}s"})
    code = error.status if error.status != 500 else _GOOGLE_CODES.get(status, 500)
    inner = {"code": code, "message": error.message, "status": status}
    return {"error": {**inner, "details": details} if details else inner}


def aws_kind(error: RefusedError) -> str:
    """The name of the exception."""
    fallback = "InternalServerException" if error.status >= 500 else "ValidationException"
    return error.kind or _AWS_KINDS.get(error.status, fallback)


def envelope(vendor: str, error: RefusedError, uid: str) -> tuple[bytes, bytes]:
    """Extra headers and the body of an error answer, in the manner of `vendor`."""
    retry = b""
    if error.retry_after is not None:
        retry = f"retry-after: {error.retry_after:g}\r\n".encode()
    if vendor == "anthropic":
        return retry, encode(anthropic_error(error, f"req_{uid}"))
    if vendor in ("gemini", "vertex"):
        return b"", encode(google_error(error))
    if vendor == "bedrock":
        kind = f"{aws_kind(error)}:http://internal.amazon.com/coral/com.amazon.bedrock/"
        return retry + f"x-amzn-errortype: {kind}\r\n".encode(), encode({"message": error.message})
    return retry, encode({"error": openai_error(error)})


# -- what is wrong with a body -------------------------------------------------------------------


def worded(vendor: str, wrong: WrongError) -> RefusedError:
    """The 400 of `vendor` for a body of the wrong shape."""
    return _WORDINGS[vendor](wrong)


def bracketed(path: Path, name: Callable[[str], str] = str) -> str:
    """`messages[0].content`."""
    out = ""
    for step in path:
        out += f"[{step}]" if isinstance(step, int) else f".{name(step)}" if out else name(step)
    return out


def dotted(path: Path) -> str:
    """`messages.0.content`."""
    return ".".join(str(step) for step in path)


def _openai(wrong: WrongError) -> RefusedError:
    where = bracketed(wrong.path)
    param = where or None
    got = wrong.got
    if wrong.fault == "missing":
        return missing_parameter(where)
    if wrong.fault == "unknown":
        message, code = f"Unknown parameter: '{where}'.", "unknown_parameter"
    elif wrong.fault == "type":
        message = f"Invalid type for '{where}': expected a {wrong.want}, but got {_a(wrong)}."
        code = "invalid_type"
    elif wrong.fault == "enum":
        values = ", ".join(f"'{each}'" for each in wrong.want)
        message = f"Invalid value: '{str(got)[:100]}'. Supported values are: {values}."
        code = "invalid_value"
    elif wrong.fault in ("low", "high"):
        kind = "integer" if isinstance(got, int) else "decimal"
        side, sign = ("below minimum", ">=") if wrong.fault == "low" else ("above maximum", "<=")
        message = f"Invalid '{where}': {kind} {side} value. Expected a value {sign} {wrong.want}."
        code = f"{kind}_{'below_min' if wrong.fault == 'low' else 'above_max'}_value"
    elif wrong.fault == "pattern":
        message = f"Invalid '{where}': string does not match the pattern '{wrong.want}'."
        code = "invalid_value"
    else:
        kind = wrong.got_type
        side = "min" if wrong.fault == "short" else "max"
        message = f"Invalid '{where}': {kind} length must be at {_most(wrong)}."
        code = f"{kind}_{'below' if side == 'min' else 'above'}_{side}_length"
        if wrong.fault == "short" and not got:
            message, code = f"Invalid '{where}': empty {kind}.", f"empty_{kind}"
    return RefusedError(400, message, code=code, param=param)


def _anthropic(wrong: WrongError) -> RefusedError:
    return RefusedError(400, f"{dotted(wrong.path) or 'body'}: {_pydantic(wrong)}")


def _pydantic(wrong: WrongError) -> str:
    if wrong.fault == "missing":
        return "Field required"
    if wrong.fault == "unknown":
        return "Extra inputs are not permitted"
    if wrong.fault == "type":
        return f"Input should be a valid {wrong.want}"
    if wrong.fault == "enum":
        return "Input should be " + " or ".join(f"'{each}'" for each in wrong.want)
    if wrong.fault == "low":
        return f"Input should be greater than or equal to {wrong.want}"
    if wrong.fault == "high":
        return f"Input should be less than or equal to {wrong.want}"
    if wrong.fault == "pattern":
        return f"String should match pattern '{wrong.want}'"
    unit = "characters" if isinstance(wrong.got, str) else "items"
    return f"{wrong.got_type.title()} should have at {_most(wrong)} {unit}"


def _google(wrong: WrongError) -> RefusedError:
    parent = bracketed(wrong.path[:-1], _snake)
    name = _snake(str(wrong.path[-1])) if wrong.path else ""
    where = bracketed(wrong.path, _snake)
    if wrong.fault == "unknown":
        at = f" at '{parent}'" if parent else ""
        message = f'Invalid JSON payload received. Unknown name "{name}"{at}: Cannot find field.'
        return RefusedError(400, message, param=parent)
    if wrong.fault == "missing":
        return RefusedError(400, f"* GenerateContentRequest.{where}: {name} is not specified")
    if wrong.fault in ("type", "enum"):
        want = "enum" if wrong.fault == "enum" else str(wrong.want)
        shown = encode(wrong.got)[:100].decode("utf-8", "replace")
        message = f"Invalid value at '{where}' (TYPE_{want.upper()}), {shown}"
        return RefusedError(400, message, param=where)
    if wrong.fault == "short" and not wrong.got:
        return RefusedError(400, f"* GenerateContentRequest.{where}: {name} must not be empty.")
    return RefusedError(400, f"* GenerateContentRequest.{where}: {_pydantic(wrong)}.")


def _snake(name: str) -> str:
    return _UPPER.sub(lambda found: f"_{found[1].lower()}", camel(name))


def _aws(wrong: WrongError) -> RefusedError:
    where = dotted(wrong.path)
    if wrong.fault == "type":
        message = f"{wrong.got_type.upper()}_VALUE can not be converted to a {wrong.want} ({where})"
        return RefusedError(400, message, kind="SerializationException")
    if wrong.fault == "unknown":
        at = "#/" + "/".join(map(str, wrong.path[:-1]))
        message = f"{at}: extraneous key [{wrong.path[-1]}] is not permitted"
        message = f"Malformed input request: {message}, please reformat your input and try again."
        return RefusedError(400, message)
    rule = {
        "missing": "Member must not be null",
        "enum": f"Member must satisfy enum value set: {wrong.want}",
        "low": f"Member must have value greater than or equal to {wrong.want}",
        "high": f"Member must have value less than or equal to {wrong.want}",
        "pattern": f"Member must satisfy regular expression pattern: {wrong.want}",
        "short": f"Member must have length greater than or equal to {wrong.want}",
        "long": f"Member must have length less than or equal to {wrong.want}",
    }[wrong.fault]
    shown = "" if wrong.fault == "missing" else f" '{str(wrong.got)[:100]}'"
    message = f"1 validation error detected: Value{shown} at '{where}' failed to satisfy"
    return RefusedError(400, f"{message} constraint: {rule}")


def _a(wrong: WrongError) -> str:
    kind = wrong.got_type
    if kind == "null":
        return "null instead"
    return f"{'an' if kind[0] in 'aio' else 'a'} {kind} instead"


def _most(wrong: WrongError) -> str:
    return f"{'least' if wrong.fault == 'short' else 'most'} {wrong.want}"


_WORDINGS: dict[str, Callable[[WrongError], RefusedError]] = {
    "openai": _openai,
    "azure": _openai,
    "anthropic": _anthropic,
    "gemini": _google,
    "vertex": _google,
    "bedrock": _aws,
}
