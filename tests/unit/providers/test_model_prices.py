"""What is known of prices: the right entry is found, and nothing is guessed."""

import subprocess
import sys
from importlib.metadata import version

import pytest

from portico.providers.catalogue import MAKERS, OWN, Section
from portico.providers.prices import TABLE, price_of, read_price
from portico.providers.table import PROVIDERS


@pytest.mark.parametrize(
    ("kind", "model", "price"),
    [
        ("openAI", "gpt-4o", (2.5, 10.0)),
        ("openAI", "GPT-4o", (2.5, 10.0)),
        ("openAI", "ft:gpt-4o:acme::abc", (2.5, 10.0)),
        ("custom", "gpt-4o", (2.5, 10.0)),
        ("openrouter", "openai/gpt-4o:online", (2.5, 10.0)),
        ("anthropic", "claude-sonnet-4-5-20250929", (3.0, 15.0)),
        ("vertex", "publishers/anthropic/models/claude-sonnet-4-5@20250929", (3.0, 15.0)),
        ("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", (3.3, 16.5)),
        ("openAI", "text-embedding-3-small", (0.02, 0.0)),
    ],
)
def test_a_model_has_its_price_wherever_it_is_served(
    kind: str, model: str, price: tuple[float, float]
) -> None:
    assert price_of(kind, model) == price


def test_a_price_that_grows_with_the_prompt_is_that_of_a_small_prompt() -> None:
    assert price_of("gemini", "gemini-2.5-pro") == (1.25, 10.0)


def test_a_free_variant_costs_nothing_and_its_model_does() -> None:
    assert price_of("openrouter", "deepseek/deepseek-r1:free") == (0.0, 0.0)
    paid = price_of("openrouter", "deepseek/deepseek-r1")
    assert paid is not None
    assert min(paid) > 0


@pytest.mark.parametrize("kind", ["ollama", "vllm", "lmstudio"])
def test_nothing_is_assumed_of_servers_of_ones_own(kind: str) -> None:
    assert price_of(kind, "gpt-4o") is None


@pytest.mark.parametrize("model", ["", "demo-small", "my-deployment", "/", ":", "@", "x" * 10_000])
@pytest.mark.parametrize("kind", [*PROVIDERS, "no-such-kind"])
def test_an_unknown_model_has_no_price(kind: str, model: str) -> None:
    assert price_of(kind, model) is None


def test_answers_are_remembered_within_bounds() -> None:
    assert price_of.cache_info().maxsize == 1024


def test_an_entry_without_a_price_hides_those_below_it() -> None:
    section = Section(read_price)
    for line in ("- =a ^b", "1,2 ^a ^b ^c"):
        section.add(line)
    assert [section.find(name) for name in ("a", "bb", "ab", "c")] == [
        None, None, (1.0, 2.0), (1.0, 2.0),
    ]  # fmt: skip


def test_the_table_is_read_only_when_a_price_is_wanted() -> None:
    code = (
        "import portico.providers.prices as p, sys;"
        "print(p.TABLE.loaded, 'genai_prices' in sys.modules, end=' ');"
        "p.price_of('openAI', 'gpt-4o');"
        "print('genai_prices' in sys.modules, 'pydantic' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.split() == ["False"] * 4


def test_every_section_that_is_asked_is_in_the_table_and_no_price_is_negative() -> None:
    asked = {name for names in OWN.values() for name in names} | set(MAKERS)
    assert asked <= TABLE.sections.keys()
    prices = [price for section in TABLE.sections.values() for price in section._facts if price]
    assert len(prices) > 1500
    assert all(0 <= amount < 1000 for price in prices for amount in price)


def test_the_table_says_what_the_package_it_was_made_from_says() -> None:
    pytest.importorskip("genai_prices")
    from scripts import windows as script

    text = script.PRICES.read_text(encoding="utf-8")
    if f"genai-prices {version('genai-prices')} " not in text:
        pytest.skip("made from another version of the package")
    assert text == script.price_table(), "stale: run python scripts/windows.py"
    known = {p.id: p for p in script.data_snapshot.get_snapshot().providers}
    tried = 0
    for name in script.PROVIDERS:
        section = TABLE.sections[name]
        for model in known[name].models[::8]:
            for rule in script.rules(model.match):
                if rule[0] == "~" or "&" in rule:
                    continue
                for asked in (rule[1:], f"{rule[1:]}-x"):
                    found = known[name].find_model(asked)
                    wanted = script.price(found) if found is not None else ""
                    assert section.find(asked) == read_price(wanted or "-"), (name, asked)
                    tried += 1
    assert tried > 200
