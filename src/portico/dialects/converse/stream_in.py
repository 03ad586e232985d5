"""A ConverseStream as events.

Binary messages carry JSON: `messageStart`, `contentBlockStart` (calls only), `contentBlockDelta`,
`contentBlockStop`, `messageStop` and `metadata`, the last two in either order. Failures come as
exception messages in an answer with status 200. Padding (`p`) and what is not known is skipped.
"""

from collections.abc import Callable

from portico.dialects.converse.blocks import Blocks, stop_sequence, usage
from portico.dialects.converse.errors import stream_fault
from portico.dialects.converse.maps import TIER_IN, family
from portico.dialects.converse.wire import (
    NULL,
    Start,
    decode_delta,
    decode_message_stop,
    decode_metadata,
    decode_start,
    decode_stop,
)
from portico.dialects.counts import UNREADABLE
from portico.dialects.translate import Upstream
from portico.errors import UpstreamFault, UpstreamProtocol
from portico.model.events import Event, Failed, Finish, Started, UsageSeen
from portico.model.usage import Usage
from portico.wire.eventstream import Message, decode


class StreamIn:
    """See `dialects.translate.StreamIn`. `feed` takes whole binary messages."""

    __slots__ = ("_blocks", "_done", "_finish", "_metadata", "_started")

    def __init__(self, upstream: Upstream) -> None:
        self._blocks = Blocks(upstream.origin, family(upstream.model).raw_thoughts)
        self._started = False
        self._metadata: str | None = None
        """The service tier ("" for none) once the metadata has passed."""
        self._finish: Finish | None = None
        self._done = False

    @property
    def held_usage(self) -> Usage | None:
        """None: counts are told as they come."""
        return None

    def feed(self, frames: bytes) -> list[Event]:
        """The events of these whole messages. What is not an event stream becomes `Failed`."""
        out: list[Event] = []
        try:
            messages = decode(frames)
        except UpstreamProtocol as fault:
            self._fail(out, fault)
            return out
        for message in messages:
            if self._done:
                break
            headers = message.headers
            handler = _HANDLERS.get(headers.get(":event-type"))
            if handler is not None and headers.get(":message-type", "event") == "event":
                try:
                    handler(self, out, message.payload)
                except UNREADABLE:
                    continue
            elif headers.get(":message-type") in ("exception", "error"):
                self._exception(out, message)
        return out

    def end(self) -> list[Event]:
        """The connection ended: a finish that waited for its metadata."""
        if self._done or self._finish is None:
            return []
        self._done = True
        return [self._finish]

    def _start(self, out: list[Event], payload: bytes) -> None:
        if not self._started:
            self._started = True
            out.append(Started())

    def _block_start(self, out: list[Event], payload: bytes) -> None:
        event = decode_start(payload)
        start = event.start if event.start is not None else Start()
        at = event.content_block_index
        if start.tool_use is not None:
            self._blocks.call(out, at, start.tool_use)
        elif start.tool_result is not None:
            result = start.tool_result
            self._blocks.result(out, at, result.tool_use_id or "", result.status == "error")
        elif start.image is not None:
            self._blocks.image(out, at, "")

    def _delta(self, out: list[Event], payload: bytes) -> None:
        event = decode_delta(payload)
        delta, at = event.delta, event.content_block_index
        blocks = self._blocks
        if delta.text is not None:
            blocks.text(out, at, delta.text)
        elif delta.tool_use is not None:
            blocks.arguments(out, at, delta.tool_use.input or "")
        elif delta.reasoning_content is not None:
            found = delta.reasoning_content
            if found.text is not None:
                blocks.thought(out, at, found.text)
            if found.signature is not None:
                blocks.signature(out, at, found.signature)
            if found.redacted_content is not None:
                blocks.redacted(out, at, found.redacted_content)
        elif delta.citation is not NULL:
            blocks.citation(out, at, delta.citation)
        elif delta.image is not None:
            source = delta.image.source
            blocks.image(out, at, (source.bytes if source is not None else None) or "")
        elif delta.tool_result is not NULL:
            blocks.result_content(at, delta.tool_result)

    def _block_stop(self, out: list[Event], payload: bytes) -> None:
        self._blocks.stop(out, decode_stop(payload).content_block_index)

    def _message_stop(self, out: list[Event], payload: bytes) -> None:
        event = decode_message_stop(payload)
        if self._finish is not None:
            return
        sequence = stop_sequence(event.additional_model_response_fields)
        last = self._blocks.finish(out, event.stop_reason or "", sequence)
        if isinstance(last, Failed):
            self._fail(out, last.fault)
            return
        self._finish = last
        self._both(out)

    def _meta(self, out: list[Event], payload: bytes) -> None:
        event = decode_metadata(payload)
        counts = usage(event.usage)
        if counts is not None:
            out.append(UsageSeen(counts))
        self._metadata = (event.service_tier.type if event.service_tier is not None else None) or ""
        self._both(out)

    def _both(self, out: list[Event]) -> None:
        """The finish, once its metadata is there too."""
        if self._finish is not None and self._metadata is not None:
            self._finish.service_tier = TIER_IN.get(self._metadata)
            self._done = True
            out.append(self._finish)

    def _exception(self, out: list[Event], message: Message) -> None:
        headers = message.headers
        name = headers.get(":exception-type") or headers.get(":error-code") or ""
        told = headers.get(":error-message", "")
        self._fail(out, stream_fault(str(name), message.payload, str(told)))

    def _fail(self, out: list[Event], fault: UpstreamFault) -> None:
        if not self._done:
            self._done = True
            out.append(Failed(fault))


_HANDLERS: dict[object, Callable[[StreamIn, list[Event], bytes], None]] = {
    "messageStart": StreamIn._start,
    "contentBlockStart": StreamIn._block_start,
    "contentBlockDelta": StreamIn._delta,
    "contentBlockStop": StreamIn._block_stop,
    "messageStop": StreamIn._message_stop,
    "metadata": StreamIn._meta,
}
