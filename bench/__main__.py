"""Command line of the benchmark: runs the measures, prints as it goes, writes `results.md`.

Exit code 0 whatever the figures are, 2 when nginx or wrk is missing, 1 when something broke.
"""

import argparse
import os
import signal
import subprocess
import sys
from dataclasses import dataclass

from bench import (
    dialects,
    machine,
    memory,
    report,
    report_state,
    responses,
    servers,
    splice,
    start,
    state,
    stream,
    tables,
    translate,
    wire,
)
from bench.proc import Cpus, allow_open_files

MEASURES = ("splice", "stream", "memory", "start", "translate", "state")

METHOD = """\
One process of each kind: `portico serve` with one worker, API key check, metrics and access log on
(the log goes to a file), and nginx with one process, access log off, keep-alive on both sides. Both
have the same fake upstreams behind them; "direct" is the upstream without anything in between.
Rounds are interleaved (direct, nginx, gateway, direct, ...), so that noise hits all alike, and
ratios and differences are taken within a round. CPU is user + system time of the process tree from
`/proc/PID/stat`. {pinning}.

Whole answers: wrk, 1 thread, {connections} connections, a {body}-byte chat request, against an
nginx that returns a {answer}-byte chat answer. Where nginx is not busy the whole time, wrk and the
upstream are what limits its requests/s; CPU per request does not depend on that.

Streams: {streams} connections, each starting the next stream when one ends; the upstream writes
{events} events of about 240 bytes per stream, one chunk and one write each, {interval:g} ms apart,
every stream in its own rhythm. The client does not ask for usage, so the gateway asks the upstream
for it and takes the extra event out again; events are counted as the client receives them.

Translation: the same loads, with Responses requests to a gateway of its own, whose custom providers
speak Chat (as {chat}) and Messages (as {messages}).
nginx passes the same {ask}-byte request on to the same upstreams, whose answers have
{chat_answer} and {messages_answer} bytes. Streams are as above: {events} events of the provider,
beginning and end included, one in each write. CPU per event is per event that the provider sends.
There is no nginx beside them: their measure is what nginx needed for a whole request in the same
round. "Batched" is the same with {batch} events in each write. Large input: {pictures:,} bytes with
two images in data URLs over {large} connections; its CPU is all that the gateway does for a
request, sockets included.

Every whole answer was a 200 of the right length, every stream was compared byte for byte, and the
requests and tokens in the gateway's `/metrics` were compared with what the clients saw. What is
translated was read in full once; streams were then compared without their ids and times."""


STATE_METHOD = """\
`portico serve` with one worker, key check, metrics and access log on, and a SQLite file as it
writes it: each commit is on the disk (`synchronous=FULL`) before its answer is sent. Rounds with
and without `store: false` are interleaved. CPU is user + system time of all threads of the process
from `/proc/PID/stat`; what the kernel does for its disks on its own threads is nobody's. {pinning}.

Whole answers: wrk, 1 thread, {connections} connections, a {ask}-byte Responses request. The
provider that speaks Responses is an nginx that returns a {answer}-byte answer with ids of their own
in each, because an id that came before is not stored again; one that speaks Chat gets
what "Translation" is measured with. Streams: {streams} connections, {events} events of the
provider, {interval:g} ms apart. CPU is per stream, of which one response is stored.

Chains and the database are measured with the classes of the gateway's store: a chain from its
record to the input that a provider gets, and one response by its id. {postgres}The large
database is filled by SQL with rows of the same kind, and deleted when it was measured. Found over
HTTP: one connection, a plain Python client, whose own time is in the figure.

Every stored answer was asked for once in each lane and came back as it was sent. Answers, streams
and counts were checked as in the other measures."""


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    rounds: int
    seconds: float
    memory_rounds: int
    start_rounds: int
    rows: int


FULL = Effort(rounds=5, seconds=4, memory_rounds=3, start_rounds=7, rows=report_state.ROWS)
QUICK = Effort(rounds=3, seconds=1, memory_rounds=1, start_rounds=3, rows=100_000)


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument(
        "--only", action="append", choices=MEASURES, help="one measure (may be repeated)"
    )
    parser.add_argument(
        "--no-large", action="store_true", help="without the large database (gigabytes of disk)"
    )
    options = parser.parse_args()
    missing = servers.missing_tools()
    if missing:
        print(f"missing: {', '.join(missing)}; {servers.HOW_TO_GET}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that children are ended
    effort = QUICK if options.quick else FULL
    wanted = tuple(options.only or MEASURES)
    facts, load = machine.facts(), os.getloadavg()[0]
    for name, value in facts:
        print(f"{name:20} {value}")
    results = report.Results()
    pinning = Cpus().describe()
    print(f"{'pinning':20} {pinning}", flush=True)
    allow_open_files(16_384)
    try:
        with servers.Rig() as rig:
            if "splice" in wanted or "stream" in wanted:
                _traffic(rig, effort, wanted, results)
            if "memory" in wanted:
                results.memory = memory.measure(rig, effort.memory_rounds)
            if "start" in wanted:
                results.start = start.measure(rig, effort.start_rounds)
            if "translate" in wanted:
                results.translate = translate.measure(rig, effort.rounds, effort.seconds)
            if "state" in wanted:
                rows = 0 if options.no_large else effort.rows
                results.state = state.measure(rig, effort.rounds, effort.seconds, rows)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        print(f"\nthe benchmark could not go on: {error}", file=sys.stderr)
        return 1
    text = _document(facts, results, effort, pinning, options.quick, load)
    print("\n" + text[text.index("## ") :])
    path = servers.ROOT / _file(wanted, whole=not (options.quick or options.no_large))
    path.write_text(text)
    print(f"written to {path}")
    return 0


def _file(wanted: tuple[str, ...], *, whole: bool) -> str:
    """Where the report goes: runs that are not to be quoted leave the real ones alone."""
    if wanted == MEASURES:
        return "results.md"
    return "results-state.md" if wanted == ("state",) and whole else ".work/results.md"


def _traffic(
    rig: servers.Rig, effort: Effort, wanted: tuple[str, ...], results: report.Results
) -> None:
    whole_up = rig.whole_upstream()
    streamed_up, upstream = rig.streamed_upstream(stream.EVENTS, stream.INTERVAL)
    proxy, whole, streamed = rig.proxy(whole_up, streamed_up)
    gateway = rig.gateway(whole_up, streamed_up)
    gateway.ready()
    gateway.live()
    if "splice" in wanted:
        ports = {"direct": whole_up, "nginx": whole, "gateway": gateway.port}
        results.splice = splice.measure(rig, ports, proxy, gateway, effort.rounds, effort.seconds)
    if "stream" in wanted:
        ports = {"direct": streamed_up, "nginx": streamed, "gateway": gateway.port}
        results.stream = stream.measure(
            rig, ports, upstream, proxy, gateway, effort.rounds, effort.seconds
        )
    errors = gateway.child.err.read_text(errors="replace").strip()
    if errors:
        print(f"\nthe gateway's stderr:\n{errors[-2000:]}")
    for child in (gateway.child, proxy, upstream):
        rig.stop(child)


def _document(
    facts: list[tuple[str, str]],
    results: report.Results,
    effort: Effort,
    pinning: str,
    quick: bool,
    load: float,
) -> str:
    method = METHOD.format(
        pinning=pinning[0].upper() + pinning[1:],
        connections=splice.CONNECTIONS,
        body=len(wire.question(wire.MODEL, stream=False)),
        answer=len(wire.answer()),
        streams=stream.STREAMS,
        events=stream.EVENTS,
        interval=stream.INTERVAL * 1000,
        **dialects.MODELS,
        ask=len(dialects.question(dialects.MODELS["chat"], stream=False)),
        chat_answer=len(dialects.answer("chat")),
        messages_answer=len(dialects.answer("messages")),
        batch=dialects.BATCH,
        pictures=len(dialects.pictures(dialects.MODELS["chat"])),
        large=translate.CONNECTIONS,
    )
    wrong = report.problems(results)
    notes = report.cautions(results, load)
    parts = [
        "# Benchmark results",
        "Written by `make bench`; [README.md](README.md) says how to read it. Figures are "
        f"min / median / max: answers and streams over {effort.rounds} rounds of "
        f"{effort.seconds:g} s, memory over {effort.memory_rounds}, start over "
        f"{effort.start_rounds}" + (" (`--quick`: too short to quote)." if quick else "."),
        tables.table(["", ""], [[name, value] for name, value in facts]),
        "## Against the bounds",
        report.bounds_table(report.bounds(results)),
        "Decided by the median as measured; figures are rounded away from the good side.",
        "Answers and counts: all right."
        if not wrong
        else "**WRONG ANSWERS OR COUNTS, the figures mean nothing:**\n\n"
        + "\n".join(f"- {line}" for line in wrong),
    ]
    if notes:
        parts.append("Beware:\n\n" + "\n".join(f"- {line}" for line in notes))
    if results.splice is not None:
        ratios = [("CPU per request", "cpu_us"), ("requests/s", "rate"), ("p50", "p50")]
        parts += ["## Whole answers", report.splice_table(results.splice),
                  report.ratios_table(results.splice.rounds, [*ratios, ("p99", "p99")]),
                  f"{results.splice.requests:,} answers."]  # fmt: skip
    if results.stream is not None:
        parts += ["## Streams", report.stream_table(results.stream),
                  report.ratios_table(results.stream.rounds, [("CPU per event", "cpu_us")]),
                  f"{results.stream.streams:,} streams."]  # fmt: skip
    if results.memory is not None:
        parts += ["## Memory", report.memory_table(results.memory)]
    if results.start is not None:
        parts += ["## Start", report.start_table(results.start)]
    if results.translate is not None:
        parts += _translated(results.translate)
    if results.state is not None:
        parts += report_state.state_sections(results.state)
    methods = [method] if results != report.Results(state=results.state) else []
    if results.state is not None:
        methods.append(_state_method(pinning))
    return "\n\n".join([*parts, "## Method", *methods]) + "\n"


def _state_method(pinning: str) -> str:
    return STATE_METHOD.format(
        pinning=pinning[0].upper() + pinning[1:],
        connections=splice.CONNECTIONS,
        ask=len(dialects.question(dialects.MODELS["chat"], stream=False, store=True)),
        answer=len(responses.answer(0)),
        streams=state.CONNECTIONS,
        events=state.EVENTS,
        interval=state.INTERVAL * 1000,
        postgres=""
        if os.environ.get(state.POSTGRES)
        else f"PostgreSQL is measured where {state.POSTGRES} names one. ",
    )


def _translated(translated: translate.Translate) -> list[str]:
    received = ", ".join(
        f"{count} for {dialects.NAMES[name]}" for name, count in translated.received.items()
    )
    return [
        "## Translation",
        "Responses clients, providers that speak Chat or Messages. Whole answers:",
        report.translate_table(translated),
        f"Streams; for {stream.EVENTS} events of the provider a client gets {received}:",
        report.translate_streams_table(translated),
        "1 MiB with two images:",
        report.pictures_table(translated),
        f"{translated.requests:,} answers, {translated.streamed:,} streams.",
    ]


if __name__ == "__main__":
    sys.exit(main())
