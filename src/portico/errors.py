"""Every error Portico raises on purpose.

PorticoError
├── ClientFault             what the caller sent cannot be served; never retried
│   ├── BadRequest          400  malformed, wrong type, out of range
│   ├── NotFound            404  unknown path, unknown model
│   ├── MethodNotAllowed    405
│   ├── RequestTimeout      408  the request did not arrive in time
│   ├── TooLarge            413  (and 431 for the head)
│   └── UnsupportedEncoding 415
├── PolicyDenied            a rule of this gateway refused it
│   ├── Unauthenticated     401
│   ├── Forbidden           403
│   └── RateLimited         429
├── UpstreamFault           the provider, or the way to it, failed
│   ├── UpstreamUnreachable 502  DNS, connect, TLS
│   ├── UpstreamAuth        502  the provider refused the operator's credential
│   ├── UpstreamProtocol    502  not valid HTTP, or larger than a limit
│   ├── UpstreamTruncated   502  the answer stopped before its end
│   ├── UpstreamRejected    the provider's own error status, kept
│   ├── UpstreamUnavailable 503  every target is left alone because it failed
│   └── UpstreamTimeout     504
└── Internal
    ├── InternalError       500  a defect of ours
    └── Overloaded          503  draining, or out of a bounded resource

`message` is written for the caller and never holds secrets, host names of upstreams or exception
text. `debug` is for the operator's log. Errors become bytes once, at the edge, through the
`errors.py` of the client's dialect.
"""

from typing import ClassVar

__all__ = [
    "BadRequest",
    "ClientFault",
    "Forbidden",
    "Internal",
    "InternalError",
    "MethodNotAllowed",
    "NotFound",
    "Overloaded",
    "PolicyDenied",
    "PorticoError",
    "RateLimited",
    "RequestTimeout",
    "TooLarge",
    "Unauthenticated",
    "UnsupportedEncoding",
    "UpstreamAuth",
    "UpstreamFault",
    "UpstreamProtocol",
    "UpstreamRejected",
    "UpstreamTimeout",
    "UpstreamTruncated",
    "UpstreamUnavailable",
    "UpstreamUnreachable",
    "forget_frames",
]


class PorticoError(Exception):
    """The root. `status` is HTTP; `code` and `param` follow OpenAI's error object.

    `retryable` answers whether the same request, sent again by the caller, may succeed; it becomes
    `x-should-retry`. None leaves the decision to the client's own rules. `limit` names the limit
    of `portico.limits` that was hit, for whoever counts. `upstream_status` is what the provider
    answered, 0 if it did not. `verbatim` is the provider's own answer in the client's dialect, a
    header block and a body, to be passed on as it is.
    """

    status: ClassVar[int] = 500
    default_code: ClassVar[str | None] = None
    default_retryable: ClassVar[bool | None] = None

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        debug: str = "",
        retry_after: str | None = None,
        limit: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code if code is not None else self.default_code
        self.param = param
        self.debug = debug
        self.retry_after = retry_after
        self.limit = limit
        self.http_status = self.status
        self.retryable = self.default_retryable
        self.upstream_status = 0
        self.verbatim: tuple[bytes, bytes] | None = None


def forget_frames(error: BaseException) -> None:
    """Drop the traceback of an error that has been dealt with, and of its causes.

    A traceback holds its frames, frames hold the request body and often the error itself: a cycle
    of megabytes that would wait for the garbage collector.
    """
    seen: BaseException | None = error
    while seen is not None and seen.__traceback__ is not None:
        seen.__traceback__ = None
        seen = seen.__cause__ or seen.__context__


class ClientFault(PorticoError):
    """The request itself is wrong."""

    status = 400
    default_retryable: ClassVar[bool | None] = False


class BadRequest(ClientFault):
    """400: malformed, of a wrong type, or out of range."""


class NotFound(ClientFault):
    """404: no such path or model."""

    status = 404
    default_code = "not_found"


class MethodNotAllowed(ClientFault):
    """405: the path exists, the method does not."""

    status = 405
    default_code = "method_not_allowed"
    allowed = ""
    """The method that would do, for the `allow` header (RFC 9110 section 15.5.6)."""


class RequestTimeout(ClientFault):
    """408: the request did not arrive within its deadline."""

    status = 408
    default_code = "request_timeout"
    default_retryable = None


class TooLarge(ClientFault):
    """413: the body is over a limit."""

    status = 413
    default_code = "request_too_large"


class UnsupportedEncoding(ClientFault):
    """415: a content coding or media type we do not take."""

    status = 415
    default_code = "unsupported_media_type"


class PolicyDenied(PorticoError):
    """A rule of this gateway refused the request."""

    status = 403
    default_retryable: ClassVar[bool | None] = False


class Unauthenticated(PolicyDenied):
    """401: no key, or not one of ours."""

    status = 401
    default_code = "invalid_api_key"


class Forbidden(PolicyDenied):
    """403: a valid key that may not do this."""

    default_code = "permission_denied"


class RateLimited(PolicyDenied):
    """429: over a limit of this gateway."""

    status = 429
    default_code = "rate_limit_exceeded"
    default_retryable = None


class UpstreamFault(PorticoError):
    """The provider, or the way to it, failed."""

    status = 502
    default_code = "upstream_error"


class UpstreamUnreachable(UpstreamFault):
    """502: DNS, connect or TLS failed; no byte of the request was sent."""

    default_code = "upstream_unreachable"
    default_retryable = False


class UpstreamAuth(UpstreamFault):
    """502: the provider refused the operator's credential. Never the caller's 401."""

    default_code = "upstream_auth"
    default_retryable = False


class UpstreamProtocol(UpstreamFault):
    """502: what came back is not valid HTTP, is encoded, or breaks a size limit."""

    default_code = "upstream_protocol_error"


class UpstreamTruncated(UpstreamFault):
    """502: the connection ended before the answer did. `stale`: it had been idle, and was closed by
    the other side before the first byte of an answer."""

    default_code = "upstream_truncated"
    stale = False


class UpstreamUnavailable(UpstreamFault):
    """503: every provider that could be asked has failed too often just now."""

    status = 503
    default_code = "provider_unavailable"


class UpstreamTimeout(UpstreamFault):
    """504: the provider was silent for longer than a deadline. `hurried`: the deadline was the
    caller's own, or what was left of the request's: it says nothing of the provider."""

    status = 504
    default_code = "upstream_timeout"
    hurried = False


class UpstreamRejected(UpstreamFault):
    """The provider answered with an error of its own; its status class is kept."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str | None = None,
        param: str | None = None,
        debug: str = "",
        retry_after: str | None = None,
    ) -> None:
        super().__init__(message, code=code, param=param, debug=debug, retry_after=retry_after)
        self.http_status = status
        if status < 500 and status not in (408, 409, 429):
            self.retryable = False


class Internal(PorticoError):
    """Our own side."""


class InternalError(Internal):
    """500: a defect of ours; the log has the traceback, the caller has the request id."""

    default_code = "internal_error"


class Overloaded(Internal):
    """503: draining, or a bounded resource is used up."""

    status = 503
    default_code = "overloaded"
