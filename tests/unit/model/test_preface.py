"""A compaction told at the beginning of an answer, and what it cost."""

from portico.errors import UpstreamProtocol
from portico.model.events import (
    CompactionDone,
    Event,
    Failed,
    Finish,
    ItemEnd,
    MessageStart,
    Started,
    TextDelta,
    UsageSeen,
)
from portico.model.items import Compaction, Item, Message
from portico.model.outcome import Outcome
from portico.model.parts import Text
from portico.model.passes.compaction import complete, last_exchange, tell
from portico.model.passes.preface import Preface
from portico.model.response import fold
from portico.model.sequence import Sequencer
from portico.model.usage import Usage

ITEM = Compaction("so far")
COST = Usage(input_uncached=100, cache_read=10, output_text=5)


def answer(*, usage: bool) -> list[Event]:
    told: list[Event] = [UsageSeen(Usage(input_uncached=7, output_text=3))] if usage else []
    said: list[Event] = [MessageStart(0), TextDelta(0, "Hi"), ItemEnd(0)]
    return [Started("x", "m"), *said, *told, Finish("stop")]


def outcome() -> Outcome:
    return Outcome("req", "POST", "", 0.0)


def test_the_compaction_comes_before_the_answer_and_its_cost_is_added() -> None:
    response = fold(Sequencer().feed(Preface(ITEM, COST, None).feed(answer(usage=True))))
    assert response.items == (ITEM, Message("assistant", (Text("Hi"),)))
    assert response.usage == Usage(input_uncached=107, cache_read=10, output_text=8)


def test_an_answer_without_a_count_has_that_of_the_compaction_marked_as_an_estimate() -> None:
    response = fold(Sequencer().feed(Preface(ITEM, COST, None).feed(answer(usage=False))))
    assert response.usage is not None
    assert (response.usage.input_total, response.usage.estimated) == (110, True)


def test_it_is_told_once_however_the_events_come() -> None:
    preface = Preface(ITEM, COST, None)
    out = [event for each in answer(usage=True) for event in preface.feed([each])]
    assert [type(event) for event in out[:2]] == [Started, CompactionDone]
    assert sum(type(event) is CompactionDone for event in out) == 1


def test_a_failure_is_told_alone() -> None:
    out = Preface(ITEM, COST, None).feed([Failed(UpstreamProtocol("no"))])
    assert [type(event) for event in out] == [Failed]


def test_what_was_not_told_is_settled_once() -> None:
    record = outcome()
    preface = Preface(ITEM, COST, None)
    record.usage = Usage(input_uncached=1)
    preface.settle(record)
    preface.settle(record)
    assert record.usage == Usage(input_uncached=101, cache_read=10, output_text=5)


def test_what_was_told_is_not_counted_twice() -> None:
    record = outcome()
    preface = Preface(ITEM, COST, None)
    preface.feed(answer(usage=True))
    record.usage = Usage(input_uncached=107)
    preface.settle(record)
    assert record.usage == Usage(input_uncached=107)


def test_a_record_that_has_the_cost_already_is_left_alone() -> None:
    record = outcome()
    record.usage = COST
    Preface(ITEM, COST, None).settle(record)
    assert record.usage is COST


def test_without_summaries_the_items_are_the_same_object() -> None:
    items: tuple[Item, ...] = (Message("user", (Text("Hi"),)),)
    assert tell(items) is items


def test_a_complete_compaction_holds_the_last_exchange() -> None:
    items: list[Item] = [Message("developer", (Text("rule"),)), Message("user", (Text("Q?"),))]
    made = complete("so far", items)
    assert made.complete
    assert made.text.startswith("so far")
    assert made.text.endswith("user: Q?")
    assert "rule" not in made.text


def test_a_summary_alone_is_not_folded_again() -> None:
    said = Message("user", (Text("Q?"),))
    assert last_exchange([Compaction("s"), Message("system", (Text("r"),)), said]) == 0
    assert last_exchange([said, Message("assistant", (Text("A"),)), said]) == 2
