"""The load of the streamed measures: many streams at once, each checked byte for byte.

A bare epoll loop in its own process. Streams start spread over one stream's length, and each
connection starts the next when one ends. CPU time of the process under test is read here, at the
very ends of the window in which events are counted.

usage: python -m bench.sse_client, with a `Job` as JSON on stdin; answers with a `Result` on stdout.
With `hold` it opens every stream, says `open` on stdout once each had its first event, and waits
for all to end. `bench.stream` and `bench.memory` run it.
"""

import gc
import json
import select
import socket
import sys
from collections import Counter, deque
from dataclasses import asdict, dataclass, field
from time import monotonic, process_time

from bench import dialects, wire
from bench.proc import cpu_seconds

MOST_OPENING = 128
"""In `hold`, how many streams may wait for their first event."""
PATIENCE = 20.0


@dataclass
class Job:
    """What to do. Times in seconds; `pid` 0: nobody's CPU is read.

    With `says` the streams are Responses streams that say this text, which are to be stored if
    `store` says so, and have `[DONE]` at the end if `done` does; without `says` they are chat
    streams, relayed as they are.
    """

    port: int
    streams: int
    events: int
    length: float
    model: str = wire.STREAM_MODEL
    warmup: float = 1.0
    window: float = 4.0
    pid: int = 0
    upstream_pid: int = 0
    hold: bool = False
    says: str = ""
    store: bool = False
    done: bool = True


@dataclass
class Result:
    """What came of it. `first` are seconds from request to first event, within the window;
    `per_stream` is how many events a whole stream has."""

    seconds: float = 0.0
    events: int = 0
    reads: int = 0
    cpu: float = 0.0
    upstream_cpu: float = 0.0
    own_cpu: float = 0.0
    started: int = 0
    complete: int = 0
    per_stream: int = 0
    wrong: Counter[str] = field(default_factory=Counter)
    first: list[float] = field(default_factory=list)


class Stream:
    """One connection."""

    __slots__ = ("first", "parts", "sent", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sent = 0.0
        self.first = 0.0
        self.parts: list[bytes] = []


class Load:
    """The loop over all streams of a job."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.result = Result()
        if job.says:
            asked = dialects.question(job.model, stream=True, store=job.store)
            self._request = wire.post(asked, job.port, dialects.PATH)
            self._expected = b""  # the first stream is, once it was looked at closely
        else:
            self._request = wire.post(wire.question(job.model, stream=True), job.port)
            self._expected = b"".join(wire.events(job.events))
            self.result.per_stream = job.events
        self._poll = select.epoll()
        self._streams: dict[int, Stream] = {}
        self._counting = False
        self._ending = False
        self._waiting = 0

    def run(self) -> None:
        """Everything: warm up, count, let the streams end."""
        job, result = self._job, self.result
        begin = monotonic()
        starts = deque(begin + i * job.length / job.streams for i in range(job.streams))
        self._turn(begin + max(job.warmup, job.length), starts)
        cpu = self._cpu()
        self._counting, window = True, monotonic()
        self._turn(window + job.window, starts)
        self._counting, self._ending = False, True
        result.seconds = monotonic() - window
        result.cpu, result.upstream_cpu, result.own_cpu = (
            after - before for after, before in zip(self._cpu(), cpu, strict=True)
        )
        self._turn(monotonic() + PATIENCE + job.length, deque())
        self._give_up()

    def hold(self) -> None:
        """Open all, report, wait for their ends."""
        streams = self._job.streams
        deadline = monotonic() + PATIENCE * 3
        self._ending = True  # nobody starts a second stream
        while monotonic() < deadline and len(self.result.first) < streams:
            while self._waiting < MOST_OPENING and self.result.started < streams:
                self._open()
            self._poll_once(0.1)
        print("open", flush=True)
        self._turn(monotonic() + PATIENCE * 3, deque())
        self._give_up()

    def _turn(self, until: float, starts: deque[float]) -> None:
        while (now := monotonic()) < until:
            while starts and starts[0] <= now:
                starts.popleft()
                self._open()
            if self._ending and not self._streams:
                return
            self._poll_once(min(until, starts[0] if starts else until) - now)

    def _poll_once(self, wait: float) -> None:
        for fd, _ in self._poll.poll(max(wait, 0.0)):
            self._read(self._streams[fd])

    def _open(self) -> None:
        sock = socket.create_connection(("127.0.0.1", self._job.port), PATIENCE)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = Stream(sock)
        self._streams[sock.fileno()] = stream
        self._poll.register(sock, select.EPOLLIN)
        self._begin(stream)

    def _begin(self, stream: Stream) -> None:
        stream.first = 0.0
        stream.parts = []
        self.result.started += 1
        self._waiting += 1
        stream.sent = monotonic()
        try:
            stream.sock.send(self._request)
        except OSError:
            self._close(stream, "connection lost")

    def _read(self, stream: Stream) -> None:
        try:
            data = stream.sock.recv(262144)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close(stream, "cut off")
            return
        stream.parts.append(data)
        result = self.result
        if stream.first == 0.0:
            if b"data: " in data:
                self._first(stream)
            elif data.startswith(b"HTTP/1.1 ") and data[9:12] != b"200":
                self._close(stream, f"status {data[9:12].decode('latin-1')}")
                return
        if self._counting:
            result.reads += 1
            result.events += data.count(b"\n\n")
        if data.endswith(wire.LAST_CHUNK):
            self._ended(stream)

    def _first(self, stream: Stream) -> None:
        stream.first = monotonic()
        self._waiting -= 1
        if self._counting or self._job.hold:
            self.result.first.append(stream.first - stream.sent)

    def _ended(self, stream: Stream) -> None:
        message = wire.read_chunked(b"".join(stream.parts))
        if message is None or message.status != 200:
            self._close(stream, "not a whole answer")
            return
        why = self._wrong(message.body.replace(wire.KEEP_ALIVE, b""))
        if why:
            self._close(stream, why)
            return
        self.result.complete += 1
        if self._ending:
            self._close(stream, "")
        else:
            self._begin(stream)

    def _wrong(self, body: bytes) -> str:
        if self._job.says:
            body = dialects.same_for_all(body)
            if not self._expected:
                why = dialects.wrong_stream(body, self._job.says, self._job.done)
                if why:
                    return why
                self._expected = body
                self.result.per_stream = body.count(b"\n\n")
        return "" if body == self._expected else "other bytes"

    def _close(self, stream: Stream, why: str) -> None:
        del self._streams[stream.sock.fileno()]
        stream.sock.close()
        if stream.first == 0.0:
            self._waiting -= 1
        if why:
            self.result.wrong[why] += 1

    def _give_up(self) -> None:
        for stream in list(self._streams.values()):
            self._close(stream, "never ended")

    def _cpu(self) -> tuple[float, float, float]:
        job = self._job
        return (
            cpu_seconds(job.pid) if job.pid else 0.0,
            cpu_seconds(job.upstream_pid) if job.upstream_pid else 0.0,
            process_time(),
        )


def main() -> None:
    """Command line."""
    job = Job(**json.load(sys.stdin))
    load = Load(job)
    gc.freeze()
    gc.disable()
    (load.hold if job.hold else load.run)()
    print(json.dumps(asdict(load.result)))


if __name__ == "__main__":
    main()
