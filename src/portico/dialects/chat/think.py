"""Thoughts that a server writes into its text: `<think>...</think>` at the very beginning."""

_OPENING = "<think>"
_CLOSING = "</think>"


class ThinkTags:
    """Splits text, piece by piece, into thoughts and text.

    Only a tag at the very beginning counts (white space may stand before it); later ones are text.
    The line ends right after the closing tag belong to it.
    """

    __slots__ = ("_held", "_state")

    def __init__(self) -> None:
        self._state = 0  # 0 before the tag, 1 right inside, 2 in thoughts, 3 right after, 4 in text
        self._held = ""

    @property
    def passed(self) -> bool:
        """From now on everything is text."""
        return self._state == 4

    def feed(self, piece: str) -> tuple[str, str]:
        """The thoughts and the text that are certain by now."""
        held = self._held + piece
        self._held = ""
        if self._state == 0:
            start = held.lstrip()
            if start.startswith(_OPENING):
                self._state = 1
                held = start[len(_OPENING) :]
            elif _OPENING.startswith(start):
                self._held = held
                return "", ""
            else:
                self._state = 4
        thought = ""
        if self._state == 1:
            held = held.lstrip("\r\n")
            if held:
                self._state = 2
        if self._state == 2:
            end = held.find(_CLOSING)
            if end < 0:
                certain = len(held) - _overlap(held)
                self._held = held[certain:]
                return held[:certain], ""
            thought, held = held[:end], held[end + len(_CLOSING) :]
            self._state = 3
        if self._state == 3:
            held = held.lstrip("\r\n")
            if held:
                self._state = 4
        return thought, held

    def end(self) -> tuple[str, str]:
        """What is left when the answer is over."""
        held, self._held = self._held, ""
        return (held, "") if self._state == 2 else ("", held)


def _overlap(text: str) -> int:
    """How many characters at the end may be the beginning of the closing tag."""
    for size in range(min(len(_CLOSING) - 1, len(text)), 0, -1):
        if text.endswith(_CLOSING[:size]):
            return size
    return 0
