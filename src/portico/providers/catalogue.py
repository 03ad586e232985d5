"""Facts about models by provider kind and upstream id, from tables beside this file.

A table is read when the first fact is wanted, and never before: most processes want none. Below
each `[provider]` stand its entries, one a line and in order: the fact, then the rules, any of
which is enough: `=equal`, `^prefix`, `$suffix`, `*part`, `~pattern`, and `&` for both. The tables
are made by `scripts/windows.py`.
"""

import re
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")

_LONGEST = 256
"""Characters of a model id that is looked up at all: callers choose them."""

_HUGGINGFACE = tuple(
    f"huggingface_{name}"
    for name in (
        "cerebras", "fireworks-ai", "groq", "hyperbolic", "nebius", "novita", "nscale",
        "ovhcloud", "publicai", "sambanova", "together",
    )
)  # fmt: skip

OWN: dict[str, tuple[str, ...]] = {
    "openAI": ("openai",),
    "anthropic": ("anthropic",),
    "gemini": ("google",),
    "vertex": ("google", "anthropic"),
    "bedrock": ("aws",),
    "azure": ("azure",),
    "mistral": ("mistral",),
    "groq": ("groq",),
    "deepseek": ("deepseek",),
    "xai": ("x-ai",),
    "openrouter": ("openrouter",),
    "togetherai": ("together",),
    "fireworks": ("fireworks",),
    "cerebras": ("cerebras",),
    "huggingface": _HUGGINGFACE,
    "cohere": ("cohere",),
    "baseten": ("baseten",),
    "perplexity": ("perplexity",),
    "moonshot": ("moonshotai",),
}
"""Kind to sections of a table. Kinds that are not here have no list of their own."""

MAKERS = (
    "openai", "anthropic", "google", "x-ai", "deepseek", "mistral", "moonshotai", "meta", "cohere",
    "minimax", "zai", "zhipuai", "perplexity",
)  # fmt: skip
"""Asked, in this order, when the provider's own list does not know: a model is mostly the same
wherever it is served."""

_SELF_SERVED = frozenset({"ollama", "vllm", "lmstudio"})
"""What such a server takes in, and what it costs, is up to whoever started it."""

_COMPACT_DATE = re.compile(r"-(20\d\d)(\d\d)(\d\d)$", re.ASCII)
_BEDROCK = re.compile(r"(?:[a-z-]+\.){1,2}(.+?)(?:-v\d+)?(?::\w+)?", re.ASCII)
_TAG = re.compile(r"[@:].*$", re.ASCII)


class Section(Generic[T]):
    """The entries of one provider. The first entry with a rule that fits answers. `read` makes the
    fact of its text, None for one that is not known."""

    __slots__ = ("_equal", "_facts", "_loose", "_read")

    def __init__(self, read: Callable[[str], T | None]) -> None:
        self._read = read
        self._facts: list[T | None] = []
        self._equal: dict[str, int] = {}
        self._loose: list[tuple[int, tuple[str, ...]]] = []

    def add(self, line: str) -> None:
        """One entry, as a line of the table."""
        fact, *rules = line.split(" ")
        number = len(self._facts)
        self._facts.append(self._read(fact))
        for rule in rules:
            if rule[0] == "=" and "&" not in rule:
                self._equal.setdefault(rule[1:], number)
            else:
                self._loose.append((number, tuple(rule.split("&"))))

    def find(self, model: str) -> T | None:
        """The fact about a model id in lower case; None if no entry fits or it is not known."""
        number = self._first(model)
        if number is None:
            dashed = _COMPACT_DATE.sub(r"-\1-\2-\3", model)
            number = self._first(dashed) if dashed != model else None
        return self._facts[number] if number is not None else None

    def tails(self) -> dict[str, T]:
        """Name behind the maker's (`meta-llama/`) to fact, for ids without patterns."""
        out: dict[str, T] = {}
        for name, number in self._equal.items():
            fact = self._facts[number]
            if fact is not None:
                out.setdefault(name.rpartition("/")[2], fact)
        return out

    def _first(self, model: str) -> int | None:
        equal = self._equal.get(model)
        for number, rule in self._loose:
            if equal is not None and equal < number:
                break
            if all(_fits(part, model) for part in rule):
                return number
        return equal


class Catalogue(Generic[T]):
    """One table: a file of this folder and how to read its facts."""

    def __init__(self, file: str, read: Callable[[str], T | None]) -> None:
        self._file = file
        self._read = read

    @property
    def loaded(self) -> bool:
        """Whether the table has been read."""
        return "sections" in self.__dict__

    @cached_property
    def sections(self) -> dict[str, Section[T]]:
        """The table by section. 2 ms and 0.4 MiB, once."""
        out: dict[str, Section[T]] = {}
        section = Section(self._read)
        path = Path(__file__).with_name(self._file)
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("["):
                section = out[line[1:-1]] = Section(self._read)
            elif not line.startswith("#"):
                section.add(line)
        return out

    @cached_property
    def _anywhere(self) -> dict[str, T]:
        """Models by their bare names, from the one list that has nearly all of them."""
        return self.sections["openrouter"].tails()

    def find(self, kind: str, model: str) -> T | None:
        """The fact about `model` (the upstream id) at a provider of this kind; None if it is not
        known. Costs up to a millisecond: whoever asks often remembers the answer."""
        if kind in _SELF_SERVED or len(model) > _LONGEST:
            return None
        sections = self.sections
        names = _names(kind, model.lower())
        for section in (*OWN.get(kind, ()), *MAKERS):
            for name in names:
                found = sections[section].find(name)
                if found is not None:
                    return found
        anywhere = self._anywhere
        return next((anywhere[name] for name in names if name in anywhere), None)


def _fits(rule: str, model: str) -> bool:
    mark, text = rule[0], rule[1:]
    if mark == "^":
        return model.startswith(text)
    if mark == "$":
        return model.endswith(text)
    if mark == "*":
        return text in model
    return model == text if mark == "=" else re.search(text, model) is not None


def _names(kind: str, model: str) -> tuple[str, ...]:
    """The id, and what it may be called by others: without a path (`publishers/.../models/`,
    `meta-llama/`), Bedrock's region, maker and version, a date behind `@`, a variant behind `:`.
    A fine-tuned model (`ft:gpt-4o-mini:acme::id`) is what it was made from."""
    if model.startswith("ft:"):
        model = model.split(":")[1]
    tail = model.rpartition("/")[2]
    bare = _BEDROCK.fullmatch(tail) if kind == "bedrock" else None
    stem = bare[1] if bare is not None else _TAG.sub("", tail)
    return tuple(dict.fromkeys(name for name in (model, tail, stem) if name))
