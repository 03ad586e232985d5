"""Whatever a model answers, its stream obeys the grammar and folds to the whole answer."""

import json
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from openai.types.responses import Response
from tests.unit.dialects.responses_client import scenes
from tests.unit.dialects.responses_client.grammar import check

from portico.dialects.responses.response_out import respond
from portico.dialects.responses.stream_out import stream
from portico.errors import UpstreamRejected, UpstreamTruncated
from portico.model.events import (
    ArgumentsDelta,
    CallStart,
    CitationAdded,
    Event,
    Failed,
    Finish,
    HostedDone,
    ItemEnd,
    MessageStart,
    PartEnd,
    ReasoningStart,
    RefusalDelta,
    SealedSeen,
    Started,
    SummaryDelta,
    TextDelta,
    ThoughtDelta,
    UsageSeen,
)
from portico.model.items import Hit, Hosted
from portico.model.parts import Citation
from portico.model.response import fold
from portico.model.sealed import Sealed
from portico.model.sequence import Sequencer
from portico.model.usage import Usage

TEXT = st.text(min_size=1, max_size=12) | st.sampled_from(
    ['"', "\\", "%d", "%b%", "\n\n", "data: [DONE]", "\u2028", "event: error", "\U0001f600", "\0"]
)
LOGPROBS = st.none() | st.sampled_from(
    [
        Raw(b"[]"),
        scenes.LOGPROBS,
        Raw(b'[{"token":"b",\n"logprob":0,"bytes":[],"top_logprobs":[]}]'),
    ]
)
CITATIONS = st.builds(
    Citation,
    kind=st.sampled_from(["url", "file", "container_file", "file_path", "document"]),
    url=TEXT, title=TEXT, file_id=TEXT, filename=TEXT,
    start=st.none() | st.integers(0, 9), end=st.none() | st.integers(0, 9),
)  # fmt: skip
SEALED = st.builds(SealedSeen, st.just(0), st.builds(
    Sealed, TEXT, st.sampled_from(["signature", "encrypted"]), TEXT))  # fmt: skip
MESSAGE = st.lists(
    st.builds(TextDelta, st.just(0), TEXT, LOGPROBS)
    | st.builds(RefusalDelta, st.just(0), TEXT)
    | st.builds(CitationAdded, st.just(0), CITATIONS)
    | st.builds(PartEnd, st.just(0)),
    max_size=8,
)
REASONING = st.tuples(
    st.lists(
        st.builds(SummaryDelta, st.just(0), TEXT)
        | st.builds(ThoughtDelta, st.just(0), TEXT)
        | st.builds(PartEnd, st.just(0)),
        max_size=6,
    ),
    st.lists(SEALED, max_size=1),
).map(lambda both: [*both[0], *both[1]])
ARGUMENTS = st.lists(st.builds(ArgumentsDelta, st.just(0), TEXT), max_size=4)
HOSTED = st.builds(
    Hosted,
    type=st.sampled_from(
        ["web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call",
         "mcp_call", "mcp_list_tools", "mcp_approval_request", "web_fetch_call", "x:y"]
    ),
    status=st.sampled_from(["completed", "failed"]),
    name=TEXT, input=st.just("") | TEXT, output=st.just("") | TEXT,
    hits=st.lists(st.builds(Hit, TEXT, TEXT, TEXT), max_size=2).map(tuple),
)  # fmt: skip
ITEMS = (
    st.tuples(st.builds(MessageStart, st.just(0), st.sampled_from([None, "commentary"])), MESSAGE)
    | st.tuples(st.builds(ReasoningStart, st.just(0)), REASONING)
    | st.tuples(
        st.builds(CallStart, st.just(0), TEXT, TEXT, st.sampled_from(["function", "custom"]),
                  st.none() | TEXT),
        ARGUMENTS,
    )
    | st.tuples(st.builds(HostedDone, st.just(0), HOSTED), st.just([]))
)  # fmt: skip
USAGE = st.builds(
    Usage, input_uncached=st.integers(0, 9), cache_read=st.integers(0, 9),
    cache_write=st.integers(0, 9), output_text=st.integers(0, 9), reasoning=st.integers(0, 9),
)  # fmt: skip
FINISH = st.builds(
    Finish,
    st.sampled_from(
        ["stop", "stop_sequence", "tool_calls", "length", "content_filter", "refusal", "pause"]
    ),
    st.just("") | TEXT,
    st.just(""),
    st.sampled_from([None, "flex"]),
)
FIELDS: list[dict[str, Any]] = [
    {},
    {"metadata": {"%d": "\n"}, "instructions": "%b\n\n%d", "tools": [
        {"type": "function", "name": "f", "parameters": {"a": [1]}}]},
]  # fmt: skip


def answer(items: list[Any], used: Usage | None, finish: Finish) -> list[Event]:
    """One sequential stream of events, whole: fresh events, because a sequencer renumbers them."""
    events: list[Event] = [Started("up", "model", "default")]
    cut = finish.reason in ("length", "content_filter")
    for key, (start, body) in enumerate(items):
        events.extend(
            type(event)(key, *[getattr(event, name) for name in _rest(event)])
            for event in (start, *body)
        )
        if type(start) is not HostedDone:
            last = key == len(items) - 1
            events.append(ItemEnd(key, "incomplete" if cut and last else "completed"))
    if used is not None:
        events.append(UsageSeen(used))
    return [*events, finish]


def _rest(event: Any) -> tuple[str, ...]:
    return tuple(name for name in event.__struct_fields__ if name != "key")


ANSWERS = st.builds(answer, st.lists(ITEMS, max_size=5), st.none() | USAGE, FINISH)
CUTS = st.lists(st.integers(0, 60), max_size=6)


def batches(events: list[Event], cuts: list[int]) -> list[list[Event]]:
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < len(events)}), len(events)]
    return [events[start:end] for start, end in pairwise(edges)]


@settings(max_examples=300, deadline=None)
@given(events=ANSWERS, cuts=CUTS, fields=st.sampled_from(FIELDS))
def test_streams_obey_the_grammar_and_fold_to_the_answer(
    events: list[Event], cuts: list[int], fields: dict[str, Any]
) -> None:
    ask = scenes.asked(fields)
    writer = stream(ask)
    data = b"".join([writer.encode(batch) for batch in batches(events, cuts)])
    assert data == stream(scenes.asked(fields)).encode(events)
    last = check(scenes.payloads(data))
    assert json.loads(respond(fold(events), ask)) == last
    assert data.endswith(b"\n\ndata: [DONE]\n\n")
    if (last["incomplete_details"] or {}).get("reason") != "pause_turn":
        items = [item for item in last["output"] if ":" not in item["type"]]
        Response.model_validate({**last, "output": items})


@settings(max_examples=200, deadline=None)
@given(events=ANSWERS, at=st.integers(0, 60), declared=st.booleans())
def test_streams_that_fail_anywhere_are_closed_and_never_look_finished(
    events: list[Event], at: int, declared: bool
) -> None:
    writer = stream(scenes.asked())
    data = writer.encode(events[: min(at, len(events) - 1)])
    if declared:
        data += writer.encode([Failed(UpstreamRejected("It broke.", status=500))])
    else:
        data += writer.cut(UpstreamTruncated("It was cut."))
    assert check(scenes.payloads(data))["status"] == "failed"
    assert data.endswith(b"\n\ndata: [DONE]\n\n") is declared
    assert writer.encode(events) == b""
    assert writer.cut(UpstreamTruncated("It was cut.")) == b""


@settings(max_examples=150, deadline=None)
@given(
    items=st.lists(ITEMS, min_size=1, max_size=4),
    finish=FINISH,
    order=st.lists(st.integers(0, 3), max_size=40),
)
def test_items_that_interleave_upstream_come_out_one_by_one(
    items: list[Any], finish: Finish, order: list[int]
) -> None:
    queues = [answer([item], None, finish)[1:-1] for item in items]
    mixed: list[Event] = []
    for pick in [*order, *[0] * 60]:
        left = [queue for queue in queues if queue]
        if left:
            queue = left[pick % len(left)]
            event: Any = queue.pop(0)
            event.key = next(key for key, one in enumerate(queues) if one is queue)
            if type(event) is not ItemEnd:
                mixed.append(event)
    sequencer = Sequencer()
    writer = stream(scenes.asked())
    data = writer.encode(sequencer.feed([Started()]))
    for event in mixed:
        data += writer.encode(sequencer.feed([event]))
    data += writer.encode(sequencer.feed([finish]))
    assert len(check(scenes.payloads(data))["output"]) >= len(items)


EVENTS = st.one_of(
    MESSAGE.map(list), REASONING, ARGUMENTS,
    st.builds(lambda item: [item[0]], ITEMS), st.just([ItemEnd(0)]), st.just([Started()]),
).map(list)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(chaos=st.lists(EVENTS, max_size=12), finish=FINISH)
def test_events_in_no_order_at_all_still_make_a_stream(
    chaos: list[list[Event]], finish: Finish
) -> None:
    writer = stream(scenes.asked())
    data = b"".join([writer.encode(events) for events in chaos]) + writer.encode([finish])
    events = scenes.payloads(data)
    done = [event["item"]["id"] for event in events if event["type"].endswith("output_item.done")]
    added = [event["item"]["id"] for event in events if event["type"].endswith("item.added")]
    assert done == added == [item["id"] for item in events[-1]["response"]["output"]]
