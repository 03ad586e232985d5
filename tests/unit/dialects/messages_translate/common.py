"""What the tests of the Messages translators share."""

import json
from typing import Any

import httpx2
from anthropic import Anthropic
from anthropic.types import Message, MessageCreateParams
from msgspec import Raw
from pydantic import TypeAdapter

from portico.dialects.messages.client import CLIENT
from portico.dialects.messages.maps import capabilities
from portico.dialects.messages.upstream import UPSTREAM
from portico.dialects.translate import Asked, Upstream
from portico.errors import BadRequest
from portico.limits import Limits
from portico.model.events import Event
from portico.model.items import Message as HubMessage
from portico.model.losses import Loss
from portico.model.parts import Text
from portico.model.passes.fit import fit
from portico.model.request import GenerateRequest
from portico.model.sealed import PREFIX, Sealed
from portico.model.sequence import Sequencer
from portico.wire.sse import frame_data, iter_frames

PARAMS: TypeAdapter[Any] = TypeAdapter(MessageCreateParams)
ORIGIN = "messages/anthropic"
BASE = "0123456789abcdef0123456789abcdef"


def seal(sealed: Sealed) -> str:
    return PREFIX + json.dumps([sealed.origin, sealed.kind, sealed.data]).encode().hex()


def unseal(text: str) -> Sealed | None:
    if not text.startswith(PREFIX):
        return None
    try:
        return Sealed(*json.loads(bytes.fromhex(text[len(PREFIX) :])))
    except ValueError:
        return None


def upstream(model: str = "claude-sonnet-4-5") -> Upstream:
    return Upstream(
        model=model, provider="anthropic", origin=ORIGIN, capabilities=capabilities(model)
    )


def user(text: str = "Hi") -> HubMessage:
    return HubMessage("user", (Text(text),))


def request(**members: Any) -> GenerateRequest:
    defaults: dict[str, Any] = {"model": "m", "dialect": "responses", "items": (user(),)}
    return GenerateRequest(**{**defaults, **members})


def write(
    asked: GenerateRequest, model: str = "claude-sonnet-4-5", *, raw: bool = False
) -> tuple[dict[str, Any], list[Loss]]:
    """Fit and write a request; the body, checked against the SDK's type, and the losses."""
    losses: list[Loss] = []
    target = upstream(model)
    if not raw:
        origins = frozenset((ORIGIN, "native:messages"))
        asked = fit(asked, target.capabilities, origins, losses).request
    body = json.loads(UPSTREAM.write(asked, target, losses))
    PARAMS.validate_python(body)
    return body, losses


def read(body: dict[str, Any]) -> GenerateRequest:
    """Read a client's body."""
    full = {"model": "m", "max_tokens": 4096, "messages": [{"role": "user", "content": "Hi"}]}
    text = json.dumps({**full, **body}).encode()
    return read_bytes(text)


def read_bytes(text: bytes) -> GenerateRequest:
    fields = {name: Raw(json.dumps(value).encode()) for name, value in json.loads(text).items()}
    return CLIENT.read(fields, text, Limits(), unseal)


def refused(body: dict[str, Any]) -> BadRequest:
    """The error for a client's body that is not to be accepted."""
    try:
        read(body)
    except BadRequest as error:
        return error
    raise AssertionError("it was accepted")


def asked(for_: GenerateRequest | None = None) -> Asked:
    return Asked(
        request=for_ if for_ is not None else request(dialect="messages"),
        fields={},
        base=BASE,
        created=1_790_000_000,
        clock=lambda: 1_790_000_000.0,
        model="the-model",
        seal=seal,
        losses=[],
    )


def sequenced(events: list[Event]) -> list[Event]:
    return Sequencer().feed(events)


def payloads(frames: bytes) -> list[dict[str, Any]]:
    """The data of the frames; each `event:` says its type."""
    out = []
    for frame in iter_frames(frames):
        data = json.loads(frame_data(frame))
        assert frame.startswith(f"event: {data['type']}\n".encode())
        out.append(data)
    return out


def accumulate(frames: bytes) -> Message:
    """What the official SDK makes of a stream, with its own accumulator."""
    answer = httpx2.Response(200, content=frames, headers={"content-type": "text/event-stream"})
    transport = httpx2.MockTransport(lambda sent: answer)
    with (
        Anthropic(
            api_key="k", http_client=httpx2.Client(transport=transport), max_retries=0
        ) as client,
        client.messages.stream(
            model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}]
        ) as stream,
    ):
        return stream.get_final_message()  # type: ignore[return-value]


def sse(*events: dict[str, Any]) -> bytes:
    """A provider's stream of these events."""
    return b"".join(
        [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events]
    )
