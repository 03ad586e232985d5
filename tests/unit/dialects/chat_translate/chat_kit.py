"""What the tests of the chat dialect's translation share."""

import base64
import json
from typing import Any

import msgspec
from msgspec import Raw

from portico.dialects.chat.client import CLIENT
from portico.dialects.chat.maps import capabilities_for
from portico.dialects.chat.upstream import UPSTREAM
from portico.dialects.translate import Asked, Upstream
from portico.limits import Limits
from portico.model.events import Event
from portico.model.losses import Losses
from portico.model.request import GenerateRequest
from portico.model.response import GenerateResponse, fold
from portico.model.sealed import PREFIX, Sealed
from portico.model.sequence import Sequencer
from portico.wire.sse import frame_data, iter_frames

LIMITS = Limits()
ORIGIN = "origin:1"


def seal(value: Sealed) -> str:
    return PREFIX + base64.urlsafe_b64encode(msgspec.json.encode(value)).decode()


def unseal(text: str) -> Sealed | None:
    if not text.startswith(PREFIX):
        return None
    try:
        data = base64.urlsafe_b64decode(text.removeprefix(PREFIX))
        return msgspec.json.decode(data, type=Sealed)
    except ValueError:
        return None


def ask(**members: Any) -> GenerateRequest:
    """A request read from a body with these members."""
    body = json.dumps(
        {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **members}
    ).encode()
    return CLIENT.read(fields_of(body), body, LIMITS, unseal)


def fields_of(body: bytes) -> dict[str, Raw]:
    return msgspec.json.decode(body, type=dict[str, Raw])


def asked(losses: Losses | None = None, **members: Any) -> Asked:
    body = json.dumps({"model": "m", "messages": [], **members}).encode()
    return Asked(
        request=GenerateRequest(
            model="m",
            dialect="chat",
            include_usage=members.get("stream_options", {}).get("include_usage", False),
        ),
        fields=fields_of(body),
        base="0" * 32,
        created=1_763_000_000,
        clock=lambda: 0.0,
        model="upstream-model",
        seal=seal,
        losses=losses if losses is not None else [],
    )


def respond(response: GenerateResponse, losses: Losses | None = None, **members: Any) -> Any:
    return json.loads(CLIENT.respond(response, asked(losses, **members)))


def stream(events: list[Event], losses: Losses | None = None, **members: Any) -> bytes:
    out = CLIENT.stream(asked(losses, **members))
    sequencer = Sequencer()
    return b"".join([out.encode(sequencer.feed([event])) for event in events])


def payloads(data: bytes) -> list[Any]:
    found = [frame_data(frame) for frame in iter_frames(data)]
    return [json.loads(text) for text in found if text and text != b"[DONE]"]


def upstream(kind: str = "openAI", model: str = "m", *quirks: str) -> Upstream:
    return Upstream(
        model=model,
        provider=kind,
        origin=ORIGIN,
        capabilities=capabilities_for(kind, model),
        quirks=frozenset(quirks),
    )


def write(
    request: GenerateRequest, target: Upstream | None = None, losses: Losses | None = None
) -> Any:
    kept = losses if losses is not None else []
    return json.loads(UPSTREAM.write(request, target or upstream(), kept))


def read(answer: Any, target: Upstream | None = None) -> GenerateResponse:
    """The fold of a whole answer."""
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return fold(Sequencer().feed(UPSTREAM.read(body, target or upstream())))


def frames(*chunks: Any, done: bool = True) -> bytes:
    text = b"".join([b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks])
    return text + (b"data: [DONE]\n\n" if done else b"")


def events_of(data: bytes, target: Upstream | None = None) -> list[Event]:
    reader = UPSTREAM.stream(target or upstream())
    sequencer = Sequencer()
    out: list[Event] = []
    for frame in iter_frames(data):
        out.extend(sequencer.feed(reader.feed(frame)))
    return out + sequencer.feed(reader.end())


def read_stream(data: bytes, target: Upstream | None = None) -> GenerateResponse:
    return fold(events_of(data, target))


def chunk(delta: Any = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """One chunk with one choice, or the `choices` given."""
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-x",
            "choices": [choice], **more}  # fmt: skip


def answer(message: Any, finish: str | None = "stop", **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": "gpt-x",
            "choices": [choice], **more}  # fmt: skip


def call(index: int | None = None, **more: Any) -> dict[str, Any]:
    """A tool call fragment: `id`, `name`, `arguments`."""
    out: dict[str, Any] = {} if index is None else {"index": index}
    if "id" in more:
        out |= {"id": more["id"], "type": "function"}
    out["function"] = {name: more[name] for name in ("name", "arguments") if name in more}
    return out
