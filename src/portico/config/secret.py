"""A string that does not print itself."""

from typing import NoReturn


class Secret:
    """Holds a credential. `repr`, `str` and formatting mask it; only `reveal()` gives it out."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The credential itself. Call it where the bytes leave for the provider, nowhere else."""
        return self._value

    def masked(self) -> str:
        """A hint for humans: never more than the last 4 characters, and only of long secrets."""
        return f"***{self._value[-4:]}" if len(self._value) >= 16 else "***"

    def __repr__(self) -> str:
        return f"Secret({self.masked()})"

    def __str__(self) -> str:
        return self.masked()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(("Secret", self._value))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not serialised")
