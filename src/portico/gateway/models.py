"""`GET /v1/models`: what the caller may use.

Exact names come from the configuration. A wildcard entry stands for whatever its provider lists, so
the provider is asked (`GET /models` with the operator's credential, at most every five minutes, for
at most three seconds) and its ids are shown under the names a caller would have to write. A
provider that cannot be asked contributes nothing and fails nobody.
"""

import asyncio
import logging
from time import monotonic, time
from urllib.parse import unquote

import msgspec
from msgspec import Struct

from portico.dialects.registry import DIALECTS
from portico.errors import NotFound, PorticoError, UpstreamProtocol
from portico.gateway.answers import JSON, request_id_header
from portico.gateway.call import Call
from portico.gateway.snapshot import Entry, Target
from portico.http.client import HttpClient, Pool
from portico.http.messages import Reply, Request
from portico.limits import MIB
from portico.model.names import covers

log = logging.getLogger("portico.gateway")

FRESH_SECONDS = 300.0
RETRY_SECONDS = 15.0
PATIENCE = 3.0
MAX_LISTED = 2000
MAX_LISTING_BYTES = 8 * MIB

Source = tuple[Pool, bytes]
"""Whom to ask, and how: entries that share a provider and its credential share its answer."""


class _Listed(Struct):
    id: str


class _Listing(Struct):
    data: list[_Listed] = []


class OpenAIModel(Struct):
    """One model, in OpenAI's shape."""

    id: str
    created: int
    owned_by: str
    object: str = "model"


class OpenAIModels(Struct):
    """OpenAI's list."""

    data: list[OpenAIModel]
    object: str = "list"


class AnthropicModel(Struct):
    """One model, in Anthropic's shape."""

    id: str
    display_name: str
    created_at: str
    type: str = "model"


class AnthropicModels(Struct):
    """Anthropic's list: one page with everything."""

    data: list[AnthropicModel]
    first_id: str | None
    last_id: str | None
    has_more: bool = False


class ModelList:
    """Answers the models endpoint; remembers what providers listed."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self._created = int(time())
        self._known: dict[Source, tuple[float, tuple[str, ...]]] = {}
        self._asking: dict[Source, asyncio.Task[tuple[str, ...]]] = {}

    async def answer(self, call: Call, request: Request, reply: Reply) -> None:
        """Write the list, or one model. Raises `NotFound`."""
        names = await self._names(call)
        wanted = request.target.partition(b"/models/")[2]
        anthropic = b"anthropic-version" in request.headers
        if wanted:
            name = unquote(wanted.decode("latin-1"))
            if name not in names and not self._served(call, name):
                raise NotFound(
                    f"The model '{name[:256]}' does not exist or you do not have access to it.",
                    code="model_not_found",
                    param="model",
                )
            body = msgspec.json.encode(self._one(name, names.get(name, ""), anthropic))
        elif anthropic:
            page = [self._anthropic(name) for name in names]
            body = msgspec.json.encode(
                AnthropicModels(page, page[0].id if page else None, page[-1].id if page else None)
            )
        else:
            body = msgspec.json.encode(
                OpenAIModels([self._openai(name, owner) for name, owner in names.items()])
            )
        call.outcome.status = 200
        dialect = DIALECTS["messages" if anthropic else "completions"]
        reply.send(200, JSON + request_id_header(dialect, call.outcome.request_id), body)

    def _served(self, call: Call, name: str) -> bool:
        route, caller = call.route, call.caller
        entry = route.models.find(name) if route is not None else None
        return bool(entry and entry.public and (caller is None or caller.may_use(name)))

    async def _names(self, call: Call) -> dict[str, str]:
        """Usable model names and their owners, in configuration order."""
        if call.route is None:
            return {}
        names: dict[str, str] = {}
        entries = [entry for entry in call.route.entries if entry.public]
        for entry, found in zip(
            entries, await asyncio.gather(*map(self._expand, entries)), strict=True
        ):
            for name in found:
                names.setdefault(name, entry.target.label)
        caller = call.caller
        if caller is not None and caller.allowed_models is not None:
            for name in caller.allowed_models:
                served = call.route.models.find(name) if "*" not in name else None
                if served is not None and served.public:
                    names.setdefault(name, served.target.label)
            names = {name: owner for name, owner in names.items() if caller.may_use(name)}
        return names

    async def _expand(self, entry: Entry) -> tuple[str, ...]:
        if "*" not in entry.name:
            return (entry.name,)
        target = entry.target
        if target.model is not None or not target.models_head:
            return ()
        listed = await self._listed(target)
        shown = (target.strip_prefix + upstream_id for upstream_id in listed)
        return tuple(name for name in shown if covers(entry.name, name))

    async def _listed(self, target: Target) -> tuple[str, ...]:
        source = (target.pool, target.models_head)
        known = self._known.get(source)
        if known is not None and monotonic() < known[0]:
            return known[1]
        # One question at a time per provider, and a caller that leaves does not cancel it.
        task = self._asking.get(source)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._ask(target, source))
            self._asking[source] = task
            task.add_done_callback(lambda _: self._asking.pop(source, None))
        return await asyncio.shield(task)

    async def _ask(self, target: Target, source: Source) -> tuple[str, ...]:
        ids: tuple[str, ...] = ()
        fresh = RETRY_SECONDS
        try:
            async with asyncio.timeout(PATIENCE):
                ids = await self._fetch(target)
            fresh = FRESH_SECONDS
        except (PorticoError, TimeoutError, ValueError, RecursionError) as error:
            log.warning("provider %s did not list its models: %s", target.label, error)
        self._known[source] = (monotonic() + fresh, ids)
        return ids

    async def _fetch(self, target: Target) -> tuple[str, ...]:
        client = self._client
        connection = target.pool.take() or await client.connect(target.pool)
        try:
            connection.send(
                target.models_head,
                b"",
                MAX_LISTING_BYTES,
                first_byte=PATIENCE,
                idle=PATIENCE,
                total=PATIENCE,
            )
            await connection.answer()
            if connection.status != 200 or not connection.complete:
                raise UpstreamProtocol(
                    f"it answered {connection.status}, or with more than {MAX_LISTING_BYTES} bytes"
                )
            listing = msgspec.json.decode(connection.take(), type=_Listing)
        finally:
            connection.release()
        # Gemini's OpenAI surface prefixes ids: https://ai.google.dev/gemini-api/docs/openai
        return tuple(row.id.removeprefix("models/") for row in listing.data[:MAX_LISTED])

    def _one(self, name: str, owner: str, anthropic: bool) -> OpenAIModel | AnthropicModel:
        return self._anthropic(name) if anthropic else self._openai(name, owner or "portico")

    def _openai(self, name: str, owner: str) -> OpenAIModel:
        return OpenAIModel(name, self._created, owner)

    def _anthropic(self, name: str) -> AnthropicModel:
        return AnthropicModel(name, name, "1970-01-01T00:00:00Z")
