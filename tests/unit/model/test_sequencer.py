"""One item at a time, whatever the upstream does."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.errors import UpstreamTruncated
from portico.model.events import (
    ArgumentsDelta,
    CallStart,
    Event,
    Failed,
    Finish,
    HostedDone,
    ItemEnd,
    MessageStart,
    Started,
    TextDelta,
    UsageSeen,
)
from portico.model.items import Hosted, Message, ToolCall
from portico.model.parts import Text
from portico.model.response import fold
from portico.model.sequence import MOST_ITEMS, Sequencer
from portico.model.usage import Usage


def run(events: list[Event]) -> list[Event]:
    return Sequencer().feed(copy.deepcopy(events))


def test_interleaved_calls_come_out_one_after_the_other() -> None:
    out = run([
        Started("r"),
        CallStart(0, "a", "f"), CallStart(1, "b", "g"),
        ArgumentsDelta(0, "{"), ArgumentsDelta(1, '{"x":1'), ArgumentsDelta(0, "}"),
        ArgumentsDelta(1, "}"), ItemEnd(1), ItemEnd(0),
        Finish("tool_calls"),
    ])  # fmt: skip
    assert [getattr(event, "key", None) for event in out] == [
        None, 0, 0, 0, 0, 1, 1, 1, 1, None,
    ]  # fmt: skip
    assert [(x.call_id, x.arguments) for x in fold(out).items if isinstance(x, ToolCall)] == [
        ("a", "{}"), ("b", '{"x":1}'),
    ]  # fmt: skip


def test_an_item_left_open_is_closed_before_the_end() -> None:
    out = run([Started(), MessageStart(0), TextDelta(0, "hi"), Finish("stop")])
    assert out[-2] == ItemEnd(0, "completed")


def test_an_item_cut_by_the_token_limit_is_incomplete_even_if_its_block_was_closed() -> None:
    out = run([
        Started(), CallStart(0, "a", "f"), ArgumentsDelta(0, '{"x'), ItemEnd(0), Finish("length"),
    ])  # fmt: skip
    assert out[-2] == ItemEnd(0, "incomplete")


def test_only_the_last_item_of_a_cut_answer_is_incomplete() -> None:
    out = run([
        Started(), MessageStart(0), TextDelta(0, "a"), ItemEnd(0),
        CallStart(1, "a", "f"), ItemEnd(1), Finish("length"),
    ])  # fmt: skip
    assert [event.status for event in out if isinstance(event, ItemEnd)] == [
        "completed", "incomplete",
    ]  # fmt: skip


def test_a_failure_leaves_what_was_whole_whole() -> None:
    fault = UpstreamTruncated("cut")
    out = run([
        Started(), MessageStart(0), TextDelta(0, "a"), ItemEnd(0), MessageStart(1),
        TextDelta(1, "b"), Failed(fault),
    ])  # fmt: skip
    assert [event.status for event in out if isinstance(event, ItemEnd)] == [
        "completed", "incomplete",
    ]  # fmt: skip


def test_nothing_follows_the_end() -> None:
    out = run([Started(), Finish("stop"), MessageStart(0), TextDelta(0, "late"), Finish("stop")])
    assert out == [Started(), Finish("stop")]


def test_a_second_start_is_not_told() -> None:
    sequencer = Sequencer()
    out = sequencer.feed([Started("a", "m"), Started("b", "n"), UsageSeen(Usage(output_text=1))])
    assert [type(event) for event in out] == [Started, UsageSeen]
    assert (sequencer.model, sequencer.usage) == ("m", Usage(output_text=1))


def test_hosted_items_wait_for_the_live_one() -> None:
    hosted = Hosted(type="web_search_call")
    out = run([
        Started(), MessageStart(0), TextDelta(0, "a"), HostedDone(1, hosted), TextDelta(0, "b"),
        ItemEnd(0), Finish("stop"),
    ])  # fmt: skip
    assert list(fold(out).items) == [
        Message("assistant", (Text("ab"),)), hosted,
    ]  # fmt: skip


ITEMS = st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=6)


@given(ITEMS, st.randoms(use_true_random=False))
def test_any_interleaving_gives_each_item_its_own_text(texts: list[str], random: object) -> None:
    queues: list[list[Event]] = [
        [MessageStart(key), *(TextDelta(key, letter) for letter in text), ItemEnd(key)]
        for key, text in enumerate(texts)
    ]
    events: list[Event] = [Started()]
    order: list[int] = []
    while any(queues):
        key = random.choice([k for k, queue in enumerate(queues) if queue])  # type: ignore[attr-defined]
        event = queues[key].pop(0)
        if isinstance(event, MessageStart):
            order.append(key)
        events.append(event)
    out = run([*events, Finish("stop")])
    told = [item.parts[0].text for item in fold(out).items]  # type: ignore[union-attr]
    assert told == [texts[key] for key in order]
    keys = [event.key for event in out if hasattr(event, "key")]
    assert keys == sorted(keys)


def test_thousands_of_items_that_wait_come_out_one_after_the_other() -> None:
    """All of them had ended while they waited: no recursion, no search for the next one."""
    many = 9_000
    starts: list[Event] = [CallStart(key, f"c{key}", "f") for key in range(many)]
    ends: list[Event] = [ItemEnd(key) for key in reversed(range(many))]
    out = Sequencer().feed([Started(), *starts, *ends, Finish("tool_calls")])
    assert [item.call_id for item in fold(out).items] == [  # type: ignore[union-attr]
        f"c{key}" for key in range(many)
    ]


@pytest.mark.parametrize("ended", [False, True], ids=["left open", "ended"])
def test_an_answer_of_too_many_items_has_failed(ended: bool) -> None:
    sequencer = Sequencer()
    out: list[Event] = []
    for key in range(MOST_ITEMS + 5):
        events: list[Event] = [CallStart(key, "c", "f"), *([ItemEnd(key)] if ended else [])]
        out += sequencer.feed(events)
    assert sequencer.done
    assert isinstance(out[-1], Failed)
    assert sum(isinstance(event, CallStart) for event in out) == MOST_ITEMS


def test_a_call_without_a_name_has_failed_and_one_without_an_id_gets_one() -> None:
    first = run([Started("r"), CallStart(0, "", "f"), ItemEnd(0), Finish("tool_calls")])
    other = run([Started("s"), CallStart(0, "", "f"), ItemEnd(0), Finish("tool_calls")])
    ids = [out[1].call_id for out in (first, other)]  # type: ignore[union-attr]
    assert all(ids)
    assert ids[0] != ids[1], "another answer, another id"
    failed = run([Started(), CallStart(0, "a", ""), ArgumentsDelta(0, "{}"), Finish("stop")])
    assert [type(event) for event in failed] == [Started, Failed]
