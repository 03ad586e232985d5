"""Where one model entry sends its requests, with everything computed that no request changes."""

from math import inf
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

import msgspec
from msgspec import Raw

from portico.config.settings import OnLoss, StateMode, TimeoutSettings
from portico.errors import NotFound, UpstreamAuth
from portico.http.client import Pool
from portico.limits import Deadlines
from portico.providers.base import Family
from portico.wire.json import encode, splice

if TYPE_CHECKING:
    from portico.gateway.shaping import Shaper
    from portico.wire.header_rules import RequestRules, ResponseRules

NO_TIMEOUTS = TimeoutSettings()
_DEADLINES = Deadlines()
_SHOWN = "/:@.-_ ()+=,"
"""What a header value may hold as it is; the rest is percent-encoded."""
_LONGEST_SHOWN = 256
_MOST_METAS = 64
_FIRST = b"x-portico-attempts: 1\r\n"
_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode


class Authorize(Protocol):
    """Makes the credential of a request that cannot carry a fixed one."""

    def headers(self, method: str, path: bytes, host: bytes, body: bytes) -> bytes | None:
        """The header lines of this request; None while there is no usable credential."""

    async def ready(self) -> None:
        """Get a credential. Raises a typed `PorticoError`."""


class Template:
    """A request target; `{model}` in it is the percent-encoded upstream id."""

    __slots__ = ("_after", "_before", "fixed")

    def __init__(self, path: str) -> None:
        before, hole, after = path.partition("{model}")
        self.fixed = path.encode("ascii") if not hole else None
        self._before = before.encode("ascii")
        self._after = after.encode("ascii")

    def fill(self, model: str) -> bytes:
        """The target for this id. Raises `NotFound` for ids that cannot be one path segment."""
        if self.fixed is not None:
            return self.fixed
        if not model.strip("."):  # "", "." and ".." mean other places
            raise NotFound(
                f"The model '{model}' does not exist or you do not have access to it.",
                code="model_not_found",
                param="model",
            )
        # "@" stands in Vertex ids (claude-opus-4@20250514) and is allowed in a path.
        return b"%b%b%b" % (self._before, quote(model, safe="@").encode("ascii"), self._after)


class Way:
    """One dialect at one target: where it is spoken and what its bodies need.

    `common` are the header lines from `host` to the credential. `extras`, `drops_model` and `keeps`
    as in `providers.base.Api`.
    """

    __slots__ = ("common", "count", "drops_model", "extras", "keeps", "path", "stream")

    def __init__(
        self,
        path: Template,
        stream: Template,
        count: Template | None,
        common: bytes,
        extras: dict[str, bytes],
        drops_model: bool,
        keeps: bool = False,
    ) -> None:
        self.path = path
        self.stream = stream
        self.count = count
        self.common = common
        self.extras = extras
        self.drops_model = drops_model
        self.keeps = keeps

    @property
    def head(self) -> bytes | None:
        """The request head, if it is the same for every request."""
        if self.path.fixed is None or self.path.fixed != self.stream.fixed:
            return None
        return b"POST %b HTTP/1.1\r\n%b" % (self.path.fixed, self.common)


Ways = dict[str, Way]
"""Dialect name to way."""


class Patience:
    """The deadlines of a virtual model's attempts at one target: its own, where it has any."""

    __slots__ = ("attempt", "connect", "first_byte", "first_token", "idle")

    def __init__(self, target: "Target", own: TimeoutSettings) -> None:
        self.attempt = own.attempt or target.attempt
        self.connect = own.connect or target.connect
        self.first_byte = own.first_byte or target.first_byte
        self.first_token = own.first_token or target.first_token
        self.idle = own.idle or target.idle


class Target:
    """Where one model entry sends its requests.

    `heads` has, per dialect that the provider speaks at one fixed path, the request head up to (not
    including) the forwarded headers and `content-length`; `head` has it for every dialect spoken.
    `defaults` are header lines that a client may send itself, by name. `secret` is the operator's
    key, to be kept out of what a provider's error quotes. `kind` is the provider's row; `origin`
    identifies provider, place and account, and gives no key away; `place` is the same without the
    account. `preferred` are the dialects to use where the client's own is not spoken, best first.
    `state` is who keeps responses; `context_window` what the operator says of it, in tokens.
    `authorize` is None where the head carries the credential already. `connect`, `first_byte`,
    `first_token`, `idle` and `attempt` are its deadlines in seconds. `shaper`, `request_rules` and
    `response_rules` are what the operator changes about bodies and heads; None: nothing.
    """

    __slots__ = (
        "_dresses", "_meta", "attempt", "authorize", "connect", "context_window", "defaults",
        "families", "fetch_remote_content", "first_byte", "first_token", "heads", "host",
        "id_prefix", "idle", "kind", "label", "model", "models_head", "on_loss", "origin", "place",
        "pool", "preferred", "quirks", "request_rules", "response_rules", "secret", "semconv",
        "shaper", "state", "strip_prefix", "ways",
    )  # fmt: skip

    def __init__(
        self,
        label: str,
        semconv: str,
        pool: Pool,
        ways: Ways,
        defaults: tuple[tuple[bytes, bytes], ...],
        models_head: bytes,
        model: str | None,
        strip_prefix: str,
        secret: bytes,
        *,
        kind: str,
        origin: str,
        place: str,
        preferred: tuple[str, ...],
        families: tuple[tuple[Family, Ways], ...] = (),
        id_prefix: str = "",
        on_loss: OnLoss = "warn",
        fetch_remote_content: bool = False,
        quirks: frozenset[str] = frozenset(),
        authorize: Authorize | None = None,
        state: StateMode = "gateway",
        context_window: int | None = None,
        timeouts: TimeoutSettings = NO_TIMEOUTS,
        deadlines: Deadlines = _DEADLINES,
        shaper: "Shaper | None" = None,
        request_rules: "RequestRules | None" = None,
        response_rules: "ResponseRules | None" = None,
    ) -> None:
        self.label = label
        self.semconv = semconv
        self.pool = pool
        self.ways = ways
        self.families = families
        self.heads = (
            {name: head for name, way in ways.items() if (head := way.head) is not None}
            if not families
            else {}
        )
        self.defaults = defaults
        self.models_head = models_head
        self.model = model
        self.strip_prefix = strip_prefix
        self.secret = secret
        self.kind = kind
        self.origin = origin
        self.place = place
        self.preferred = preferred
        self.id_prefix = id_prefix
        self.on_loss = on_loss
        self.fetch_remote_content = fetch_remote_content
        self.quirks = quirks
        self.authorize = authorize
        self.state: StateMode = state
        self.context_window = context_window
        self.connect = timeouts.connect or deadlines.connect
        self.first_byte = timeouts.first_byte or deadlines.first_byte
        self.first_token = timeouts.first_token or inf
        self.idle = timeouts.idle or deadlines.idle
        self.attempt = timeouts.attempt or inf
        self.shaper = shaper
        self.request_rules = request_rules
        self.response_rules = response_rules
        self._meta: dict[str, bytes] = {}
        self.host = pool.origin.authority
        self._dresses = any(
            way.extras or way.drops_model
            for each in (ways, *(more for _, more in families))
            for way in each.values()
        )

    def upstream_model(self, asked: str) -> str:
        """The id to send for the name a caller asked for."""
        if self.model is not None:
            return self.model
        return asked.removeprefix(self.strip_prefix) if self.strip_prefix else asked

    def meta(self, model: str, attempts: int = 1) -> bytes:
        """The header lines that tell a client who is asked, for this upstream model, and which
        attempt it is."""
        lines = self._meta.get(model)
        if lines is None:
            lines = b"x-portico-provider: %b\r\nx-portico-model: %b\r\n%b" % (
                quote(self.label, safe=_SHOWN).encode("ascii"),
                quote(model[:_LONGEST_SHOWN], safe=_SHOWN).encode("ascii"),
                _FIRST,
            )
            if len(self._meta) < _MOST_METAS:
                self._meta[model] = lines
        if attempts == 1:
            return lines
        return b"%bx-portico-attempts: %d\r\n" % (lines[: -len(_FIRST)], attempts)

    def spoken(self, model: str) -> Ways:
        """How this upstream model can be asked, by dialect."""
        return self._find(model)[1]

    def way(self, dialect: str, model: str) -> Way:
        """The way to ask this upstream model in a dialect that is spoken."""
        return self._find(model)[1][dialect]

    def dialect_for(self, client_dialect: str, model: str) -> str:
        """The upstream dialect for a client's: the same if spoken, else the richest spoken.

        `model` is the upstream id: Vertex, for one, serves Claude and Gemini in different dialects.
        A provider that speaks nothing at all cannot be configured.
        """
        ways = self._find(model)[1]
        if client_dialect in ways:
            return client_dialect
        for name in self.preferred:
            if name in ways:
                return name
        return next(iter(ways))

    def keeps(self, model: str) -> bool:
        """Whether the provider keeps responses of this upstream model, by its own word for all
        accounts: a response made with `store` false, and one that expired, is not there."""
        way = self._find(model)[1].get("responses")
        return way is not None and way.keeps

    def head(self, dialect: str, model: str, stream: bool) -> bytes:
        """The request head up to the forwarded headers, for a dialect that is spoken.

        Without a credential where `authorize` is set: `sign` has the rest. Raises `NotFound` for a
        model id that no path can hold.
        """
        static = self.heads.get(dialect)
        if static is not None:
            return static
        inner, ways = self._find(model)
        way = ways[dialect]
        template = way.stream if stream else way.path
        return b"POST %b HTTP/1.1\r\n%b" % (template.fill(inner), way.common)

    def count_head(self, dialect: str, model: str) -> bytes | None:
        """The head of a request that only counts tokens; None where the provider has none."""
        inner, ways = self._find(model)
        way = ways.get(dialect)
        if way is None or way.count is None:
            return None
        return b"POST %b HTTP/1.1\r\n%b" % (way.count.fill(inner), way.common)

    def kept_head(self, method: bytes, model: str, below: bytes, query: bytes) -> bytes | None:
        """The head of a request about what the provider keeps, `below` the path where responses of
        this upstream model are made; None where it speaks no Responses.

        What the way has in its own query (a version of the API) goes in front of `query`.
        """
        inner, ways = self._find(model)
        way = ways.get("responses")
        if way is None:
            return None
        path, _, own = way.path.fill(inner).partition(b"?")
        asked = b"&".join([part for part in (own, query) if part])
        return b"%b %b%b%b HTTP/1.1\r\n%b" % (
            method, path, below, b"?" + asked if asked else b"", way.common
        )  # fmt: skip

    def add_members(
        self, payload: bytes, dialect: str, model: str, *, counting: bool = False
    ) -> bytes:
        """`payload`, a JSON object of that dialect, with what the provider wants in it besides,
        and without `model` where the path has it. `counting`: it goes to `count_head`."""
        if not self._dresses:
            return payload
        inner, ways = self._find(model)
        way = ways[dialect]
        if not way.extras and not way.drops_model:
            return payload
        fields = _decode_members(payload)
        if way.drops_model:
            fields.pop("model", None)
            if counting and way.count is not None and way.count.fixed is not None:
                return splice(fields, {"model": encode(inner), **way.extras})
        return splice(fields, way.extras)

    async def sign(self, head: bytes, body: bytes) -> bytes:
        """The header lines that authorise the request that begins with `head`; empty where the
        head does so itself. Raises `UpstreamAuth` when there is no credential."""
        authorize = self.authorize
        if authorize is None:
            return b""
        method, path, _ = head.split(b" ", 2)
        lines = authorize.headers(method.decode("ascii"), path, self.host, body)
        if lines is None:
            await authorize.ready()
            lines = authorize.headers(method.decode("ascii"), path, self.host, body)
        if lines is None:
            raise UpstreamAuth("This gateway has no credential for the provider.")
        return lines

    def _find(self, model: str) -> tuple[str, Ways]:
        """What stands for the model in a path, and the ways to ask it."""
        for family, ways in self.families:
            found = family.models.fullmatch(model)
            if found is not None:
                return found["id"], ways
        return model.removeprefix(self.id_prefix) if self.id_prefix else model, self.ways
