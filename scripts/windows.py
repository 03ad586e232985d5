"""Makes `src/portico/providers/windows.txt`, the table of context windows, from the data of the
`genai-prices` package (a development dependency: importing it costs 18 MiB and 0.1 s).

    python scripts/windows.py

Run it after the package was updated. Entries without a window are kept only where a rule further
down would otherwise answer for them.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from genai_prices import data_snapshot, types

TABLE = Path(__file__).parents[1] / "src" / "portico" / "providers" / "windows.txt"

PROVIDERS = (
    "anthropic", "aws", "azure", "baseten", "cerebras", "cohere", "deepseek", "fireworks", "google",
    "groq", "huggingface_cerebras", "huggingface_fireworks-ai", "huggingface_groq",
    "huggingface_hyperbolic", "huggingface_nebius", "huggingface_novita", "huggingface_nscale",
    "huggingface_ovhcloud", "huggingface_publicai", "huggingface_sambanova", "huggingface_together",
    "meta", "minimax", "mistral", "moonshotai", "openai", "openrouter", "perplexity", "together",
    "x-ai", "zai", "zhipuai",
)  # fmt: skip

HEAD = """\
# Context windows in tokens: facts from genai-prices {version} (MIT licence),
# https://github.com/pydantic/genai-prices. Made by scripts/windows.py; do not edit.
# Below each provider, in order: the window (0: not known), then the rules, any of which is enough:
# =equal ^prefix $suffix *part ~pattern, & for both.
"""

_MARKS: dict[type, tuple[str, str]] = {
    types.ClauseEquals: ("=", "equals"),
    types.ClauseStartsWith: ("^", "starts_with"),
    types.ClauseEndsWith: ("$", "ends_with"),
    types.ClauseContains: ("*", "contains"),
    types.ClauseRegex: ("~", "regex"),
}


def rules(logic: types.MatchLogic) -> list[str]:
    """One rule per alternative. Raises ValueError for what the table cannot say."""
    if isinstance(logic, types.ClauseOr):
        return [rule for inner in logic.or_ for rule in rules(inner)]
    if isinstance(logic, types.ClauseAnd):
        parts = [rules(inner) for inner in logic.and_]
        if any(len(part) != 1 for part in parts):
            raise ValueError(f"alternatives inside a conjunction: {logic}")
        return ["&".join(part[0] for part in parts)]
    mark, name = _MARKS[type(logic)]
    text = str(getattr(logic, name))
    if set(text) & set(" &\n"):
        raise ValueError(f"not fit for the table: {text!r}")
    return [mark + (text if mark == "~" else text.lower())]


def lines(provider: types.Provider) -> list[str]:
    """The entries of one provider."""
    entries = [(model.context_window or 0, rules(model.match)) for model in provider.models]
    out: list[str] = []
    for i, (window, mine) in enumerate(entries):
        later = [model for model in provider.models[i + 1 :] if model.context_window]
        plain = all(rule[0] == "=" for rule in mine)
        shadows = any(model.is_match(rule[1:]) for rule in mine for model in later)
        if window or shadows or (not plain and later):
            out.append(f"{window} {' '.join(mine)}")
    return out


def table() -> str:
    """The whole text."""
    known = {provider.id: provider for provider in data_snapshot.get_snapshot().providers}
    parts = [HEAD.format(version=version("genai-prices"))]
    for name in PROVIDERS:
        entries = lines(known[name])
        if entries:
            parts.append("\n".join([f"[{name}]", *entries, ""]))
    return "".join(parts)


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8")
