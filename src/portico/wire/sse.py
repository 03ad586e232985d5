"""Server-sent events as bytes: split into frames, decode, encode. Pure.

A frame is what ends with a blank line. Lines end with LF, CR or CRLF, and with nothing else:
U+2028 or U+0085 inside JSON text is not a line end. Source: WHATWG HTML, section 9.2.
"""

import re

from msgspec import Struct

from portico.errors import UpstreamProtocol

KEEP_ALIVE = b": keep-alive\n\n"
BOM = b"\xef\xbb\xbf"

SHORTEST_DATA = len(b"data:{}\n\n") - 2
"""No shorter frame can carry data; blank lines and bare comments come in any number."""

_LINE_END = re.compile(rb"\r\n|\n|\r")
_FRAME = re.compile(rb"(?:[^\r\n]+(?>\r\n|\n|\r))*+(?>\r\n|\n|\r)")
_BLANK_LF = (b"\n\n",)
_BLANK = (b"\n\n", b"\n\r", b"\r\r")
_DIGITS = re.compile(rb"[0-9]{1,15}\Z")


class SseFrameTooLong(UpstreamProtocol):
    """502: one event is longer than `limits.sseFrameBytes`."""


class Frames:
    """Cuts a byte stream at frame ends, so that only whole frames are relayed.

    Whatever the chunks, the same bytes come out in the same order and the cuts are at the same
    places. Nothing is rewritten; a byte order mark passes through.
    """

    __slots__ = ("_max_frame", "_tail")

    def __init__(self, max_frame: int = 4 * 1024 * 1024) -> None:
        self._max_frame = max_frame
        self._tail = bytearray()

    @property
    def pending(self) -> bytes:
        """The unfinished frame at the end."""
        return bytes(self._tail)

    def feed(self, data: bytes) -> bytes:
        """The longest run of whole frames so far; `b""` if none ended.

        `data` itself comes back when it is whole. Raises `SseFrameTooLong` when the unfinished
        frame grows beyond the limit. A CR at the very end waits for the next byte, which may make
        it a CRLF.
        """
        tail = self._tail
        if not tail:
            if data.endswith(b"\n\n"):
                return data
            end = _last_end(data, 0)
            tail += data[end:] if end else data
            out = data[:end]
        else:
            scanned = len(tail)
            tail += data
            end = _last_end(tail, max(0, scanned - 3))
            out = bytes(tail[:end])
            del tail[:end]
        if len(tail) > self._max_frame and not out:  # what is whole goes first
            raise SseFrameTooLong(
                "The provider sent a stream event that is too long.",
                debug=f"SSE frame over {self._max_frame} bytes",
                limit="sseFrameBytes",
            )
        return out

    def finish(self) -> bytes:
        """At the end of the stream: a frame that was only waiting to see whether LF follows CR."""
        tail = self._tail
        if not tail.endswith(b"\r") or not _last_end(tail + b"\n", 0):
            return b""
        out = bytes(tail)
        tail.clear()
        return out


class Event(Struct, frozen=True):
    """One dispatched event. `data` is not decoded; `id` is the last one seen, `""` if none."""

    event: str
    data: bytes
    id: str = ""
    retry: int | None = None


class Decoder:
    """The full decoder of the standard: fields, last event id, retry, comments, byte order mark.

    For the translate lane, which reads every event; the splice lane needs `Frames` only.
    """

    __slots__ = ("_frames", "_id", "_started")

    def __init__(self, max_frame: int = 4 * 1024 * 1024) -> None:
        self._frames = Frames(max_frame)
        self._started = False
        self._id = ""

    def feed(self, data: bytes) -> list[Event]:
        """The events that ended within `data`. Raises `SseFrameTooLong`."""
        return self._events(self._frames.feed(data))

    def finish(self) -> list[Event]:
        """At the end of the stream. An event without its blank line is dropped, says WHATWG."""
        return self._events(self._frames.finish())

    def _events(self, block: bytes) -> list[Event]:
        if not block:
            return []
        if not self._started:
            self._started = True
            block = block.removeprefix(BOM)
        events = [self._event(frame) for frame in iter_frames(block)]
        return [event for event in events if event is not None]

    def _event(self, frame: bytes) -> Event | None:
        name = b""
        data: list[bytes] = []
        retry: int | None = None
        for field, value in _fields(frame):
            if field == b"data":
                data.append(value)
            elif field == b"event":
                name = value
            elif field == b"id" and b"\0" not in value:
                self._id = value.decode(errors="replace")
            elif field == b"retry" and _DIGITS.match(value):
                retry = int(value)
        if not data:
            return None
        text = b"\n".join(data)
        return Event(name.decode(errors="replace") or "message", text, self._id, retry)


def iter_frames(block: bytes) -> list[bytes]:
    """Cut a block of whole frames into frames, `block` itself if it is one.

    A blank line where a frame would begin is a frame of its own. Bytes after the last blank line,
    if any, are the last element.
    """
    frames: list[bytes] = []
    at, size = 0, len(block)
    if b"\r" not in block:
        while at < size:
            if block[at] == 10:
                end = at + 1
            else:
                end = block.find(b"\n\n", at) + 2
                if end == 1:
                    end = size
            frames.append(block[at:end])
            at = end
        return frames
    while at < size:
        found = _FRAME.match(block, at)
        end = found.end() if found is not None else size
        frames.append(block[at:end])
        at = end
    return frames


def frame_data(frame: bytes) -> bytes:
    """The `data` lines of one frame joined by LF; `b""` if there are none."""
    start = frame.find(b"\n") + 1 if frame.startswith(b"event:") else 0
    if (
        frame.startswith(b"data: ", start)
        and frame.find(b"\n", start) == len(frame) - 2
        and b"\r" not in frame
    ):
        return frame[start + 6 : -2]
    return b"\n".join(
        [value for field, value in _fields(frame.removeprefix(BOM)) if field == b"data"]
    )


def frame_event(frame: bytes) -> bytes:
    """The event name of one frame; `b""` if it has none."""
    if frame.startswith(b"data:") and b"\r" not in frame and frame.find(b"\n") == len(frame) - 2:
        return b""
    name = b""
    for field, value in _fields(frame.removeprefix(BOM)):
        if field == b"event":
            name = value
    return name


def encode_event(event: str | None, data: bytes) -> bytes:
    """One frame with LF line ends. `data` is one line, as compact JSON is; else ValueError."""
    if b"\n" in data or b"\r" in data:
        raise ValueError("event data must be one line")
    if event is None:
        return b"data: %b\n\n" % data
    if "\n" in event or "\r" in event:
        raise ValueError("an event name must be one line")
    return b"event: %b\ndata: %b\n\n" % (event.encode(), data)


def _last_end(buffer: bytes | bytearray, start: int) -> int:
    """Where the last whole frame ends; 0 if none does. Nothing before `start` can end one.

    `buffer` begins at the beginning of a line. Two line ends in a row are a blank line; CR LF is
    one line end. A CR in last place is not looked at: an LF may follow.
    """
    stop = len(buffer) - 1 if buffer.endswith(b"\r") else len(buffer)
    last = 0
    if stop and buffer[0] in b"\r\n":
        last = 2 if buffer[0] == 13 and stop > 1 and buffer[1] == 10 else 1
    for pair in _BLANK if buffer.find(b"\r", start) >= 0 else _BLANK_LF:
        found = buffer.rfind(pair, start, stop)
        if found >= 0:
            end = found + 2
            if pair[1] == 13 and end < stop and buffer[end] == 10:
                end += 1
            last = max(last, end)
    return last


def _fields(frame: bytes) -> list[tuple[bytes, bytes]]:
    """Name and value of each line that is not a comment."""
    fields = []
    for line in _LINE_END.split(frame):
        name, _, value = line.partition(b":")
        if name:
            fields.append((name, value[1:] if value.startswith(b" ") else value))
    return fields
