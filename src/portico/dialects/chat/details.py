"""Reasoning in `reasoning_details`: what other servers put there, and what this gateway puts there.

The shape is OpenRouter's (https://openrouter.ai/docs/use-cases/reasoning-tokens, 2026-11-21): an
array of `reasoning.text`, `reasoning.summary` and `reasoning.encrypted` elements. For its clients
this gateway writes the sealed state of any provider into it: an element `reasoning.encrypted` of
format `portico-v1`, whose `data` is the wrapped value, `index` pairs it with the text of the same
block, and `id` says where in the message the block stands:

    text:<n>      before character n of the content
    call:<id>     before the call with this id
    end           behind everything
"""

from collections.abc import Iterable

import msgspec
from msgspec import Raw, Struct

from portico.dialects.chat import chunks
from portico.dialects.counts import UNREADABLE
from portico.model.items import Reasoning
from portico.model.sealed import PREFIX, Seal, Sealed, Unseal, native
from portico.wire.json import encode

FORMAT = "portico-v1"
SEPARATOR = "\n\n"
"""Stands between messages, and between blocks of reasoning, that chat has to join."""
UNREAD = "unreadable"
"""The origin of a wrapped value that cannot be unwrapped: nobody may have it, and the passes say
so."""

_read = chunks.reader(chunks.Detail)
_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_messages = msgspec.json.Decoder(list[Raw]).decode
_MEMBER = b"reasoning_details"


class Step(Struct, frozen=True, gc=False):
    """What one element amounts to. `begins`: another block begins, after `before` of the last."""

    begins: bool
    before: Sealed | None
    text: str
    summary: str


class Details:
    """Puts the elements that a provider streams together again.

    Pieces of one element share type and index; where there is no index, pieces of the same type
    follow each other. Encrypted elements come whole.
    """

    __slots__ = ("_members", "_origin", "_pieces", "_signed", "_slot", "_whole")

    def __init__(self, origin: str, *, whole: bool) -> None:
        self._origin = origin
        self._whole = whole
        self._slot: tuple[str, int | None] | None = None
        self._members: dict[str, Raw] = {}
        self._pieces: list[str] = []
        self._signed = False

    def feed(self, raw: Raw) -> Step | None:
        """Take one element; None if it cannot be read."""
        detail = _read(raw)
        if detail is None:
            return None
        slot = (detail.type, detail.index)
        goes_on = (
            slot == self._slot
            and detail.type != "reasoning.encrypted"
            and not self._whole
            and not (detail.index is None and self._signed)
        )
        before = None if goes_on else self.end()
        try:
            members = _decode_object(raw)
        except UNREADABLE:
            return None
        self._slot = slot
        self._signed = self._signed or bool(detail.signature)
        for name, value in members.items():
            if bytes(value) != b"null" or name not in self._members:
                self._members[name] = Raw(bytes(value))
        text, summary = detail.text or "", detail.summary or ""
        self._pieces.append(text or summary)
        return Step(not goes_on, before, text, summary)

    def end(self) -> Sealed | None:
        """The element that is open, as it has to go back; None if there is none."""
        if self._slot is None:
            return None
        members, pieces = self._members, self._pieces
        name = "summary" if self._slot[0] == "reasoning.summary" else "text"
        if name in members and len(pieces) > 1:
            members[name] = Raw(encode("".join(pieces)))
        self._slot, self._members, self._pieces, self._signed = None, {}, [], False
        return Sealed(self._origin, "details", encode(members).decode(errors="replace"))


class Placed(Struct, frozen=True, gc=False):
    """A block of reasoning that a client sent back. `place` is the `id` of the element, "" for one
    that is not ours: it stands before everything."""

    item: Reasoning
    place: str


def read_details(elements: Iterable[Raw], unseal: Unseal) -> list[Placed]:
    """The blocks of reasoning in the `reasoning_details` of an assistant message, in order.

    Elements of others are kept as they are, as native values of this dialect.
    """
    blocks: dict[tuple[str, int], chunks.Detail] = {}
    pieces: dict[int, tuple[list[str], list[str]]] = {}
    foreign = 0
    for raw in elements:
        detail = _read(raw)
        if detail is None:
            continue
        if not _is_ours(detail):
            foreign += 1
            detail.format = bytes(raw).decode()
            blocks["foreign", foreign] = detail
            continue
        index = detail.index or 0
        block = blocks.setdefault(("ours", index), chunks.Detail(format=FORMAT))
        texts, summaries = pieces.setdefault(index, ([], []))
        texts.append(detail.text or "")
        summaries.append(detail.summary or "")
        block.data = detail.data or block.data
        block.id = detail.id or block.id
    for index, (texts, summaries) in pieces.items():
        block = blocks["ours", index]
        block.text, block.summary = "".join(texts), "".join(summaries)
    return [
        _ours(block, unseal) if kind == "ours" else _foreign(block)
        for (kind, _), block in blocks.items()
    ]


def _is_ours(detail: chunks.Detail) -> bool:
    # Some SDKs concatenate the strings of elements they merge.
    return (detail.format or "").startswith(FORMAT) or (detail.data or "").startswith(PREFIX)


def _ours(block: chunks.Detail, unseal: Unseal) -> Placed:
    sealed: Sealed | None = None
    if block.data:
        sealed = unseal(block.data) or Sealed(UNREAD, "details", block.data)
    return Placed(
        Reasoning(
            (block.summary,) if block.summary else (), (block.text,) if block.text else (), sealed
        ),
        block.id or "",
    )


def _foreign(block: chunks.Detail) -> Placed:
    sealed = native("chat", "details", block.format or "")
    return Placed(
        Reasoning(
            (block.summary,) if block.summary else (), (block.text,) if block.text else (), sealed
        ),
        "",
    )


def before_text(offset: int) -> str:
    """The place of a block before character `offset` of the content."""
    return f"text:{offset}"


def before_call(call_id: str) -> str:
    """The place of a block before a call."""
    return f"call:{call_id}"


AT_END = "end"


class Block(Struct, eq=False, gc=False):
    """A block of reasoning on its way to a client."""

    content: str = ""
    summary: str = ""
    sealed: Sealed | None = None
    place: str = ""


class Blocks:
    """Writes the elements for the blocks of one answer.

    A block is held until it is known what follows it, for that is its place. Blocks without sealed
    state are written only when one with it follows: their text is in `reasoning_content` already,
    and is needed here to be told apart from the text of others.
    """

    __slots__ = ("_held", "_index", "_seal", "_unsealed")

    def __init__(self, seal: Seal) -> None:
        self._seal = seal
        self._held: list[Block] = []
        self._unsealed: list[Block] = []
        self._index = 0

    def hold(self, block: Block) -> None:
        """Take a block that is whole."""
        self._held.append(block)

    def place(self, place: str) -> list[bytes]:
        """The elements of the blocks that stand here. One chunk each, in a stream: an SDK that
        merges by index takes the first chunk as it is."""
        if not self._held:
            return []
        out: list[bytes] = []
        for block in self._held:
            block.place = place
            self._unsealed.append(block)
            if block.sealed is not None:
                for each in self._unsealed:
                    self._write(each, out)
                self._unsealed = []
        self._held = []
        return out

    def _write(self, block: Block, out: list[bytes]) -> None:
        index = self._index
        self._index += 1
        for kind, text in (("summary", block.summary), ("text", block.content)):
            if text:
                element = {"type": f"reasoning.{kind}", kind: text}
                if block.sealed is None:
                    element["id"] = block.place
                out.append(encode({**element, "format": FORMAT, "index": index}))
        if block.sealed is not None:
            out.append(
                encode(
                    {
                        "type": "reasoning.encrypted",
                        "data": self._seal(block.sealed),
                        "id": block.place,
                        "format": FORMAT,
                        "index": index,
                    }
                )
            )


def strip(fields: dict[str, Raw]) -> dict[str, bytes]:
    """Take what this gateway wrote out of `messages` that are about to be relayed as they are.

    Returns the changed member as JSON text; empty if there is nothing of ours in it.
    """
    raw = fields.get("messages")
    if raw is None or _MEMBER not in bytes(raw):  # one search only: bodies hold large pictures
        return {}
    try:
        messages = _decode_messages(raw)
    except UNREADABLE:
        return {}
    changed = False
    out: list[Raw] = []
    for message in messages:
        stripped = _strip_message(message)
        changed = changed or stripped is not None
        out.append(message if stripped is None else stripped)
    return {"messages": encode(out)} if changed else {}


def _strip_message(message: Raw) -> Raw | None:
    """The message without our elements; None if it has none."""
    text = bytes(message)
    if _MEMBER not in text:
        return None
    try:
        members = _decode_object(text)
        elements = _decode_messages(members["reasoning_details"])
    except (*UNREADABLE, KeyError):
        return None
    kept = [raw for raw in elements if (detail := _read(raw)) is None or not _is_ours(detail)]
    if len(kept) == len(elements):
        return None
    if kept:
        members["reasoning_details"] = Raw(encode(kept))
    else:
        del members["reasoning_details"]
    return Raw(encode(members))
