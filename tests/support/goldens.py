"""Golden cases: what a client asks and a provider answers, driven through a pair of dialects.

A case is a folder of `tests/golden/`: `<client>.request.json`, `<upstream>.answer.json`,
`<upstream>.stream.sse` (Bedrock: `.stream.jsonl`, one `{headers, payload}` a line, which is sent as
a binary message), `<upstream>.error.json` (`status`, `headers`, `body`) and, where it needs one,
`case.json`. Answers a case lacks are those of `text`.
"""

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw, Struct

from portico.dialects.translate import Asked, ClientSide, Upstream
from portico.dialects.translators import CLIENTS, UPSTREAMS, Uplink
from portico.errors import BadRequest
from portico.limits import Limits
from portico.model.events import Event
from portico.model.losses import Loss, Losses
from portico.model.passes.fit import Fitted, fit
from portico.model.passes.restore import Restore
from portico.model.request import GenerateRequest
from portico.model.response import Folder
from portico.model.sealed import PREFIX, Sealed
from portico.model.sequence import Sequencer
from portico.wire.eventstream import EventFrames
from portico.wire.eventstream import encode as encode_message
from portico.wire.sse import Frames

ROOT = Path(__file__).parents[1] / "golden"
LIMITS = Limits()
BASE = "0123456789abcdef0123456789abcdef"
CREATED = 1_790_000_000
LATER = CREATED + 2.0
FALLBACK = "text"

Json = Any
TARGETS: dict[str, dict[str, str]] = {
    "responses": {"kind": "openAI", "model": "gpt-5.5"},
    "chat": {"kind": "openAI", "model": "gpt-5.5"},
    "messages": {"kind": "anthropic", "model": "claude-sonnet-4-5"},
    "gemini": {"kind": "gemini", "model": "gemini-3-pro"},
    "converse": {"kind": "bedrock", "model": "us.anthropic.claude-sonnet-4-5-20250929-v1:0"},
}
"""Provider kind and model of each upstream dialect; `targets` in `case.json` overrides."""

_members = msgspec.json.Decoder(dict[str, Raw]).decode


def seal(sealed: Sealed) -> str:
    """A wrapper that can be read: `ptco1_[origin|kind|data]`."""
    return f"{PREFIX}[{sealed.origin}|{sealed.kind}|{sealed.data}]"


def unseal(text: str) -> Sealed | None:
    """The way back."""
    if not text.startswith(f"{PREFIX}[") or not text.endswith("]"):
        return None
    origin, kind, data = text[len(PREFIX) + 1 : -1].split("|", 2)
    return Sealed(origin, kind, data)  # type: ignore[arg-type]


def compact(value: Json) -> bytes:
    """JSON as providers write it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


class Case(Struct, frozen=True):
    """A folder. `turns` 2: the client sends the answer back, with results for its calls.
    `whole_differs` are upstreams whose whole answer cannot say what the stream says; `half_calls`:
    the answer ends inside a call, which an answer in one piece of the Messages API has to wrap.
    `without` are paths of the client's request that a pair leaves out, because the upstream refuses
    them."""

    name: str
    targets: dict[str, dict[str, str]] = {}
    turns: int = 1
    whole_differs: tuple[str, ...] = ()
    half_calls: bool = False
    without: dict[str, list[str]] = {}

    def comparable(self, client: str, upstream: str) -> bool:
        """Whether the answer in one piece says what the stream says."""
        return upstream not in self.whole_differs and not (self.half_calls and client == "messages")

    @property
    def folder(self) -> Path:
        return ROOT / self.name

    def _file(self, name: str) -> Path:
        own = self.folder / name
        return own if own.exists() else ROOT / FALLBACK / name

    def request(self, client: str) -> bytes:
        return compact(json.loads((self.folder / f"{client}.request.json").read_bytes()))

    def answer(self, upstream: str) -> bytes | None:
        """The answer in one piece; None where the provider gives an error instead."""
        if (self.folder / f"{upstream}.error.json").exists():
            return None
        value = json.loads(self._file(f"{upstream}.answer.json").read_bytes())
        return compact(value)

    def error(self, upstream: str) -> Json:
        return json.loads((self.folder / f"{upstream}.error.json").read_bytes())

    def stream(self, upstream: str) -> bytes:
        """The bytes of the stream, as they come from the provider."""
        if upstream != "converse":
            return self._file(f"{upstream}.stream.sse").read_bytes()
        lines = self._file("converse.stream.jsonl").read_text().splitlines()
        return b"".join(
            [
                encode_message(message["headers"], compact(message["payload"]))
                for message in map(json.loads, lines)
            ]
        )


@lru_cache(maxsize=64)
def case(name: str) -> Case:
    found = ROOT / name / "case.json"
    return Case(name, **(json.loads(found.read_bytes()) if found.exists() else {}))


def cases() -> list[str]:
    """Every folder of goldens."""
    return sorted(path.parent.name for path in ROOT.glob("*/chat.request.json"))


def body(given: Case, client: str, upstream: str) -> bytes:
    """The client's request, without what this upstream refuses."""
    paths = given.without.get(f"{client}-{upstream}", [])
    if not paths:
        return given.request(client)
    whole = json.loads(given.request(client))
    for path in sorted(paths, key=_steps, reverse=True):  # from the end, so that indexes stay
        _remove(whole, _steps(path))
    return compact(whole)


def refusals(given: Case, client: str, upstream: str) -> list[str]:
    """What the pair says to each of those parts. Raises AssertionError for one it takes."""
    out = []
    paths = given.without.get(f"{client}-{upstream}", [])
    for kept in paths:
        whole = json.loads(given.request(client))
        for path in sorted(set(paths) - {kept}, key=_steps, reverse=True):
            _remove(whole, _steps(path))
        try:
            Pair(given, client, upstream, json.dumps(whole).encode())
        except BadRequest as error:
            out.append(f"{kept} ({error.param}): {error.message}")
        else:
            raise AssertionError(f"{kept} is taken after all")
    return out


def _steps(path: str) -> list[tuple[int, str]]:
    steps = re.findall(r"\[(\d+)\]|([^.\[\]]+)", path)
    return [(int(index), "") if index else (-1, name) for index, name in steps]


def _remove(value: Json, steps: list[tuple[int, str]]) -> None:
    keys = [name or index for index, name in steps]
    for key in keys[:-1]:
        value = value[key]
    del value[keys[-1]]


class Pair:
    """One request on its way to an upstream dialect, and the answers on their way back."""

    def __init__(self, given: Case, client: str, upstream: str, body: bytes) -> None:
        self.client: ClientSide = CLIENTS[client]
        self.uplink: Uplink = UPSTREAMS[upstream]
        target = {**TARGETS, **given.targets}[upstream]
        self.upstream: Upstream = self.uplink.upstream(
            target["kind"], "golden", frozenset(), target["model"]
        )
        self.losses: Losses = []
        self.fields = _members(body)
        self.wanted: GenerateRequest = self.client.read(self.fields, body, LIMITS, unseal)
        self.payload = self._write()

    def _fit(self, losses: Losses) -> Fitted:
        origins = self.uplink.origins(self.upstream)
        return fit(self.wanted, self.upstream.capabilities, origins, losses)

    def _write(self) -> bytes:
        fitted = self._fit(self.losses)
        return self.uplink.side.write(fitted.request, self.upstream, self.losses)

    def _restore(self, losses: Losses) -> Restore | None:
        """A way back of its own for each answer, which tells its losses to `losses`."""
        restore = self._fit(losses).restore
        losses.clear()
        return restore

    def asked(self, losses: Losses) -> Asked:
        return Asked(
            request=self.wanted,
            fields=self.fields,
            base=BASE,
            created=CREATED,
            clock=lambda: LATER,
            model=self.upstream.model,
            seal=seal,
            losses=losses,
        )

    def whole(self, answer: bytes, losses: Losses) -> Json:
        """The client's answer in one piece."""
        events = self.uplink.side.read(answer, self.upstream)
        return self.respond(events, losses)

    def respond(self, events: list[Event], losses: Losses) -> Json:
        restore = self._restore(losses)
        asked = self.asked(losses)
        folder = Folder()
        if restore is not None:
            events = restore.feed(events)
        folder.feed(Sequencer().feed(events))
        return json.loads(self.client.respond(folder.result(), asked))

    def events(self, stream: bytes, chunks: list[int]) -> list[list[Event]]:
        """What the decoder makes of a stream that comes in pieces cut at `chunks`."""
        frames = EventFrames() if self.uplink.side.framing == "aws" else Frames()
        reader = self.uplink.side.stream(self.upstream)
        told = []
        for start, end in zip([0, *chunks], [*chunks, len(stream)], strict=True):
            block = frames.feed(stream[start:end])
            if block:
                told.append(reader.feed(block))
        rest = frames.finish()
        if rest:
            told.append(reader.feed(rest))
        told.append(reader.end())
        return told

    def stream(self, stream: bytes, losses: Losses, chunks: list[int] | None = None) -> bytes:
        """The client's stream for a provider's stream that comes in pieces cut at `chunks`."""
        restore = self._restore(losses)
        out = self.client.stream(self.asked(losses))
        sequencer = Sequencer()
        told = b""
        for events in self.events(stream, chunks or []):
            if restore is not None:
                events = restore.feed(events)
            told += out.encode(sequencer.feed(events))
        assert sequencer.done, "the provider's stream did not end"
        return told


def told(losses: list[Loss]) -> list[str]:
    """Losses as lines to read."""
    return [f"{loss.path} {loss.how}: {loss.reason}" for loss in losses]
