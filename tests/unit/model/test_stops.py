"""Stop sequences for targets that have none."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from portico.model.capabilities import Capabilities
from portico.model.events import (
    ArgumentsDelta,
    CallStart,
    Event,
    Finish,
    ItemEnd,
    MessageStart,
    Started,
    TextDelta,
    UsageSeen,
)
from portico.model.items import Message
from portico.model.losses import Losses
from portico.model.parts import Text
from portico.model.passes.fit import fit
from portico.model.passes.stops import Stops
from portico.model.request import GenerateRequest
from portico.model.response import GenerateResponse, fold
from portico.model.sequence import Sequencer
from portico.model.usage import Usage


def told(pieces: list[str], *sequences: str) -> GenerateResponse:
    events: list[Event] = [
        Started(), MessageStart(0), *(TextDelta(0, piece) for piece in pieces if piece),
        ItemEnd(0), UsageSeen(Usage(output_text=9)), Finish("stop"),
    ]  # fmt: skip
    return fold(Sequencer().feed(Stops(sequences).feed(events)))


def text(answer: GenerateResponse) -> str:
    return "".join(
        part.text for item in answer.items if isinstance(item, Message)
        for part in item.parts if isinstance(part, Text)
    )  # fmt: skip


@given(
    st.lists(st.text("abc", max_size=4), max_size=8),
    st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=3),
)
def test_the_text_ends_where_the_first_sequence_begins(
    pieces: list[str], sequences: list[str]
) -> None:
    whole = "".join(pieces)
    places = [whole.find(sequence) for sequence in sequences if sequence in whole]
    answer = told(pieces, *sequences)
    assert text(answer) == (whole[: min(places)] if places else whole)
    assert answer.finish.reason == ("stop_sequence" if places else "stop")
    if places:
        assert whole.startswith(answer.finish.detail, min(places))


def test_nothing_behind_the_cut_is_told_but_its_tokens_are() -> None:
    events: list[Event] = [
        Started(), MessageStart(0), TextDelta(0, "one END two"), ItemEnd(0),
        CallStart(1, "c", "f"), ArgumentsDelta(1, "{}"), ItemEnd(1),
        UsageSeen(Usage(output_text=9)), Finish("tool_calls"),
    ]  # fmt: skip
    answer = fold(Sequencer().feed(Stops(("END",)).feed(events)))
    assert answer.items == (Message("assistant", (Text("one "),)),)
    assert (answer.finish.reason, answer.finish.detail) == ("stop_sequence", "END")
    assert answer.usage == Usage(output_text=9)


def test_what_looked_like_a_sequence_is_told_when_it_is_none() -> None:
    out = Stops(("END",)).feed([MessageStart(0), TextDelta(0, "a E"), TextDelta(0, "N")])
    assert [event.text for event in out if isinstance(event, TextDelta)] == ["a "]
    assert text(told(["a E", "N"], "END")) == "a EN"


def test_a_longer_sequence_that_began_earlier_wins_however_the_text_is_cut() -> None:
    for pieces in (["bcc"], ["b", "c", "c"], ["bc", "c"]):
        answer = told(pieces, "c", "bcc")
        assert (text(answer), answer.finish.detail) == ("", "bcc")
    for pieces in (["bcd"], ["b", "c", "d"], ["bc"]):
        answer = told(pieces, "c", "bcc")
        assert (text(answer), answer.finish.detail) == ("b", "c")


def test_a_delta_that_is_told_whole_keeps_its_probabilities() -> None:
    delta = TextDelta(0, "abc", Raw(b"[1]"))
    assert Stops(("END",)).feed([delta]) == [delta]


def test_a_target_without_stop_gets_none_and_the_answer_is_cut() -> None:
    can = Capabilities(parameters=frozenset(), content=frozenset())
    losses: Losses = []
    request = GenerateRequest(model="m", dialect="chat", stop=("END",))
    fitted = fit(request, can, frozenset(), losses)
    assert fitted.request.stop == ()
    assert [(loss.path, loss.how) for loss in losses] == [("stop", "adapted")]
    assert fitted.restore is not None
    events: list[Event] = [Started(), MessageStart(0), TextDelta(0, "oneEND"), Finish("stop")]
    answer = fold(Sequencer().feed(fitted.restore.feed(events)))
    assert text(answer) == "one"


def test_only_what_does_not_fit_is_cut_by_the_gateway() -> None:
    can = Capabilities(parameters=frozenset(("stop",)), content=frozenset(), stop_most=1)
    request = GenerateRequest(model="m", dialect="chat", stop=("A", "B"))
    fitted = fit(request, can, frozenset(), [])
    assert fitted.request.stop == ("A",)
    assert fitted.restore is not None
    events: list[Event] = [Started(), MessageStart(0), TextDelta(0, "1A2B3"), Finish("stop")]
    assert text(fold(Sequencer().feed(fitted.restore.feed(events)))) == "1A2"
