"""Query strings of the endpoints that list and retrieve, and the lists they give.

Source: OpenAI OpenAPI, `listInputItems`, `getResponse`, `listConversationItems`, and
`ResponseItemList`; openai-python 3.54. `include` is accepted and changes nothing: a list always
gives all that is stored. Parameters nobody knows are ignored.
"""

import re
from typing import Literal
from urllib.parse import parse_qsl

from msgspec import Struct

from portico.dialects import checks
from portico.dialects.responses.stored_items import Item
from portico.errors import BadRequest
from portico.wire.json import quote

DEFAULT_LIMIT = 20
MAX_LIMIT = 100
ORDERS = ("asc", "desc")
MAX_FIELDS = 100
_INTEGER = re.compile(r"-?[0-9]{1,15}\Z").match
_FLAGS = {"true": True, "false": False, "": False}


class Page(Struct, frozen=True, gc=False):
    """Which part of a list is asked for: at most `limit` items behind the item `after`, counted in
    this order; None: from the start."""

    limit: int = DEFAULT_LIMIT
    order: Literal["asc", "desc"] = "desc"
    after: str | None = None


def read_page(query: bytes) -> Page:
    """The page that a raw query string asks for. Raises `BadRequest` naming the parameter."""
    given = _fields(query)
    limit = _integer("limit", given["limit"]) if given.get("limit") else DEFAULT_LIMIT
    checks.check_range("limit", limit, 1, MAX_LIMIT)
    order = given.get("order") or "desc"
    checks.check_choice("order", order, ORDERS)
    return Page(limit, "asc" if order == "asc" else "desc", given.get("after") or None)


def read_stream(query: bytes) -> tuple[bool, int | None]:
    """Whether the events of a response are asked for, and after which `sequence_number`. Raises
    `BadRequest`. Without `stream=true` the number means nothing and is not looked at."""
    given = _fields(query)
    stream = _FLAGS.get(given.get("stream", ""))
    if stream is None:
        raise BadRequest(
            "Invalid type for 'stream': expected a boolean, but got a string instead.",
            code="invalid_type",
            param="stream",
        )
    if not stream or not given.get("starting_after"):
        return stream, None
    number = _integer("starting_after", given["starting_after"])
    checks.check_range("starting_after", number, 0, None)
    return True, number


def paginate(items: list[Item], page: Page) -> tuple[list[Item], bool]:
    """The page of `items`, which are in the order they came to be in, and whether more follow.
    Raises `BadRequest` when none of them is `after`."""
    ordered = items if page.order == "asc" else items[::-1]
    start = 0
    if page.after is not None:
        start = 1 + next((i for i, item in enumerate(ordered) if item.id == page.after), -1)
        if not start:
            raise unknown_after(page.after)
    end = start + page.limit
    return ordered[start:end], end < len(ordered)


def unknown_after(after: str) -> BadRequest:
    """The error for an `after` that names no item of the list."""
    return BadRequest(
        f"Invalid 'after': no item with id '{after[:64]}' is in the list.",
        code="invalid_value",
        param="after",
    )


def list_object(items: list[Item], has_more: bool) -> bytes:
    """A page as the API gives it."""
    first, last = (quote(items[0].id), quote(items[-1].id)) if items else (b"null", b"null")
    return b'{"object":"list","data":[%b],"first_id":%b,"last_id":%b,"has_more":%b}' % (
        b",".join([item.body for item in items]),
        first,
        last,
        b"true" if has_more else b"false",
    )


def _fields(query: bytes) -> dict[str, str]:
    """The last value of each field."""
    try:
        pairs = parse_qsl(
            query.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_FIELDS
        )
    except ValueError:
        raise BadRequest(
            f"The query string has more than {MAX_FIELDS} fields.", code="invalid_value"
        ) from None
    return dict(pairs)


def _integer(name: str, text: str) -> int:
    if _INTEGER(text) is None:
        raise BadRequest(
            f"Invalid type for '{name}': expected an integer, but got a string instead.",
            code="invalid_type",
            param=name,
        )
    return int(text)
