"""Reads the one string out of `{"input": "..."}` while it streams."""

import re

import msgspec

_HEAD = re.compile(r'\s*\{\s*"input"\s*:\s*"')
_PLAIN = re.compile(r'[^"\\]+')
_SHORT = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_LONGEST_HEAD = 64


class InputText:
    """Takes pieces of the arguments of a wrapped free-form tool, gives the pieces of its input.

    When the arguments turn out to have another shape, everything comes at the end: the string of
    `input` if there is one, else the arguments as they are.
    """

    __slots__ = ("_at", "_given", "_inside", "_lost", "_text")

    def __init__(self) -> None:
        self._text = ""
        self._at = 0
        self._inside = False
        self._lost = False
        self._given: list[str] = []

    def feed(self, piece: str) -> str:
        """The input text that is certain by now."""
        self._text += piece
        if self._lost:
            return ""
        if not self._inside:
            head = _HEAD.match(self._text)
            if head is None:
                self._lost = len(self._text) > _LONGEST_HEAD
                return ""
            self._inside = True
            self._at = head.end()
        found = self._read()
        self._given.append(found)
        return found

    def end(self) -> str:
        """What is still owed when the call is whole."""
        given = "".join(self._given)
        whole = self._whole()
        return whole[len(given) :] if whole.startswith(given) else ""

    def _whole(self) -> str:
        try:
            value = msgspec.json.decode(self._text)
        except (ValueError, RecursionError):
            return "".join(self._given) if self._inside else self._text
        if isinstance(value, dict) and isinstance(value.get("input"), str):
            text: str = value["input"]
            return text
        return self._text

    def _read(self) -> str:
        text, at = self._text, self._at
        out: list[str] = []
        while at < len(text):
            plain = _PLAIN.match(text, at)
            if plain is not None:
                out.append(plain[0])
                at = plain.end()
                continue
            if text[at] == '"':  # the rest is for `end` to look at
                break
            size, value = _escape(text, at)
            if not size:
                break
            out.append(value)
            at += size
        self._at = at
        return "".join(out)


def _escape(text: str, at: int) -> tuple[int, str]:
    """Length and meaning of the escape at `at`; length 0 when it is not whole yet."""
    letter = text[at + 1 : at + 2]
    if letter != "u":
        return (2, _SHORT.get(letter, letter)) if letter else (0, "")
    size = 6
    high = text[at + 2 : at + 6]
    if len(high) < 4:
        return 0, ""
    if high[:2].lower() in ("d8", "d9", "da", "db"):  # one half of a pair: wait for the other
        if len(text) < at + 12:
            return 0, ""
        size = 12
    try:
        return size, str(msgspec.json.decode(f'"{text[at : at + size]}"'))
    except ValueError:
        return size, "\ufffd"
