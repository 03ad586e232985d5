from bench import report
from bench.memory import Memory
from bench.splice import Round, Splice
from bench.start import Start
from bench.stream import Round as StreamRound
from bench.stream import Stream
from bench.translate import Translate


def whole(rate: float, cpu_us: float) -> Round:
    return Round(rate=rate, cpu_us=cpu_us, busy=1.0, p50=1.0, p99=2.0)


def streamed(cpu_us: float, p50: float) -> StreamRound:
    return StreamRound(10_000, cpu_us, 0.2, 0.4, 1.0, p50, p50 * 3)


SPLICE = Splice(
    {
        "direct": [whole(90_000, 0), whole(90_000, 0)],
        "nginx": [whole(60_000, 10), whole(50_000, 20)],
        "gateway": [whole(20_000, 25), whole(20_000, 70)],
    },
    [],
)
STREAM = Stream(
    {
        "direct": [streamed(0, 0.5)],
        "nginx": [streamed(10, 0.6)],
        "gateway": [streamed(20, 1.6)],
    },
    ["gateway: other bytes"],
)


def translated() -> Translate:
    return Translate(
        whole={
            "nginx chat": [whole(60_000, 10), whole(60_000, 20)],
            "gateway chat": [whole(9_000, 79), whole(9_000, 162)],
            "nginx messages": [whole(60_000, 10), whole(60_000, 20)],
            "gateway messages": [whole(9_000, 81), whole(9_000, 158)],
        },
        streams={
            "chat": [streamed(19, 1.0), streamed(42, 1.0)],
            "chat batched": [streamed(9, 1.0), streamed(9, 1.0)],
            "messages": [streamed(19, 1.0), streamed(38, 1.0)],
            "messages batched": [streamed(9, 1.0), streamed(9, 1.0)],
        },
        pictures={"gateway chat": [whole(200, 14_000)], "gateway messages": [whole(100, 15_001)]},
        received={"chat": 106, "messages": 103},
    )


def test_ratios_are_of_the_same_round() -> None:
    first = report.bounds(report.Results(splice=SPLICE))[0]
    assert first.measured is not None
    assert (first.measured.low, first.measured.high) == (2.5, 3.5)


def test_nothing_measured_is_nothing_passed() -> None:
    verdicts = {bound.verdict for bound in report.bounds(report.Results())}
    assert verdicts == {"not measured"}


def test_fewer_streams_do_not_count_as_five_thousand() -> None:
    small = Memory(streams=900, full=[50.0], idle=[40.0])
    rows = {bound.name: bound.verdict for bound in report.bounds(report.Results(memory=small))}
    assert rows["5,000 open streams: resident memory"] == "not measured"
    assert rows["idle: resident memory"] == "pass"


def test_added_time_is_against_direct() -> None:
    rows = report.bounds(report.Results(stream=STREAM))
    added = next(row for row in rows if "first event" in row.name)
    assert added.measured is not None
    assert added.shown(added.measured.middle) == "1.100"
    assert added.verdict == "MISS"


def test_translation_is_measured_against_nginx_of_the_same_round() -> None:
    rows = report.bounds(report.Results(translate=translated()))[8:14]
    assert [(row.limit, row.unit) for row in rows[::2]] == [(8.0, "x"), (2.0, "x"), (15.0, "ms")]
    spreads = [row.measured for row in rows]
    assert spreads[0] is not None
    assert (spreads[0].low, spreads[0].high) == (7.9, 8.1)
    assert spreads[2] is not None
    assert (spreads[2].low, spreads[2].high) == (1.9, 2.1)  # an event over a whole request


def test_translation_misses_by_a_hair() -> None:
    rows = report.bounds(report.Results(translate=translated()))[8:14]
    assert [row.verdict for row in rows] == ["pass", "pass", "pass", "pass", "pass", "MISS"]
    measured = rows[-1].measured
    assert measured is not None
    assert rows[-1].shown(measured.middle) == "15.01"


def test_a_translated_stream_that_broke_off_is_not_measured() -> None:
    given = translated()
    given.streams["messages"].pop()
    verdicts = [row.verdict for row in report.bounds(report.Results(translate=given))[8:14]]
    assert verdicts == ["pass", "pass", "pass", "not measured", "pass", "MISS"]


def test_what_was_wrong_with_translation_is_told() -> None:
    given = translated()
    given.problems.append("gateway chat: answers are too short")
    assert report.problems(report.Results(translate=given)) == given.problems


def test_batches_may_arrive_glued_and_single_events_may_not() -> None:
    given = translated()
    glued = StreamRound(10_000, 5.0, 0.2, 0.4, 0.13, 1.0, 2.0)
    given.streams["chat batched"] = [glued, glued]
    assert report.cautions(report.Results(translate=given), 0.0) == []
    given.streams["chat"] = [glued, glued]
    (note,) = report.cautions(report.Results(translate=given), 0.0)
    assert note.startswith("Translated streams, chat: in 2 of 2 rounds")


def test_every_table_has_even_rows() -> None:
    results = report.Results(SPLICE, STREAM, Memory(full=[1.0], idle=[1.0]), Start())
    tables = [
        report.pictures_table(translated()),
        *report.translate_table(translated()).split("\n\n"),
        *report.translate_streams_table(translated()).split("\n\n"),
        report.bounds_table(report.bounds(results)),
        report.splice_table(SPLICE),
        report.ratios_table(SPLICE.rounds, [("CPU", "cpu_us")]),
        report.memory_table(Memory(full=[1.0], idle=[1.0])),
        report.start_table(Start(package=[1.0])),
    ]
    for text in tables:
        assert len({len(line) for line in text.splitlines()}) == 1
    assert report.problems(results) == ["gateway: other bytes"]


def test_what_was_disturbed_says_so() -> None:
    glued = StreamRound(10_000, 5.0, 0.2, 0.9, 0.5, 1.0, 2.0)
    rounds = {**STREAM.rounds, "gateway": [glued]}
    notes = report.cautions(report.Results(stream=Stream(rounds, [])), 1.7)
    assert [note.split()[0] for note in notes] == ["The", "Streams,", "Streams:"]
    assert report.cautions(report.Results(stream=STREAM), 0.1) == []


def test_an_idle_nginx_flatters_and_is_named() -> None:
    idle = [Round(rate=50_000, cpu_us=10, busy=0.5, p50=1.0, p99=2.0)] * 2
    notes = report.cautions(
        report.Results(splice=Splice({**SPLICE.rounds, "nginx": idle}, [])), 0.0
    )
    assert "busy 50%" in notes[0]
    assert report.cautions(report.Results(splice=SPLICE), 0.0) == []
