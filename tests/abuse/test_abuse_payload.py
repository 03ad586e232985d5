"""Bodies that are too deep, too large, too many, squeezed, doubled or absurd (D1 to D7)."""

import gzip
import json
import re
import time
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from tests.abuse.attackers import Exchange, crowd, exchange, post
from tests.abuse.harness import (
    LANES,
    MIB,
    SPLICE,
    Case,
    Heard,
    Lane,
    Stage,
    body,
    next_twenty,
    profiles,
)
from tests.abuse.oracles import check_readable
from tests.support.asks import PATHS

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def said(case: Case, lane: Lane, data: bytes, *lines: str, quiet: float = 10.0) -> Exchange:
    """Send a body as it is; its answer is in the case's books."""
    case.expect(1)
    raw = post(PATHS[lane.client], data, *lines)
    found = await exchange(case.gateway.port, raw, most=1, quiet=quiet)
    assert len(found.answers) == 1, (lane, data[:200], found)
    (answer,) = found.answers
    case.heard.append(Heard(lane, "", False, answer, found.seconds))
    check_readable(lane.client, False, answer)
    return found


def _with(lane: Lane, member: bytes) -> bytes:
    """A good request with one further member, as JSON text."""
    return json.dumps(body(lane, "", "", False, {})).encode()[:-1] + b"," + member + b"}"


def _turns(lane: Lane, member: bytes) -> bytes:
    """A request whose conversation is that JSON text."""
    name = b'"input"' if lane.client == "responses" else b'"messages"'
    more = b',"max_tokens":9' if lane.client == "messages" else b""
    return b'{"model":"%b",%b:%b%b}' % (lane.model.encode(), name, member, more)


def _cpu(case: Case) -> float:
    """Seconds of processor time that the gateway has used."""
    found = Path(f"/proc/{case.gateway.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(found[11]) + int(found[12])) / 100


_DEEP: dict[str, Callable[[int], bytes]] = {
    "arrays": lambda n: b"[" * n + b"]" * n,
    "objects": lambda n: b'{"a":' * n + b"1" + b"}" * n,
    "both": lambda n: b'[{"a":' * (n // 2) + b"1" + b"}]" * (n // 2),
    "arrays that never close": lambda n: b"[" * n,
    "arrays with leaves": lambda n: b"[[],1," * n + b"1" + b"]" * n,
    "strings of brackets around them": lambda n: b'["]]]",' * n + b"1" + b"]" * n,
}


async def _too_deep(case: Case, lane: Lane, name: str, text: bytes, times: int) -> float:
    """Seconds that the quickest refusal took."""
    taken = []
    for data in (_with(lane, b'"x_deep":' + text), _turns(lane, text)):
        for _ in range(times):
            found = await said(case, lane, data)
            assert found.statuses == [400], (lane, name, found)
            why = ["nests deeper", "more than 200000 values", *["valid JSON"] * ("never" in name)]
            assert any(each.encode() in found.answers[0].body for each in why), (name, found)
            taken.append(found.seconds)
    return min(taken)


@profiles
async def test_d1_what_is_too_deep_is_refused_at_once(stage: Stage, full: bool) -> None:
    depths = (129, 1_100, 100_000) if full else (129, 100_000)
    lanes = LANES if full else (SPLICE[0], LANES[4])
    slow = []
    # What a deep recursion touched of the stack stays resident: once, whatever follows.
    async with stage.case("D1 depth", full=full, spare=12 * MIB) as case:
        start = len(stage.provider.requests)
        for lane in lanes:
            for name, deep in _DEEP.items():
                for depth in depths:
                    seconds = await _too_deep(case, lane, name, deep(depth), 5 if full else 1)
                    if seconds > (0.02 if depth < 100_000 else 0.05):
                        slow.append((str(lane), name, depth, seconds))
        assert len(stage.provider.requests) == start
        fine = await said(case, SPLICE[0], _with(SPLICE[0], b'"x_deep":' + _DEEP["arrays"](127)))
        assert fine.statuses == [200], fine
        assert len(stage.provider.requests) == start + 1, "the limit itself is fine"
    print(f"D1: {case.probes}; over the line: {slow}")
    if full:
        assert not slow, slow


@profiles
async def test_d2_a_body_over_the_limit_is_not_held(stage: Stage, full: bool) -> None:
    """A length that is too large is refused before the body, chunks as soon as they are."""
    cap = 32 * MIB
    at_once = 4 if full else 1
    path = "/v1/chat/completions"
    told = post(path, b"").replace(b"content-length: 0", b"content-length: %d" % (cap + 1))
    chunked = post(path, b"").replace(b"content-length: 0", b"transfer-encoding: chunked")
    chunk = b"%x\r\n%b\r\n" % (MIB, b" " * MIB)
    async with stage.case("D2 32 MiB + 1", full=full) as case:
        before = stage.gateway.rss()
        case.expect(at_once)
        found = await crowd(at_once, lambda _: exchange(
            stage.gateway.port, told + b" " * (cap + 1), quiet=10.0))  # fmt: skip
        assert [each.statuses for each in found] == [[413]] * at_once, found
        announced = stage.gateway.peak() - before
        assert announced < 8 * MIB, f"{announced / MIB:.1f} MiB of what nobody wanted"
        case.expect(1)
        data = chunked + chunk * 32 + b"1\r\n \r\n0\r\n\r\n"
        last = await exchange(stage.gateway.port, data, quiet=10.0)
        assert last.statuses == [413], last
        held = stage.gateway.peak() - before
        del data
    print(f"D2: +{announced / MIB:.1f} MiB announced, +{held / MIB:.1f} MiB in chunks")
    assert held < 40 * MIB, f"{held / MIB:.1f} MiB"


async def _store_a_few(stage: Stage) -> None:
    """Let the database open the connections that it opens when it is busy."""
    data = json.dumps(body(SPLICE[1], "", "", False, {})).encode()
    raw = post(PATHS["responses"], data)
    await crowd(12, lambda _: exchange(stage.gateway.port, raw, most=1))


def _many(lane: Lane, full: bool) -> Iterable[tuple[str, bytes, tuple[int, ...]]]:
    """Name, body, and the statuses that are fine."""
    one = b'{"role":"user","content":"a"}'
    size = 10 * MIB if full else 3 * MIB
    many = 1_000_000 if full else 300_000
    yield "keys", _with(lane, b",".join(b'"k%d":1' % n for n in range(many))), (400,)
    members = b'"metadata":{' + b",".join(b'"k%d":1' % n for n in range(many)) + b"}"
    yield "keys inside", _with(lane, members), (400,)
    yield "messages", _turns(lane, b"[" + b",".join([one] * 100_000) + b"]"), (400,)
    yield "a string", _turns(lane, b'[{"role":"user","content":"' + b"a" * size + b'"}]'), (200,)
    yield (
        "escapes",
        _turns(lane, b'[{"role":"user","content":"' + b"\\u0061" * (size // 6) + b'"}]'),
        (200,),
    )
    yield (
        "quotes",
        _turns(lane, b'[{"role":"user","content":"' + b'\\"' * (size // 2) + b'"}]'),
        (200,),
    )
    yield "a name", _with(lane, b'"' + b"k" * size + b'":1'), (400,)
    yield "digits", _with(lane, b'"x":0.' + b"9" * size), (200, 400)
    yield "spaces", b" " * size + _with(lane, b'"x":1'), (200, 400)
    yield "commas", _with(lane, b'"x":[' + b"," * (size // 4) + b"]"), (400,)
    yield "equal names", _with(lane, b",".join([b'"x":1'] * many)), (200, 400)


@profiles
async def test_d3_many_and_large_things_cost_what_they_weigh(stage: Stage, full: bool) -> None:
    used: dict[str, float] = {}
    for lane in LANES if full else (SPLICE[0], LANES[3]):
        bodies = list(_many(lane, full))  # made before anybody looks at the clock
        await _store_a_few(stage)
        # What is stored passes through the database's page cache, which keeps what it took: about
        # 55 MiB after three inputs of 10 MiB, and no more after thirty.
        spare = (70 if lane.client == "responses" else 20) * MIB
        async with stage.case(f"D3 many {lane}", full=full, spare=spare) as case:
            before = stage.gateway.rss()
            for name, data, statuses in bodies:
                times = []
                for _ in range(3):
                    start = _cpu(case)
                    found = await said(case, lane, data, quiet=30.0)
                    times.append(_cpu(case) - start)
                    assert found.statuses[0] in statuses, (lane, name, found)
                    if times[-1] < 0.2:
                        break  # others share the processor's caches: only the best of three counts
                used[f"{lane} {name}"] = min(times)
                stage.provider.requests.clear()
            peak = stage.gateway.peak() - before
            if full:
                await next_twenty(case)
        print(f"D3 {lane}: peak +{peak / MIB:.0f} MiB, {case.probes}")
    worst = sorted(used.items(), key=lambda each: -each[1])[:6]
    print(f"D3: dearest {worst}")
    assert worst[0][1] <= (0.3 if full else 0.6), worst


def _bombs(size: int) -> dict[str, tuple[str, bytes, tuple[int, ...]]]:
    """Name -> coding, body, and the statuses that are fine."""
    zeros = gzip.compress(b" " * size, 1)
    good = gzip.compress(json.dumps(body(SPLICE[0], "", "", False, {})).encode())
    deflate = zlib.compress(b" " * MIB)
    return {
        "a bomb": ("gzip", zeros, (413,)),
        "a small bomb": ("gzip", gzip.compress(b" " * MIB), (413,)),
        "a bomb of bombs": ("gzip", gzip.compress(zeros), (400, 413)),
        "twice": ("gzip, gzip", gzip.compress(good), (415,)),
        "x-gzip bomb": ("x-gzip", zeros, (413,)),
        "GZIP bomb": ("GZIP", zeros, (413,)),
        "deflate": ("deflate", deflate, (415,)),
        "br": ("br", b"\xcf\xff\xff\x7f\xf8\x27\x00\xe2", (415,)),
        "zstd": ("zstd", b"\x28\xb5\x2f\xfd\x00\x58", (415,)),
        "chunked": ("chunked", good, (415,)),
        "identity, gzip": ("identity, gzip", good, (415,)),
        "a list with a hole": ("gzip,", good, (415,)),
        "nothing": ("", good, (400, 415)),
        "no gzip": ("gzip", b"hello", (400,)),
        "cut": ("gzip", good[:-5], (400,)),
        "bad sum": ("gzip", good[:-8] + b"\x00" * 8, (400,)),
        "two members": ("gzip", good + good, (400,)),
        "trailing": ("gzip", good + b"{}", (400,)),
        "an endless name": ("gzip", b"\x1f\x8b\x08\x08" + b"\x00" * 6 + b"a" * MIB, (400,)),
        "good": ("gzip", good, (200,)),
    }


@profiles
async def test_d4_squeezed_bodies_do_not_grow_in_here(stage: Stage, full: bool) -> None:
    at_once = 8 if full else 2
    bombs = _bombs((256 if full else 64) * MIB)
    async with stage.case("D4 bombs", full=full) as case:
        before, start = stage.gateway.rss(), len(stage.provider.requests)
        for name, (coding, data, statuses) in bombs.items():
            line = f"content-encoding: {coding}"
            for found in await crowd(at_once, lambda _, d=data, c=line: said(  # type: ignore[misc]
                    case, SPLICE[0], d, c)):  # fmt: skip
                assert found.statuses[0] in statuses, (name, found)
        peak = stage.gateway.peak() - before
        assert len(stage.provider.requests) - start == at_once
        assert all(b"gzip" not in each.raw for each in stage.provider.requests[start:])
    print(f"D4: peak +{peak / MIB:.1f} MiB; {case.probes}")
    assert peak <= 64 * MIB, f"{peak / MIB:.1f} MiB"  # the cap, in a buffer that doubles


_BOUNDARIES = (
    "", "boundary", 'boundary=""', "boundary=a", f"boundary={'b' * 71}", f"boundary={'b' * 5000}",
    "boundary=a; boundary=b", 'boundary="a\\"b"', "boundary=-", f"boundary={'-' * 60}",
    "boundary=a; charset=utf-16", "boundary*=utf-8''%61", "charset=rot13; boundary=a",
)  # fmt: skip


def _forms(number: int) -> bytes:
    part = b'--a\r\nContent-Disposition: form-data; name="file"; filename="%b"\r\n\r\nx\r\n'
    names = (b"../../etc/passwd", b"..\\..\\x", b"a\x00b", b"/dev/stdin", b"C:\\x")
    return (
        part % names[number % 5] * 10_000 + b"--a--\r\n",
        part % b"x" + b"--a" + b"-" * 100_000,
        b"-" * 1_000_000,
        b"--a\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" * 1000,
    )[number % 4]


@profiles
async def test_d7_forms_are_not_read_anywhere(stage: Stage, full: bool) -> None:
    """No endpoint takes one, so none costs more than being told so."""
    async with stage.case("D7 forms", full=full) as case:
        start, before = len(stage.provider.requests), time.perf_counter()
        cpu = _cpu(case)
        for lane in SPLICE if full else SPLICE[:1]:
            for number, boundary in enumerate(_BOUNDARIES * (4 if full else 1)):
                case.expect(1)
                kind = f"multipart/form-data; {boundary}".encode()
                raw = post(PATHS[lane.client], _forms(number))
                raw = raw.replace(b"application/json", kind, 1)
                found = await exchange(case.gateway.port, raw, most=1, quiet=10.0)
                assert found.statuses == [400], (boundary, found)
        used = _cpu(case) - cpu
        assert len(stage.provider.requests) == start
    print(f"D7: {used:.2f} s of processor in {time.perf_counter() - before:.1f} s")
    assert used < (5.0 if full else 2.0)


_NUMBERS = (
    "9223372036854775807", "9223372036854775808", "18446744073709551616", "1e309", "1e999",
    "-1e999", "-0.0", "-0", "1e-999", "0.1e1", "1E400", "1000000000000", "-1", "0", "1.5",
    "9" * 400, "0." + "1" * 400, "1e" + "9" * 30, "NaN", "Infinity", "-Infinity", "1_000", "0x10",
    "01", "+1", ".5", "5.", '"5"', "true", "[]", "{}", "null",
)  # fmt: skip
_NUMERIC = {
    "chat": ("max_tokens", "max_completion_tokens", "n", "temperature", "top_p", "seed",
             "top_logprobs", "presence_penalty", "x_unknown"),
    "responses": ("max_output_tokens", "temperature", "top_p", "top_logprobs", "max_tool_calls",
                  "x_unknown"),
    "messages": ("max_tokens", "temperature", "top_p", "top_k", "x_unknown"),
}  # fmt: skip
_NO_JSON = ("NaN", "Infinity", "-Infinity", "1_000", "0x10", "01", "+1", ".5", "5.")


@profiles
async def test_d6_absurd_numbers_break_nothing(stage: Stage, full: bool) -> None:
    """No 5xx for any of them, exact digits where the bytes are the client's, and no number that
    is none."""
    plan = [
        (lane, member, text)
        for lane in LANES for member in _NUMERIC[lane.client] for text in _NUMBERS
    ]  # fmt: skip
    if not full:
        plan = plan[::7]
    stage.provider.requests.clear()
    async with stage.case("D6 numbers", full=full) as case:

        async def one(number: int) -> str:
            lane, member, text = plan[number]
            base = body(lane, "", f"number {number}.", False, {})
            base.pop(member, None)
            data = json.dumps(base).encode()[:-1] + f',"{member}": {text}}}'.encode()
            (status,) = (await said(case, lane, data)).statuses
            if text in _NO_JSON:
                return "" if status == 400 else f"{lane} {member} {text}: {status}"
            return "" if status in (200, 400) else f"{lane} {member} {text}: {status}"

        wrong = [each for each in await crowd(len(plan), one, 16) if each]
        assert not wrong, "\n".join(wrong)
    seen = [each.body.decode() for each in stage.provider.requests]
    for text in seen:
        json.loads(text, parse_constant=_no_constant)
    digits = {found for text in seen for found in re.findall(r'"x_unknown": ?([^,}]+)', text)}
    if full:  # digit by digit
        assert set(_NUMBERS) - set(_NO_JSON) - digits <= {"{}"}, digits


def _no_constant(text: str) -> None:
    raise AssertionError(f"{text} is no JSON")
