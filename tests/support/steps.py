"""The steps a `ScriptedUpstream` can take, and builders for the bytes it sends."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LAST_CHUNK = b"0\r\n\r\n"


@dataclass(frozen=True)
class Expect:
    """Read a request and record it; `body` False stops after the head."""

    body: bool = True


@dataclass(frozen=True)
class Send:
    """Write bytes; with `size`, in slices of that size, `gap` seconds apart."""

    data: bytes
    size: int | None = None
    gap: float = 0.0


@dataclass(frozen=True)
class Sleep:
    """Wait; a closing peer ends the script early."""

    seconds: float


@dataclass(frozen=True)
class Fin:
    """Close our side in good order."""


@dataclass(frozen=True)
class Rst:
    """Close with a reset (SO_LINGER 0)."""


@dataclass(frozen=True)
class Hang:
    """Say nothing until the peer closes."""


Step = Expect | Send | Sleep | Fin | Rst | Hang
Script = Sequence["Step | Script"]


def expect(*, body: bool = True) -> Expect:
    """A step: read one request."""
    return Expect(body)


def send(data: bytes, *, size: int | None = None, gap: float = 0.0) -> Send:
    """A step: write `data`."""
    return Send(data, size, gap)


def sleep(seconds: float) -> Sleep:
    """A step: wait."""
    return Sleep(seconds)


def fin() -> Fin:
    """A step: close in good order."""
    return Fin()


def rst() -> Rst:
    """A step: reset the connection."""
    return Rst()


def hang() -> Hang:
    """A step: silence until the peer leaves."""
    return Hang()


def http_head(status: int, headers: Mapping[str, str]) -> bytes:
    """A status line and header block."""
    lines = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {headers[name]}" for name in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def http_json(status: int, obj: Any, headers: Mapping[str, str] | None = None) -> bytes:
    """A whole JSON answer with `content-length`."""
    body = json.dumps(obj).encode()
    base = {"content-type": "application/json", "content-length": str(len(body))}
    return http_head(status, {**base, **(headers or {})}) + body


def chunk(data: bytes) -> bytes:
    """One HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def frame(data: str | bytes | dict[str, Any]) -> bytes:
    """One SSE frame. Bytes go as they are, text becomes its data, a dict JSON with its type."""
    if isinstance(data, bytes):
        return data
    if isinstance(data, str):
        return f"data: {data}\n\n".encode()
    name = f"event: {data['type']}\n" if "type" in data else ""
    return f"{name}data: {json.dumps(data)}\n\n".encode()


def sse(
    frames: Iterable[str | bytes | dict[str, Any]],
    chunked: bool = True,
    *,
    end: bool = True,
    gap: float = 0.0,
) -> list[Step]:
    """The steps of an event stream, one write per frame; `end` False leaves the body unfinished.

    Unchunked streams end with the connection: add `fin()`.
    """
    head = {"content-type": "text/event-stream"}
    if chunked:
        head["transfer-encoding"] = "chunked"
    steps: list[Step] = [Send(http_head(200, head))]
    for each in frames:
        if gap:
            steps.append(Sleep(gap))
        data = frame(each)
        steps.append(Send(chunk(data) if chunked else data))
    if end and chunked:
        steps.append(Send(LAST_CHUNK))
    return steps


def flat(script: Script) -> list[Step]:
    """The steps of a script, nested lists opened up."""
    steps: list[Step] = []
    for each in script:
        if isinstance(each, Expect | Send | Sleep | Fin | Rst | Hang):
            steps.append(each)
        else:
            steps.extend(flat(each))
    return steps
