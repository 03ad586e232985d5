"""Arguments of a call: text in the hub, an object in three of the dialects."""

import msgspec
from msgspec import Raw

_decode = msgspec.json.Decoder(dict[str, Raw]).decode
EMPTY = "{}"


def as_object(text: str) -> Raw:
    """`text` as the raw JSON object it is; anything else is wrapped as `{"input": text}`.

    Empty text is an empty object: Anthropic sends no delta for a call without arguments.
    """
    if not text or text.isspace():
        return Raw(b"{}")
    if is_object(text):
        return Raw(text.encode())
    return Raw(msgspec.json.encode({"input": text}))


def is_object(text: str) -> bool:
    """Whether `text` is one whole JSON object."""
    try:
        _decode(text)
    except (ValueError, RecursionError):
        return False
    return True
