from bench import report, report_state
from bench.splice import Round
from bench.state import State, Times, Touched
from bench.stats import Bound
from bench.stream import Round as StreamRound


def whole(rate: float, cpu_us: float) -> Round:
    return Round(rate=rate, cpu_us=cpu_us, busy=1.0, p50=1.0, p99=2.0)


def streamed(cpu_us: float) -> StreamRound:
    return StreamRound(500, cpu_us, 0.2, 0.4, 1.0, 1.0, 3.0)


def measured() -> State:
    return State(
        where="ext4",
        whole={
            "splice store: false": [whole(15_000, 50), whole(14_000, 60)],
            "splice stored": [whole(6_000, 105), whole(7_000, 108)],
            "chat store: false": [whole(7_000, 100), whole(7_000, 120)],
            "chat stored": [whole(1_999, 150), whole(1_999, 190)],
        },
        streams={
            "splice store: false": [streamed(400)],
            "splice stored": [streamed(500)],
            "chat store: false": [streamed(700)],
            "chat stored": [streamed(900)],
        },
        touched=Touched(40_000, 0, 0, 12),
        chains={"SQLite": Times([1.9, 2.1], [2.5, 2.6])},
        chain_bytes=150_000,
        rows=report_state.ROWS,
        file_bytes=2_300_000_000,
        filled={"empty": [whole(4_000, 200)], "large": [whole(3_700, 210)]},
        found={"over HTTP": Times([0.3], [4.0]), "in the store": Times([0.1], [0.2])},
    )


def rows(state: State | None) -> dict[str, Bound]:
    return {bound.name: bound for bound in report.bounds(report.Results(state=state))[14:]}


def test_storing_is_compared_within_a_round() -> None:
    found = rows(measured())
    ratio = found["Responses to Responses: CPU per request, stored / not"]
    assert ratio.measured is not None
    assert (ratio.measured.low, ratio.measured.high) == (1.8, 2.1)
    assert ratio.verdict == "pass"


def test_a_rate_that_is_short_by_one_is_a_miss() -> None:
    found = rows(measured())
    assert found["Responses to Responses: stored responses"].verdict == "pass"
    assert found["Responses to Chat: stored responses"].verdict == "MISS"


def test_fewer_rows_do_not_count_as_a_million() -> None:
    given = measured()
    assert {bound.verdict for name, bound in rows(given).items() if "1,000,000" in name} == {"pass"}
    given.rows = 100_000
    few = [bound.verdict for name, bound in rows(given).items() if "1,000,000" in name]
    assert few == ["not measured"] * 3


def test_one_commit_for_what_is_not_stored_is_a_miss() -> None:
    given = measured()
    name = "`store: false`: of the database, files that changed and commits"
    assert rows(given)[name].verdict == "pass"
    given.touched += Touched(10_000, 0, 1, 1)
    assert rows(given)[name].verdict == "MISS"
    assert given.touched.requests == 50_000


def test_other_databases_have_a_bound_where_they_were_measured() -> None:
    given = measured()
    given.chains["PostgreSQL"] = Times([4.0], [6.0])
    assert rows(given)["a chain of 200 turns put together, PostgreSQL"].verdict == "pass"
    assert {bound.verdict for bound in rows(None).values()} == {"not measured"}


def test_a_database_in_memory_is_warned_of() -> None:
    given = measured()
    assert report.cautions(report.Results(state=given), 0.0) == []
    given.where = "tmpfs, fdatasync of 16 KiB p50 0.00 ms"
    assert len(report.cautions(report.Results(state=given), 0.0)) == 1


def test_what_was_wrong_with_storing_is_told() -> None:
    given = measured()
    given.problems.append("splice stored: asked for again it was 404")
    assert report.problems(report.Results(state=given)) == given.problems


def test_every_table_of_the_state_section_has_even_rows() -> None:
    sections = report_state.state_sections(measured())
    tables = [part for text in sections for part in text.split("\n\n") if part.startswith("|")]
    assert len(tables) == 8
    for text in tables:
        assert len({len(line) for line in text.splitlines()}) == 1
    assert any("40,000 requests with `store: false`: 0 files" in text for text in sections)
