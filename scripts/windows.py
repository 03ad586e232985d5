"""Makes `windows.txt` and `prices.txt` in `src/portico/providers`, the tables of context windows
and of prices, from the data of the `genai-prices` package (a development dependency: importing it
costs 18 MiB and 0.1 s).

    python scripts/windows.py

Run it after the package was updated, with the day of the update as `DAY`. Entries without a fact
are kept only where a rule further down would otherwise answer for them.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path

from genai_prices import data_snapshot, types

_FOLDER = Path(__file__).parents[1] / "src" / "portico" / "providers"
TABLE = _FOLDER / "windows.txt"
PRICES = _FOLDER / "prices.txt"

DAY = datetime(2026, 11, 21, 12, tzinfo=UTC)
"""Prices have dates, and some depend on the hour: those of this day at noon."""

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

PRICES_HEAD = """\
# US dollars for a million tokens on {day:%Y-%m-%d}: facts from genai-prices {version} (MIT
# licence), https://github.com/pydantic/genai-prices. Made by scripts/windows.py; do not edit.
# Below each provider, in order: input,output (-: not known; the lowest tier where there are some),
# then the rules, any of which is enough: =equal ^prefix $suffix *part ~pattern, & for both.
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


def window(model: types.ModelInfo) -> str:
    """Tokens; empty if not known."""
    return str(model.context_window or "")


def price(model: types.ModelInfo) -> str:
    """`input,output`; empty if a token of the prompt has no price. What has a price for the prompt
    alone makes no text (embeddings), and what has none at all and says so by its name is free."""
    prices = model.get_prices(DAY)
    if prices == types.ModelPrice() and model.id.endswith(":free"):
        return "0,0"
    if prices.input_mtok is None:
        return ""
    return f"{_plain(prices.input_mtok)},{_plain(prices.output_mtok or Decimal(0))}"


def _plain(amount: Decimal | types.TieredPrices) -> str:
    base = amount.base if isinstance(amount, types.TieredPrices) else amount
    return f"{base.normalize():f}"


def lines(
    provider: types.Provider, fact: Callable[[types.ModelInfo], str], unknown: str
) -> list[str]:
    """The entries of one provider."""
    entries = [(fact(model), rules(model.match)) for model in provider.models]
    out: list[str] = []
    for i, (value, mine) in enumerate(entries):
        later = [
            model
            for model, (known, _) in zip(provider.models[i + 1 :], entries[i + 1 :], strict=True)
            if known
        ]
        plain = all(rule[0] == "=" for rule in mine)
        shadows = any(model.is_match(rule[1:]) for rule in mine for model in later)
        if value or shadows or (not plain and later):
            out.append(f"{value or unknown} {' '.join(mine)}")
    return out


def _text(head: str, fact: Callable[[types.ModelInfo], str], unknown: str) -> str:
    known = {provider.id: provider for provider in data_snapshot.get_snapshot().providers}
    parts = [head.format(version=version("genai-prices"), day=DAY)]
    for name in PROVIDERS:
        entries = lines(known[name], fact, unknown)
        if entries:
            parts.append("\n".join([f"[{name}]", *entries, ""]))
    return "".join(parts)


def table() -> str:
    """The whole text of the context windows."""
    return _text(HEAD, window, "0")


def price_table() -> str:
    """The whole text of the prices."""
    return _text(PRICES_HEAD, price, "-")


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8")
    PRICES.write_text(price_table(), encoding="utf-8")
