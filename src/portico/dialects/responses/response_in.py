"""A whole Responses answer as events, and how any answer of this API ends.

Source: OpenAI OpenAPI, `Response`; openai-python 3.54.
"""

import msgspec
from msgspec import Raw, Struct

from portico.dialects.counts import NULL, UNREADABLE, mapping, text
from portico.dialects.responses import maps
from portico.dialects.responses.item_in import ItemIn
from portico.dialects.responses.lens import usage_of
from portico.dialects.responses.upstream_errors import fault_of
from portico.dialects.translate import Upstream
from portico.errors import UpstreamProtocol, UpstreamTruncated
from portico.model.events import Event, Failed, Finish, Started, UsageSeen

FINAL = frozenset(("completed", "incomplete", "failed", "cancelled"))
"""Statuses that never change again."""


class ResponseIn(Struct, gc=False):
    """A response object; every member of whatever type it is."""

    id: Raw = NULL
    model: Raw = NULL
    status: Raw = NULL
    output: Raw = NULL
    usage: Raw = NULL
    error: Raw = NULL
    incomplete_details: Raw = NULL
    service_tier: Raw = NULL

    def items(self) -> list[Raw]:
        """The output items."""
        try:
            return _decode_array(self.output)
        except UNREADABLE:
            return []


class _Details(Struct, gc=False):
    reason: Raw = NULL


decode_response = msgspec.json.Decoder(ResponseIn).decode
_decode_array = msgspec.json.Decoder(list[Raw]).decode
_decode_details = msgspec.json.Decoder(_Details).decode


def read(body: bytes, upstream: Upstream) -> list[Event]:
    """The events of a whole answer. Raises `UpstreamProtocol` if it is none."""
    try:
        response = decode_response(body)
    except UNREADABLE:
        raise UpstreamProtocol("The provider's answer could not be read.") from None
    status = text(response.status)
    failed = bytes(response.error) != b"null"
    raws = response.items()
    if not status:
        status = "failed" if failed else "completed"
        if not failed and memoryview(response.output)[0] != ord("["):
            raise UpstreamProtocol("The provider's answer is not a response.")
    elif status not in FINAL:
        raise UpstreamProtocol(
            "The provider answered before it was done.", debug=f"status {status[:40]}"
        )
    out: list[Event] = [started(response)]
    called = False
    for key, raw in enumerate(raws):
        item = ItemIn(key, "", upstream.origin)
        item.done(raw, out)
        called |= item.called
    out.extend(ending(response, status, called=called))
    return out


def started(response: ResponseIn) -> Started:
    """What a response says of itself at its beginning."""
    return Started(text(response.id), text(response.model), _tier(response))


def ending(response: ResponseIn, status: str, *, called: bool) -> list[Event]:
    """Usage, and the end. `called`: there was a call of a client's tool."""
    out: list[Event] = []
    usage = usage_of(mapping(response.usage))
    if usage is not None:
        out.append(UsageSeen(usage))
    tier = _tier(response)
    if status == "failed":
        out.append(Failed(fault_of(bytes(response.error))))
    elif status == "cancelled":
        out.append(Failed(UpstreamTruncated("The provider cancelled the answer.")))
    elif status == "incomplete":
        reason = _reason(response.incomplete_details)
        out.append(Finish(maps.INCOMPLETE.get(reason, "length"), "", reason or status, tier))
    else:
        out.append(Finish("tool_calls" if called else "stop", "", status, tier))
    return out


def _tier(response: ResponseIn) -> str | None:
    """The tier that served it; `auto` is what was asked for."""
    tier = text(response.service_tier)
    return tier if tier not in ("", "auto") else None


def _reason(raw: Raw) -> str:
    try:
        return text(_decode_details(raw).reason)
    except UNREADABLE:
        return ""
