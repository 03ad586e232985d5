"""Leaving out the beginning of a conversation that does not fit."""

from collections.abc import Sequence

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from msgspec import structs

from portico.errors import BadRequest
from portico.model.estimate import estimate, item_tokens
from portico.model.items import Compaction, Item, Message, Reasoning, ToolCall, ToolResult
from portico.model.losses import Losses
from portico.model.parts import Text
from portico.model.passes.window import GONE, allowance, check, cuts, is_system, shorten
from portico.model.request import GenerateRequest


def ask(items: Sequence[Item], dialect: str = "responses", **more: object) -> GenerateRequest:
    return GenerateRequest(model="m", dialect=dialect, items=tuple(items), **more)  # type: ignore[arg-type]


def says(role: str, text: str = "word " * 40) -> Message:
    return Message(role, (Text(text),))  # type: ignore[arg-type]


def call(name: str) -> ToolCall:
    return ToolCall(name, "look", '{"where":"' + "x" * 90 + '"}')


def gave(name: str) -> ToolResult:
    return ToolResult(name, (Text("result " * 30),))


def left(request: GenerateRequest) -> list[Item]:
    return [item for item in request.items if item is not GONE]


EXCHANGE = [
    says("user"), Reasoning(content=("hm " * 40,)), call("a"), call("b"), gave("a"), gave("b"),
    says("assistant"),
]  # fmt: skip


# generated histories: parallel calls, late results, ids used again, everything in between

_PIECES = st.one_of(
    st.tuples(st.just("user"), st.integers(1, 200)),
    st.tuples(st.just("assistant"), st.integers(1, 200)),
    st.tuples(st.just("developer"), st.integers(1, 50)),
    st.tuples(st.just("reasoning"), st.integers(1, 200)),
    st.tuples(st.just("compaction"), st.integers(1, 100)),
    st.tuples(st.just("call"), st.integers(0, 4)),
    st.tuples(st.just("result"), st.integers(0, 4)),
)


def history(pieces: list[tuple[str, int]]) -> list[Item]:
    out: list[Item] = []
    waiting: list[str] = []
    for kind, number in pieces:
        if kind == "call":
            waiting.append(f"call{number}")
            out.append(call(waiting[-1]))
        elif kind == "result":
            if waiting:
                out.append(gave(waiting.pop(number % len(waiting))))
        elif kind == "reasoning":
            out.append(Reasoning(content=("hm " * number,)))
        elif kind == "compaction":
            out.append(Compaction("told " * number))
        else:
            out.append(says(kind, "w " * number))
    return [*out, *(gave(name) for name in waiting)]


HISTORIES = st.lists(_PIECES, max_size=40).map(history)


def orphans(items: Sequence[Item]) -> int:
    """Results without a call before them that is still waiting."""
    waiting: list[str] = []
    found = 0
    for item in items:
        if isinstance(item, ToolCall):
            waiting.append(item.call_id)
        elif isinstance(item, ToolResult):
            if item.call_id in waiting:
                waiting.remove(item.call_id)
            else:
                found += 1
    return found + len(waiting)


@settings(max_examples=400)
@given(HISTORIES, st.integers(1, 4000))
def test_what_is_left_is_whole_fits_and_is_left_alone_the_next_time(
    items: list[Item], window: int
) -> None:
    request = ask(items)
    losses: Losses = []
    try:
        short = shorten(request, window, losses)
    except BadRequest as refused:
        event(f"refused: {refused.code}")
        return
    assert orphans(left(short)) == orphans(items) == 0
    assert len(short.items) == len(items)
    assert estimate(short) <= window
    assert [item for item in items if is_system(item)] == [i for i in left(short) if is_system(i)]
    users = [item for item in items if isinstance(item, Message) and item.role == "user"]
    assert not users or any(item is users[-1] for item in short.items)
    assert len(losses) == (short is not request)
    assert shorten(short, window, []) is short
    if estimate(short) > window - allowance(request, window):
        found = cuts(left(short))
        pinned = sum(is_system(item) for item in left(short)[: found.last])
        compactions = sum(isinstance(item, Compaction) for item in left(short)[: found.last])
        assert pinned + compactions == found.last, "an exchange could still go"


@settings(max_examples=100)
@given(HISTORIES)
def test_a_history_that_fits_is_not_touched(items: list[Item]) -> None:
    request = ask(items)
    assert shorten(request, 1_000_000, []) is request


def test_the_oldest_exchanges_go_first_and_one_loss_says_how_many_items() -> None:
    request = ask(EXCHANGE * 4 + [says("user")])
    room = estimate(ask([*EXCHANGE, says("user")]))
    losses: Losses = []
    short = shorten(structs.replace(request, max_output_tokens=10), room + 10, losses)
    assert left(short) == [*EXCHANGE, says("user")]
    assert [(loss.path, loss.how, loss.reason) for loss in losses] == [
        ("input", "dropped", "the 21 oldest items were left out to fit the context")
    ]


def test_instructions_system_messages_and_the_summary_stay() -> None:
    items = [says("developer"), Compaction("what was"), *EXCHANGE, says("system"), says("user")]
    instructions = (Text("be brief"),)
    short = shorten(ask(items, instructions=instructions), 400, [])
    assert short.instructions == instructions
    assert left(short) == [says("developer"), Compaction("what was"), says("system"), says("user")]


def test_in_a_long_turn_of_an_agent_the_oldest_steps_go() -> None:
    steps: list[Item] = []
    for number in range(50):
        steps += [Reasoning(content=("hm",)), call(f"c{number}"), gave(f"c{number}")]
    short = shorten(ask([*EXCHANGE, says("user", "do it"), *steps]), 2000, [])
    kept = left(short)
    assert kept[0] == says("user", "do it")
    assert kept[1:] == steps[-len(kept) + 1 :]
    assert isinstance(kept[1], Reasoning)


@pytest.mark.parametrize(
    ("dialect", "param", "words"),
    [
        ("responses", "input", "exceeds the context window"),
        ("chat", "messages", "maximum context length is 1000 tokens"),
        ("messages", "messages", "prompt is too long"),
    ],
)
def test_a_last_turn_that_is_too_long_is_refused_in_the_clients_own_words(
    dialect: str, param: str, words: str
) -> None:
    request = ask([*EXCHANGE, says("user", "word " * 4000)], dialect)
    for refuse in (lambda: shorten(request, 1000, []), lambda: check(request, 1000)):
        with pytest.raises(BadRequest, match=words) as refused:
            refuse()
        assert (refused.value.code, refused.value.param) == ("context_length_exceeded", param)


def test_only_what_cannot_fit_by_any_count_is_refused_beforehand() -> None:
    request = ask([says("user", "word " * 4000)])
    tokens = estimate(request)
    check(request, round(tokens * 0.7))
    with pytest.raises(BadRequest):
        check(request, round(tokens * 0.5))


def test_a_wish_for_a_very_long_answer_does_not_cost_the_whole_history() -> None:
    request = ask([*EXCHANGE * 3, says("user")], max_output_tokens=100_000)
    assert shorten(request, estimate(request) * 3, []) is request


def test_a_long_history_is_cut_in_one_pass() -> None:
    looked = 0
    real = item_tokens

    def counted(item: Item) -> float:
        nonlocal looked
        looked += 1
        return real(item)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("portico.model.passes.window.item_tokens", counted)
        shorten(ask(EXCHANGE * 2000), 5000, [])
    assert looked == len(EXCHANGE) * 2000
