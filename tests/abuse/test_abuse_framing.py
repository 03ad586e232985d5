"""What can be read in two ways is refused, end to end, whatever is hidden in it (C1 to C10)."""

import asyncio
from dataclasses import replace

import pytest
from tests.abuse.attackers import crowd, exchange
from tests.abuse.framing_vectors import ARMED, FURTHER, KEYED, MODEL, WAITING, refuse_all
from tests.abuse.harness import Case, Stage, next_twenty, profiles, served
from tests.abuse.official import check_error
from tests.faults.test_framing import LEGAL
from tests.faults.vectors import BODY, LENGTH, PATH, VECTORS, Vector, post
from tests.support.raw import RawClient

pytestmark = pytest.mark.asyncio(loop_scope="session")

_AT_ONCE = [vector for vector in ARMED if str(vector) not in WAITING]


async def test_there_are_enough_vectors_end_to_end_and_no_two_are_the_same() -> None:
    assert len(VECTORS) >= 150
    assert len(FURTHER) >= 100
    assert len({vector.raw for vector in ARMED}) == len(ARMED)
    assert len({str(vector) for vector in ARMED}) == len(ARMED)


def _asked(stage: Stage, start: int) -> int:
    """Requests that the provider has seen since."""
    return len(stage.provider.requests) - start


async def _works(case: Case) -> None:
    found = await exchange(case.gateway.port, KEYED, most=1)
    case.expect(1)
    assert found.statuses == [200], "the model that the vectors ask for is served"


@profiles
async def test_c1_to_c10_what_is_ambiguous_is_refused_and_no_provider_sees_it(
    stage: Stage, full: bool
) -> None:
    served_too = [served(MODEL, stage.provider.url, "chat")]
    vectors = ARMED if full else [*_AT_ONCE[: -len(FURTHER) : 4], *_AT_ONCE[-len(FURTHER) :]]
    async with stage.configured(served_too), stage.case("C1-C10 whole", full=full) as case:
        start = len(stage.provider.requests)
        wrong = await refuse_all(case, vectors)
        assert not wrong, "\n".join(wrong)
        assert _asked(stage, start) == 0
        for heard in case.heard[:: 1 if full else 9]:
            check_error("chat", heard.answer)
        await _works(case)
        assert _asked(stage, start) == 1
        if full:
            await next_twenty(case)


@profiles
async def test_c1_to_c10_the_same_in_slices(stage: Stage, full: bool) -> None:
    served_too = [served(MODEL, stage.provider.url, "chat")]
    vectors = _AT_ONCE if full else _AT_ONCE[::6]
    async with stage.configured(served_too), stage.case("C1-C10 in slices", full=full) as case:
        start = len(stage.provider.requests)
        wrong = await refuse_all(case, vectors, pieces=300 if full else 40)
        assert not wrong, "\n".join(wrong)
        assert _asked(stage, start) == 0


@profiles
async def test_c1_to_c10_the_same_behind_a_good_request(stage: Stage, full: bool) -> None:
    """On one connection: the first is answered, the second refused, a third never read."""
    served_too = [served(MODEL, stage.provider.url, "chat")]
    vectors = _AT_ONCE if full else _AT_ONCE[3::6]
    async with stage.configured(served_too), stage.case("C1-C10 pipelined", full=full) as case:
        start = len(stage.provider.requests)
        wrong = await refuse_all(case, vectors, first=KEYED)
        assert not wrong, "\n".join(wrong)
        assert _asked(stage, start) == len(vectors)
    assert {line["verdict"] for line in case.lines} == {"ok", "client_error"}


@profiles
async def test_c_a_refusal_is_told_in_the_words_of_the_dialect(stage: Stage, full: bool) -> None:
    """Where the path could be read at all."""
    paths = {"messages": b"/v1/messages", "responses": b"/v1/responses"}
    chosen = [each for each in _AT_ONCE if each.group in ("C5", "C10") and PATH in each.raw[:60]]
    async with stage.case("C in other dialects", full=full) as case:
        start = len(stage.provider.requests)
        for dialect, path in paths.items():
            moved = [
                replace(each, raw=each.raw.replace(PATH, path, 1))
                for each in (chosen if full else chosen[::5])
            ]
            before = len(case.heard)
            wrong = await refuse_all(case, moved)
            assert not wrong, "\n".join(wrong)
            for heard in case.heard[before:]:
                check_error(dialect, heard.answer)
        assert _asked(stage, start) == 0


@profiles
async def test_c_what_is_odd_but_legal_is_served_as_it_was_written(
    stage: Stage, full: bool
) -> None:
    async def one(number: int) -> str:
        name = list(LEGAL)[number]
        found = await exchange(stage.gateway.port, LEGAL[name], size=7 if full else None, most=1)
        return "" if found.statuses == [200] else f"{name}: {found}"

    served_too = [served(MODEL, stage.provider.url, "chat")]
    async with stage.configured(served_too), stage.case("C legal oddities", full=full) as case:
        start = len(stage.provider.requests)
        case.expect(len(LEGAL))
        wrong = [each for each in await crowd(len(LEGAL), one, 8) if each]
        assert not wrong, "\n".join(wrong)
        seen = stage.provider.requests[start:]
        assert {each.body for each in seen} == {BODY}
        assert len(seen) == len(LEGAL)


@profiles
async def test_c9_a_path_without_a_key_says_nothing_about_what_is_there(
    stage: Stage, full: bool
) -> None:
    """What is no path at all is a 400, whoever asks; everything else is a 401 for strangers."""
    known = [vector for vector in ARMED if vector.group == "C9"]

    async def one(number: int) -> tuple[int, bytes]:
        raw = b"\r\n".join(
            line for line in known[number].raw.split(b"\r\n") if b"Authorization" not in line
        )
        found = await exchange(stage.gateway.port, raw, most=1)
        body = found.answers[0].json()
        return found.statuses[0], body["error"]["message"]

    async with stage.case("C9 strangers", full=full) as case:
        case.expect(len(known) + 1)
        found = await crowd(len(known), one, 16)
        there = await exchange(stage.gateway.port, post(LENGTH, body=BODY).replace(
            b"Authorization: Bearer ", b"Authorization: Bearer no"), most=1)  # fmt: skip
    assert there.statuses == [401]
    refused = {status for status, _ in found}
    assert refused <= {400, 401}, refused
    assert len({message for status, message in found if status == 401}) == 1


async def _admin(port: int, vector: Vector) -> str:
    found = await exchange(port, vector.raw, most=3, quiet=1.0)
    for answer in found.answers:
        if answer.status < 400 or answer.status >= 500:
            return f"{vector}: {answer.status} {answer.body[:200]!r}"
    return ""


@profiles
async def test_c_the_admin_listener_serves_none_of_it(stage: Stage, full: bool) -> None:
    vectors = [each for each in _AT_ONCE if len(each.raw) < 20_000 and each.group != "C9"]
    chosen = vectors if full else vectors[::12]
    port = stage.gateway.admin
    async with stage.case("C at the admin listener", full=full, spare=10 << 20) as case:
        wrong = await crowd(len(chosen), lambda number: _admin(port, chosen[number]), 16)
        assert not any(wrong), [each for each in wrong if each]
        assert case.gateway.process.returncode is None


@profiles
async def test_c5_c8_floods_of_what_is_not_http_cost_nothing(stage: Stage, full: bool) -> None:
    """Endless lines, endless names, endless empty lines: each ends at its limit."""
    floods = {
        "a method": b"A" * (1 << 20),
        "a target": b"GET /" + b"a" * (1 << 20),
        "a name": b"GET / HTTP/1.1\r\n" + b"a" * (1 << 20),
        "a value": b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"a" * (1 << 20),
        "names": b"GET / HTTP/1.1\r\nhost: a\r\n" + b"a: b\r\n" * 200_000,
        "a version": b"GET / HTTP/" + b"1" * (1 << 20),
        "a chunk extension": post(b"Transfer-Encoding: chunked", body=b"1;" + b"a" * (1 << 20)),
        "zeros of a size": post(b"Transfer-Encoding: chunked", body=b"0" * (1 << 20)),
        "trailers": post(b"Transfer-Encoding: chunked", body=b"0\r\n" + b"a: b\r\n" * 200_000),
    }
    at_once = 20 if full else 2
    before = stage.gateway.rss()
    async with stage.case("C8 floods", full=full) as case:
        case.expect(at_once * len(floods))

        async def one(name: str) -> None:
            found = await exchange(stage.gateway.port, floods[name], quiet=5.0)
            assert len(found.answers) == 1, (name, found)
            assert found.statuses[0] in (400, 414, 431), (name, found.statuses)
            assert found.closed

        for _ in range(at_once):
            await asyncio.gather(*(one(name) for name in floods))
        peak = stage.gateway.peak() - before
    assert peak < 20 << 20, f"{peak >> 20} MiB"


async def test_c8_empty_lines_without_end_do_not_keep_a_connection_open(stage: Stage) -> None:
    async with stage.case("C8 empty lines") as case:
        case.expect(None)
        async with await RawClient.connect(stage.gateway.port) as client:
            sending = asyncio.ensure_future(client.send(b"\r\n" * 500_000))
            with pytest.raises((TimeoutError, AssertionError)):
                await client.response(4.0)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            assert client.eof, "it was closed"
