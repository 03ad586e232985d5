"""Which path is whose API, and what a caller must show there.

OpenAI and Anthropic paths are served with and without `/v1` and to anybody, so that the demo needs
no key. The clouds are told apart by their paths, and want a credential of the right form; whether
it is a good one is nobody's business here.
"""

import re
from collections.abc import Callable
from typing import Literal
from urllib.parse import unquote

from msgspec import Struct

from portico.demo.arrival import Arrival, Exchange
from portico.demo.chat_in import read_chat
from portico.demo.converse_in import count_converse, read_converse
from portico.demo.faults import RefusedError
from portico.demo.gemini_in import count_gemini, read_gemini
from portico.demo.messages_in import count_messages, read_messages
from portico.demo.responses_in import count_responses, read_responses

__all__ = ["COUNT", "CREATE", "Route", "check_credential", "route", "vendor_of"]

Dialect = Literal["chat", "responses", "messages", "gemini", "converse"]

CREATE: dict[str, Callable[[Arrival], Exchange]] = {
    "chat": read_chat,
    "responses": read_responses,
    "messages": read_messages,
    "gemini": read_gemini,
    "converse": read_converse,
}
COUNT: dict[str, Callable[[Arrival], list[bytes]]] = {
    "responses": count_responses,
    "messages": count_messages,
    "gemini": count_gemini,
    "converse": count_converse,
}


class Route(Struct, frozen=True):
    """`dialect` is spoken in the manner of `vendor`; `model` and `stream` if the path says them."""

    dialect: Dialect
    vendor: str
    counts: bool = False
    model: str | None = None
    stream: bool | None = None


_PLAIN: dict[str, Route] = {
    "/chat/completions": Route("chat", "openai"),
    "/responses": Route("responses", "openai"),
    "/responses/input_tokens": Route("responses", "openai", counts=True),
    "/messages": Route("messages", "anthropic"),
    "/messages/count_tokens": Route("messages", "anthropic", counts=True),
    "/openai/v1/chat/completions": Route("chat", "azure"),
    "/openai/v1/responses": Route("responses", "azure"),
    "/openai/v1/responses/input_tokens": Route("responses", "azure", counts=True),
    "/openai/responses": Route("responses", "azure"),
    "/anthropic/v1/messages": Route("messages", "anthropic"),
    "/anthropic/v1/messages/count_tokens": Route("messages", "anthropic", counts=True),
    "/v1beta/openai/chat/completions": Route("chat", "openai"),
}
_FOUNDRY = re.compile(r"/api/projects/[^/]+(?=/openai/)")
_COMPATIBLE = re.compile(r"/v1(?:beta1)?/projects/[^/]+/locations/[^/]+/endpoints/openapi(/.+)")
_AZURE = re.compile(r"/openai/deployments/([^/]+)/chat/completions")
_GEMINI = re.compile(r"/v1(?:beta|alpha)?/models/(.+):(\w+)")
_VERTEX = re.compile(
    r"/v1(?:beta1)?(?:/projects/[^/]+/locations/[^/]+)?"
    r"/publishers/(google|anthropic)/models/(.+):(\w+)"
)
_BEDROCK = re.compile(r"/model/(.+)/(converse|converse-stream|count-tokens)")
_GOOGLE = {"generateContent": False, "streamGenerateContent": True}
_ANTHROPIC = {"rawPredict": None, "streamRawPredict": True}


def route(path: str) -> Route | None:
    """Where a POST to `path` goes, as it came (percent-encoded, without the query)."""
    path = _FOUNDRY.sub("", path, count=1)
    if compatible := _COMPATIBLE.fullmatch(path):
        path = compatible[1]
    if found := _PLAIN.get(path if path.startswith("/v1beta") else path.removeprefix("/v1")):
        return found
    if azure := _AZURE.fullmatch(path):
        return Route("chat", "azure", model=unquote(azure[1]))
    if bedrock := _BEDROCK.fullmatch(path):
        stream = bedrock[2] == "converse-stream"
        counts = bedrock[2] == "count-tokens"
        return Route("converse", "bedrock", counts, unquote(bedrock[1]), stream)
    path = unquote(path)  # `:` may come as `%3A`
    if gemini := _GEMINI.fullmatch(path):
        return _google("gemini", gemini[1], gemini[2])
    if vertex := _VERTEX.fullmatch(path):
        if vertex[1] == "google":
            return _google("vertex", vertex[2], vertex[3])
        if vertex[2] == "count-tokens" and vertex[3] == "rawPredict":
            return Route("messages", "anthropic", True, vertex[2])
        if vertex[3] in _ANTHROPIC:
            return Route("messages", "anthropic", False, vertex[2], _ANTHROPIC[vertex[3]])
    return None


def _google(vendor: str, model: str, method: str) -> Route | None:
    if method == "countTokens":
        return Route("gemini", vendor, True, model)
    if method in _GOOGLE:
        return Route("gemini", vendor, False, model, _GOOGLE[method])
    return None


def vendor_of(path: str) -> str:
    """In whose manner to refuse what has no route."""
    if path.startswith(("/openai/", "/api/projects/")):
        return "azure"
    if path.startswith("/model/"):
        return "bedrock"
    if path.startswith("/anthropic/"):
        return "anthropic"
    if "/projects/" in path or "/publishers/" in path:
        return "vertex"
    if path.startswith(("/v1beta", "/v1alpha")):
        return "gemini"
    return "anthropic" if path.removeprefix("/v1").startswith("/messages") else "openai"


# -- credentials --------------------------------------------------------------------------------

_BEARER = re.compile(rb"Bearer\s+\S+")
_SIGNED = re.compile(
    rb"AWS4-HMAC-SHA256\s+Credential=[^/,\s]+/\d{8}/[a-z0-9-]+/bedrock/aws4_request,\s*"
    rb"SignedHeaders=([a-z0-9;-]+),\s*Signature=[0-9a-f]{64}"
)
_MUST_SIGN = {b"host", b"x-amz-date"}


def check_credential(path: str, found: Route, arrival: Arrival) -> None:
    """Refuse a caller without a credential of the right form, where one is needed."""
    headers = arrival.headers
    bearer = _BEARER.fullmatch(headers.get(b"authorization", b"")) is not None
    if found.vendor == "azure":
        _check_azure(path, arrival, bearer)
    elif found.vendor == "bedrock":
        _check_aws(headers, bearer)
    elif found.vendor == "gemini":
        if not (bearer or headers.get(b"x-goog-api-key") or arrival.argument("key")):
            raise RefusedError(
                403,
                "Method doesn't allow unregistered callers (callers without established identity).",
            )
    elif vendor_of(path) == "vertex" and not (bearer or headers.get(b"x-goog-api-key")):
        raise RefusedError(
            401,
            "Request is missing required authentication credential. Expected OAuth 2 access token.",
            code="CREDENTIALS_MISSING",
        )


def _check_azure(path: str, arrival: Arrival, bearer: bool) -> None:
    if not (bearer or arrival.headers.get(b"api-key")):
        message = "Access denied due to invalid subscription key or wrong API endpoint."
        raise RefusedError(401, message, code="401")
    dated = not path.startswith(("/openai/v1/", "/api/"))
    if dated and not arrival.argument("api-version"):
        raise RefusedError(404, "Resource not found", code="404")


def _check_aws(headers: dict[bytes, bytes], bearer: bool) -> None:
    given = headers.get(b"authorization")
    if given is None:
        message = "Missing Authentication Token"
        raise RefusedError(403, message, kind="MissingAuthenticationTokenException")
    signed = _SIGNED.fullmatch(given)
    if bearer:
        return
    if signed is None or not set(signed[1].split(b";")) >= _MUST_SIGN:
        message = "Authorization header requires Credential, SignedHeaders and Signature."
        raise RefusedError(403, message, kind="IncompleteSignatureException")
    if not re.fullmatch(rb"\d{8}T\d{6}Z", headers.get(b"x-amz-date", b"")):
        message = "Authorization header requires existence of a valid 'X-Amz-Date' header."
        raise RefusedError(403, message, kind="IncompleteSignatureException")
