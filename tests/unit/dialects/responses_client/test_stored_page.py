"""Query strings ask for pages; pages follow each other without a gap."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.dialects.responses.stored_items import Item
from portico.dialects.responses.stored_page import (
    Page,
    list_object,
    paginate,
    read_page,
    read_stream,
)
from portico.errors import BadRequest


def items(count: int) -> list[Item]:
    return [Item(f"i{index}", b'{"id":"i%d"}' % index) for index in range(count)]


@pytest.mark.parametrize(
    ("query", "page"),
    [
        (b"", Page(20, "desc", None)),
        (b"limit=1&order=asc&after=msg_1", Page(1, "asc", "msg_1")),
        (b"limit=100&order=desc", Page(100, "desc", None)),
        (b"limit=&order=&after=", Page()),
        (b"limit=5&limit=7", Page(7)),
        (b"after=a%20b%2Fc", Page(after="a b/c")),
        (b"include=reasoning.encrypted_content&include[]=anything&include%5B%5D=x&z=1", Page()),
        (b"\xff=%ff&after=%ff", Page(after="\ufffd")),
    ],
)
def test_a_page_is_read(query: bytes, page: Page) -> None:
    assert read_page(query) == page


@pytest.mark.parametrize(
    ("query", "code", "param"),
    [
        (b"limit=0", "integer_below_min_value", "limit"),
        (b"limit=-3", "integer_below_min_value", "limit"),
        (b"limit=101", "integer_above_max_value", "limit"),
        (b"limit=ten", "invalid_type", "limit"),
        (b"limit=1.5", "invalid_type", "limit"),
        (b"limit=%D9%A3", "invalid_type", "limit"),
        (b"limit=" + b"9" * 5000, "invalid_type", "limit"),
        (b"order=up", "invalid_value", "order"),
        (b"&".join([b"a=1"] * 200), "invalid_value", None),
    ],
)
def test_a_page_that_cannot_be_is_refused(query: bytes, code: str, param: str | None) -> None:
    with pytest.raises(BadRequest) as caught:
        read_page(query)
    assert (caught.value.code, caught.value.param) == (code, param)
    assert param is None or f"'{param}'" in caught.value.message


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"", (False, None)),
        (b"stream=false", (False, None)),
        (b"stream=true", (True, None)),
        (b"stream=true&starting_after=0", (True, 0)),
        (b"starting_after=42&stream=true&include_obfuscation=false", (True, 42)),
        (b"starting_after=42", (False, None)),
        (b"starting_after=x&stream=false", (False, None)),
    ],
)
def test_a_stream_is_asked_for(query: bytes, expected: tuple[bool, int | None]) -> None:
    assert read_stream(query) == expected


@pytest.mark.parametrize(
    ("query", "code", "param"),
    [
        (b"stream=yes", "invalid_type", "stream"),
        (b"stream=true&starting_after=-1", "integer_below_min_value", "starting_after"),
        (b"stream=true&starting_after=x", "invalid_type", "starting_after"),
        (b"stream=true&starting_after=99999999999999999999", "invalid_type", "starting_after"),
    ],
)
def test_a_stream_that_cannot_be_is_refused(query: bytes, code: str, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_stream(query)
    assert (caught.value.code, caught.value.param) == (code, param)


@given(st.integers(0, 12), st.integers(1, 5), st.sampled_from(["asc", "desc"]))
def test_pages_follow_each_other_without_a_gap(count: int, limit: int, order: str) -> None:
    seen: list[str] = []
    after, more = None, True
    while more:
        page = Page(limit, "asc" if order == "asc" else "desc", after)
        found, more = paginate(items(count), page)
        assert len(found) == limit or not more
        seen += [item.id for item in found]
        after = seen[-1] if seen else None
    expected = [item.id for item in items(count)]
    assert seen == (expected if order == "asc" else expected[::-1])


def test_a_page_behind_an_unknown_item_is_refused() -> None:
    with pytest.raises(BadRequest) as caught:
        paginate(items(3), Page(after="nobody"))
    assert (caught.value.param, caught.value.code) == ("after", "invalid_value")


def test_a_list_says_where_it_begins_and_ends() -> None:
    assert json.loads(list_object(items(3), True)) == {
        "object": "list", "data": [{"id": "i0"}, {"id": "i1"}, {"id": "i2"}],
        "first_id": "i0", "last_id": "i2", "has_more": True,
    }  # fmt: skip
    assert json.loads(list_object([], False)) == {
        "object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False,
    }  # fmt: skip
