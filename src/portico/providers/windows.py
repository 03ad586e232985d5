"""How many tokens a model takes in, by provider kind and upstream id.

The facts are in `windows.txt` (its head says where they are from and how to read it), which is read
when the first request needs a window, and never before: most never do.
"""

import re
from functools import cache, lru_cache
from pathlib import Path

_LONGEST = 256
"""Characters of a model id that is looked up at all: callers choose them."""

_HUGGINGFACE = tuple(
    f"huggingface_{name}"
    for name in (
        "cerebras", "fireworks-ai", "groq", "hyperbolic", "nebius", "novita", "nscale",
        "ovhcloud", "publicai", "sambanova", "together",
    )
)  # fmt: skip

_OWN: dict[str, tuple[str, ...]] = {
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
"""Kind to sections of the table. Kinds that are not here have no list of their own."""

_MAKERS = (
    "openai", "anthropic", "google", "x-ai", "deepseek", "mistral", "moonshotai", "meta", "cohere",
    "minimax", "zai", "zhipuai", "perplexity",
)  # fmt: skip
"""Asked, in this order, when the provider's own list does not know: a model is mostly the same
wherever it is served."""

_SELF_SERVED = frozenset({"ollama", "vllm", "lmstudio"})
"""What such a server takes in is set where it is started, often far below what the model could."""

_COMPACT_DATE = re.compile(r"-(20\d\d)(\d\d)(\d\d)$", re.ASCII)
_BEDROCK = re.compile(r"(?:[a-z-]+\.){1,2}(.+?)(?:-v\d+)?(?::\w+)?", re.ASCII)
_TAG = re.compile(r"[@:].*$", re.ASCII)


class Section:
    """The entries of one provider. The first entry with a rule that fits answers."""

    __slots__ = ("_equal", "_loose", "_windows")

    def __init__(self) -> None:
        self._windows: list[int] = []
        self._equal: dict[str, int] = {}
        self._loose: list[tuple[int, tuple[str, ...]]] = []

    def add(self, line: str) -> None:
        """One entry, as a line of the table."""
        window, *rules = line.split(" ")
        number = len(self._windows)
        self._windows.append(int(window))
        for rule in rules:
            if rule[0] == "=" and "&" not in rule:
                self._equal.setdefault(rule[1:], number)
            else:
                self._loose.append((number, tuple(rule.split("&"))))

    def find(self, model: str) -> int | None:
        """The window of a model id in lower case; None if no entry fits or its window is not
        known."""
        number = self._first(model)
        if number is None:
            dashed = _COMPACT_DATE.sub(r"-\1-\2-\3", model)
            number = self._first(dashed) if dashed != model else None
        return (self._windows[number] or None) if number is not None else None

    def tails(self) -> dict[str, int]:
        """Name behind the maker's (`meta-llama/`) to window, for ids without patterns."""
        out: dict[str, int] = {}
        for name, number in self._equal.items():
            if self._windows[number]:
                out.setdefault(name.rpartition("/")[2], self._windows[number])
        return out

    def _first(self, model: str) -> int | None:
        equal = self._equal.get(model)
        for number, rule in self._loose:
            if equal is not None and equal < number:
                break
            if all(_fits(part, model) for part in rule):
                return number
        return equal


def _fits(rule: str, model: str) -> bool:
    mark, text = rule[0], rule[1:]
    if mark == "^":
        return model.startswith(text)
    if mark == "$":
        return model.endswith(text)
    if mark == "*":
        return text in model
    return model == text if mark == "=" else re.search(text, model) is not None


@lru_cache(maxsize=1024)
def context_window(kind: str, model: str) -> int | None:
    """Tokens that `model` (the upstream id) takes in at a provider of this kind; None if that is
    not known. What the operator writes (`contextWindow`) is better, and looked at first elsewhere.
    """
    if kind in _SELF_SERVED or len(model) > _LONGEST:
        return None
    sections = _table()
    names = _names(kind, model.lower())
    for section in (*_OWN.get(kind, ()), *_MAKERS):
        for name in names:
            found = sections[section].find(name)
            if found is not None:
                return found
    anywhere = _anywhere()
    return next((anywhere[name] for name in names if name in anywhere), None)


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


@cache
def _table() -> dict[str, Section]:
    """The table by section. 2 ms and 0.4 MiB, once."""
    out: dict[str, Section] = {}
    section = Section()
    path = Path(__file__).with_name("windows.txt")
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = out[line[1:-1]] = Section()
        elif not line.startswith("#"):
            section.add(line)
    return out


@cache
def _anywhere() -> dict[str, int]:
    """Models by their bare names, from the one list that has nearly all of them."""
    return _table()["openrouter"].tails()
