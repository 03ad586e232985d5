"""Reads the one string out of `{"input": "..."}` while it streams."""

import re

import msgspec

_HEAD = re.compile(r'\s*\{\s*"input"\s*:\s*"')
_PLAIN = re.compile(r'[^"\\]+')
_SHORT = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_LOW = ("dc", "dd", "de", "df")
_LONGEST_HEAD = 64


class InputText:
    """Takes pieces of the arguments of a wrapped free-form tool, gives the pieces of its input.

    When the arguments turn out to have another shape, everything comes at the end: the string of
    `input` if there is one, else the arguments as they are.
    """

    __slots__ = ("_given", "_inside", "_pieces", "_read_all", "_unread")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._given: list[str] = []
        self._unread = ""  # never long: the head, or an escape that is not whole
        self._inside = False
        self._read_all = False  # the string has ended, or this is something else

    def feed(self, piece: str) -> str:
        """The input text that is certain by now."""
        self._pieces.append(piece)
        if self._read_all:
            return ""
        text = self._unread + piece
        at = 0
        if not self._inside:
            head = _HEAD.match(text)
            if head is None:
                self._read_all = len(text) > _LONGEST_HEAD
                self._unread = "" if self._read_all else text
                return ""
            self._inside = True
            at = head.end()
        found = self._read(text, at)
        if found:
            self._given.append(found)
        return found

    def end(self) -> str:
        """What is still owed when the call is whole."""
        given = "".join(self._given)
        whole = self._whole(given)
        return whole[len(given) :] if whole.startswith(given) else ""

    def _whole(self, given: str) -> str:
        text = "".join(self._pieces)
        try:
            value = msgspec.json.decode(text)
        except (ValueError, RecursionError):
            return given if self._inside else text
        if isinstance(value, dict) and isinstance(value.get("input"), str):
            found: str = value["input"]
            return found
        return text

    def _read(self, text: str, at: int) -> str:
        out: list[str] = []
        while at < len(text):
            plain = _PLAIN.match(text, at)
            if plain is not None:
                out.append(plain[0])
                at = plain.end()
                continue
            if text[at] == '"':  # the rest is for `end` to look at
                self._read_all = True
                break
            size, value = _escape(text, at)
            if not size:
                break
            out.append(value)
            at += size
        self._unread = "" if self._read_all else text[at:]
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
        if "\\u".startswith(text[at + 6 : at + 8]) and len(text) < at + 12:
            return 0, ""
        if text[at + 6 : at + 8] == "\\u" and text[at + 8 : at + 10].lower() in _LOW:
            size = 12
    try:
        return size, str(msgspec.json.decode(f'"{text[at : at + size]}"'))
    except ValueError:
        return size, "\ufffd"
