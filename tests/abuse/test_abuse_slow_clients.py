"""Clients that read slowly, not at all, or never finish a request (B2, B3, B4, B5)."""

import asyncio
import time

import pytest
from tests.abuse.attackers import connections, crowd, leave, loris, post, slow_readers
from tests.abuse.harness import LANES, MIB, SPLICE, Case, Lane, Stage, body, profiles
from tests.abuse.provider import Heard as Asked
from tests.abuse.speech import told
from tests.support.asks import PATHS
from tests.support.raw import RawClient
from tests.support.steps import Script, chunk, send

pytestmark = pytest.mark.asyncio(loop_scope="session")

KIB = 1024
_SMALL = 4 * KIB
"""Of a client's receive buffer: the kernel shall not take the stream for it."""


_READ = (*SPLICE, LANES[3])
"""Clients of Responses get the whole text again at the end: it is kept, and not counted here."""


def _fifty_mib(asked: Asked) -> Script:
    """As many frames as it takes, written as the gateway takes them."""
    text = asked.speech.opening[-1]
    piece = send(chunk(text * (16 * KIB // len(text))))
    return [*told(asked.speech.opening, end=False), [piece] * 3200, told(asked.speech.closing)[1:]]


async def _begun(case: Case, lane: Lane, number: int) -> RawClient:
    more = {"store": False} if lane.client == "responses" else {}  # half answers are stored, too
    words = f"slow {number}"
    client = await case.begin(lane, "50 MiB", words, stream=True, rcvbuf=_SMALL, **more)
    assert (await asyncio.wait_for(client.head(), 30)).status == 200
    return client


@profiles
async def test_b2_a_slow_reader_slows_its_provider_and_costs_no_memory(
    stage: Stage, full: bool
) -> None:
    readers, seconds = (200, 20.0) if full else (12, 0.8)
    stage.provider.plays["50 MiB"] = _fifty_mib
    patient = {
        "header": "30s",
        "write": "120s",
        "idle": "120s",
        "firstByte": "60s",
        "connect": "30s",
    }
    async with stage.configured(deadlines=patient):
        for number in range(2 if full else 1):  # the second time, what is left is a leak
            spare = 0 if number else 60 * MIB  # that malloc keeps for the next crowd
            before = stage.gateway.rss()
            async with stage.case("B2 slow readers", full=full, spare=spare) as case:
                more = await _crowd_reads(case, readers, seconds) - before
            print(f"B2: {readers} readers, +{more / MIB:.1f} MiB; {case.probes}")
            assert more <= max(60 * MIB * readers // 200, 8 * MIB), f"{more / MIB:.1f} MiB"
            assert {line["verdict"] for line in case.lines} == {"client_cancelled"}


async def _crowd_reads(case: Case, readers: int, seconds: float) -> int:
    """The most memory that the gateway had meanwhile."""
    clients = await crowd(
        readers, lambda number: _begun(case, _READ[number % len(_READ)], number), 20
    )
    await slow_readers(clients, KIB, seconds)
    assert case.stage.provider.busy == readers, "every stream is still on its way"
    most = case.gateway.peak()
    for number, client in enumerate(clients):
        leave(client, "rst" if number % 2 else "fin")
    return most


@profiles
async def test_b3_a_reader_that_stopped_is_cut_at_the_write_deadline(
    stage: Stage, full: bool
) -> None:
    limit, slack, times = (3.0, 1.0, 5) if full else (1.0, 1.5, 1)
    stage.provider.plays["50 MiB"] = _fifty_mib

    async def dead(lane: Lane, number: int) -> float:
        words = f"dead {lane} {number}"
        client = await case.begin(lane, "50 MiB", words, stream=True, rcvbuf=_SMALL)
        assert (await asyncio.wait_for(client.head(), 10)).status == 200
        start = time.perf_counter()
        async with asyncio.timeout(30):
            while words not in stage.provider.left:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        client.close()
        return stage.provider.left[words] - start

    async with (
        stage.configured(deadlines={"write": f"{limit}s", "idle": "30s"}),
        stage.case("B3 zero window", full=full) as case,
    ):
        took = await asyncio.gather(*(dead(lane, n) for lane in LANES for n in range(times)))
    print(f"B3: cut after {min(took):.2f} to {max(took):.2f} s; {case.probes}")
    assert limit * 0.6 <= min(took), "the clock of the test begins a little later"
    assert max(took) <= limit + slack
    assert case.grew("portico_limit_hits_total", limit="write") == len(took)
    assert {line["verdict"] for line in case.lines} == {"client_cancelled"}


@profiles
async def test_b4_b5_who_never_finishes_a_request_is_sent_away_and_no_provider_hears_of_it(
    stage: Stage, full: bool
) -> None:
    """Heads and bodies that trickle in, and bodies that stop half-way."""
    count, every, header, slack = (1000, 5.0, 10.0, 1.0) if full else (60, 0.3, 1.0, 1.5)
    whole = post(PATHS["chat"], body(SPLICE[0], "well", "x" * 2000, False, {}))
    head = whole.index(b"\r\n\r\n")
    asked = len(stage.provider.requests)
    port = stage.gateway.port

    async def slow_head(number: int) -> tuple[bytes, float]:
        case.expect(1)
        return await loris(port, whole[:head], first=10 + number % (head - 20), every=every)

    async def slow_body(number: int) -> tuple[bytes, float]:
        case.expect(1)
        return await loris(port, whole, first=head + 4 + number % 30 * 50, every=every)

    async def half_body(number: int) -> tuple[bytes, float]:
        case.expect(1)
        return await loris(port, whole[: head + 4 + 1000 + number], first=10**6, every=every)

    seconds = {"header": f"{header}s"}
    async with (
        stage.configured(deadlines=seconds),
        stage.case("B4 B5 slow heads and bodies", full=full, spare=20 * MIB) as case,
    ):
        heads, *bodies = await asyncio.gather(
            crowd(count, slow_head), crowd(count // 10, slow_body), crowd(count // 10, half_body)
        )
        silent = await connections(port, 5)
        case.keep(silent)
        took = await asyncio.gather(*(client.closed(header + slack + 1.0) for client in silent))
        assert min(took) >= header * 0.6
    for data, spent in heads:
        assert data == b"" or data.startswith(b"HTTP/1.1 408 "), data[:80]
        assert header - 1.0 <= spent <= header + slack, spent
    for data, spent in (each for some in bodies for each in some):
        assert data.startswith(b"HTTP/1.1 408 "), data[:80]
        assert spent <= 1.5 + slack, spent
    print(f"B4 B5: {count} heads, {sum(map(len, bodies))} bodies; {case.probes}")
    assert len(stage.provider.requests) == asked, "no provider was asked for half a request"
