"""A fake provider that streams: one chunk and one write per event, each stream in its own rhythm.

A bare epoll loop, because event loops round timers to a millisecond and would send the events of
many streams in bursts; here every stream has its own due times. In its own process.

usage: python -m bench.sse_upstream PORT EVENTS INTERVAL_MS [hold] [batch=N]
The path asked for decides whether Chat, Messages or Responses events come. With `hold`, a stream
stops after its first event until SIGUSR1 lets all of them finish; with `batch`, N events are one
write, and the writes are N times as far apart.
"""

import gc
import heapq
import os
import re
import select
import signal
import socket
import sys
from time import monotonic, time

from bench import dialects, responses, wire

_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"cache-control: no-cache\r\nx-request-id: req_bench\r\ntransfer-encoding: chunked\r\n\r\n"
)
_REFUSED = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
)
_MESSAGES = f"POST {dialects.PATHS['messages']} ".encode()
_RESPONSES = f"POST {dialects.PATH} ".encode()
_DIGITS = responses.DIGITS.encode()
_wants_usage = re.compile(rb'"include_usage"\s*:\s*true').search
_wants_stream = re.compile(rb'"stream"\s*:\s*true').search


class Peer:
    """One connection: it reads a request, then streams, then reads the next."""

    __slots__ = ("digits", "pieces", "received", "sock", "step")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received = b""
        self.pieces: list[bytes] = []
        self.step = 0
        self.digits = b""


class Upstream:
    """The loop. `hold` keeps every stream after its first event."""

    def __init__(self, port: int, count: int, interval: float, hold: bool, batch: int) -> None:
        *some, done = wire.events(count)
        self._plain = _pieces([*some, done], batch)
        self._with_usage = _pieces([*some, wire.USAGE_EVENT, done], batch)
        self._messages = _pieces(dialects.events("messages", count), batch)
        self._responses = _pieces(responses.events(count, int(time())), batch)
        self._interval = interval * batch
        self._hold = hold
        self._due: list[tuple[float, int, Peer]] = []
        self._held: list[Peer] = []
        self._count = 0
        self._peers: dict[int, Peer] = {}
        self._listener = socket.create_server(("127.0.0.1", port), backlog=4096)
        self._listener.setblocking(False)
        self._poll = select.epoll()
        self._poll.register(self._listener, select.EPOLLIN)

    def run(self) -> None:
        """Serve until killed."""
        signal.signal(signal.SIGUSR1, self._let_go)
        poll, due, listener = self._poll, self._due, self._listener.fileno()
        while True:
            now = monotonic()
            while due and due[0][0] <= now:
                at, _, peer = heapq.heappop(due)
                self._send_next(peer, at)
            # An epoll descriptor can be selected on, and select() takes microseconds.
            wait = max(0.0, due[0][0] - monotonic()) if due else 1.0
            if not select.select([poll], [], [], wait)[0]:
                continue
            for fd, _ in poll.poll(0):
                if fd == listener:
                    self._accept()
                else:
                    self._read(self._peers[fd])

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._peers[sock.fileno()] = Peer(sock)
            self._poll.register(sock, select.EPOLLIN)

    def _read(self, peer: Peer) -> None:
        try:
            data = peer.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close(peer)
            return
        peer.received += data
        head, found, body = peer.received.partition(b"\r\n\r\n")
        if not found or len(body) < wire.content_length(head):
            return
        peer.received = b""
        if peer.pieces or not _wants_stream(body):
            self._send(peer, _REFUSED)
            return
        peer.digits = b""
        if head.startswith(_MESSAGES):
            peer.pieces = self._messages
        elif head.startswith(_RESPONSES):
            peer.pieces = self._responses
            peer.digits = os.urandom(16).hex().encode()  # each has ids of its own
        else:
            peer.pieces = self._with_usage if _wants_usage(body) else self._plain
        peer.step = 0
        self._send(peer, _HEAD)
        self._send_next(peer, monotonic())

    def _send_next(self, peer: Peer, at: float) -> None:
        pieces, step = peer.pieces, peer.step
        if not pieces:
            return  # closed meanwhile
        peer.step = step + 1
        if step + 1 == len(pieces):
            peer.pieces = []
        elif self._hold:
            self._held.append(peer)
        else:
            self._count += 1
            heapq.heappush(self._due, (at + self._interval, self._count, peer))
        piece = pieces[step]
        self._send(peer, piece.replace(_DIGITS, peer.digits) if peer.digits else piece)

    def _send(self, peer: Peer, data: bytes) -> None:
        try:
            if peer.sock.send(data) == len(data):
                return
        except OSError:
            pass
        self._close(peer)  # a reader this far behind has failed; its client will say so

    def _close(self, peer: Peer) -> None:
        peer.pieces = []
        self._peers.pop(peer.sock.fileno(), None)
        peer.sock.close()

    def _let_go(self, *_: object) -> None:
        self._hold = False
        held, self._held = self._held, []
        now = monotonic()
        for at, peer in enumerate(held):
            self._count += 1
            heapq.heappush(self._due, (now + at * 0.0002, self._count, peer))


def _pieces(events: list[bytes], batch: int) -> list[bytes]:
    """What is written at once: whole chunks, the last with the end of the body."""
    *some, last = dialects.batched([wire.chunk(event) for event in events], batch)
    return [*some, last + wire.LAST_CHUNK]


def main() -> None:
    """Command line."""
    port, count, interval = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 1000
    batch = [int(word[6:]) for word in sys.argv[4:] if word.startswith("batch=")]
    upstream = Upstream(port, count, interval, "hold" in sys.argv[4:], batch[0] if batch else 1)
    gc.freeze()
    gc.disable()
    upstream.run()


if __name__ == "__main__":
    main()
