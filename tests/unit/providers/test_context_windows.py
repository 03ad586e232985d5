"""What is known of context windows: the right entry is found, and nothing is guessed."""

import subprocess
import sys
from importlib.metadata import version

import pytest

from portico.providers.catalogue import MAKERS, OWN, Section
from portico.providers.table import PROVIDERS
from portico.providers.windows import TABLE, context_window, read_window


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        ("openAI", "gpt-4o"),
        ("openAI", "GPT-4o"),
        ("openAI", "ft:gpt-4o:acme::abc"),
        ("azure", "gpt-4o"),
        ("custom", "gpt-4o"),
        ("openrouter", "openai/gpt-4o"),
        ("openrouter", "openai/gpt-4o:online"),
        ("nvidia", "openai/gpt-4o"),
    ],
)
def test_a_model_is_found_wherever_it_is_served(kind: str, model: str) -> None:
    assert context_window(kind, model) == 128_000


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        ("anthropic", "claude-sonnet-4-5-20250929"),
        ("azure", "claude-sonnet-4-5"),
        ("vertex", "claude-sonnet-4-5@20250929"),
        ("vertex", "publishers/anthropic/models/claude-sonnet-4-5@20250929"),
        ("bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("bedrock", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("bedrock", "arn:aws:bedrock:us-east-1:1:x/us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
    ],
)
def test_the_clouds_ids_of_a_model_mean_that_model(kind: str, model: str) -> None:
    assert context_window(kind, model) == 200_000


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "models/gemini-2.5-flash"])
@pytest.mark.parametrize("kind", ["gemini", "vertex"])
def test_paths_before_a_model_do_not_matter(kind: str, model: str) -> None:
    assert context_window(kind, model) == 1_048_576


@pytest.mark.parametrize("kind", ["ollama", "vllm", "lmstudio"])
def test_nothing_is_assumed_of_servers_whose_window_is_set_where_they_start(kind: str) -> None:
    assert context_window(kind, "gpt-4o") is None


@pytest.mark.parametrize("model", ["", "demo-small", "my-deployment", "/", ":", "@", "x" * 10_000])
@pytest.mark.parametrize("kind", ["openAI", "bedrock", "custom", "no-such-kind"])
def test_an_unknown_model_has_no_window(kind: str, model: str) -> None:
    assert context_window(kind, model) is None


@pytest.mark.parametrize("kind", PROVIDERS)
def test_every_kind_can_be_asked(kind: str) -> None:
    assert context_window(kind, "a-model-nobody-has") is None


def test_answers_are_remembered_within_bounds() -> None:
    for number in range(3000):
        context_window("openAI", f"made-up-{number}")
    assert context_window.cache_info().currsize <= 1024


def test_the_first_entry_with_a_fitting_rule_answers() -> None:
    section = Section(read_window)
    for line in ("1 =a =b", "2 ^a-", "3 =a-x", "4 $z&*y", "0 =none", "5 ^n", r"6 ~^d\d$"):
        section.add(line)
    found = {name: section.find(name) for name in ("a", "b", "a-x", "yz", "z", "none", "no", "d1")}
    assert found == {"a": 1, "b": 1, "a-x": 2, "yz": 4, "z": None, "none": None, "no": 5, "d1": 6}


def test_a_date_without_dashes_is_read_as_one_with_them() -> None:
    section = Section(read_window)
    section.add("7 =m-2025-12-11")
    assert section.find("m-20251211") == 7
    assert section.find("m-20251212") is None


def test_the_table_is_read_only_when_a_window_is_wanted() -> None:
    code = (
        "import portico.providers.windows as w, sys;"
        "print(w.TABLE.loaded, 'genai_prices' in sys.modules, end=' ');"
        "w.context_window('openAI', 'gpt-4o');"
        "print('genai_prices' in sys.modules, 'pydantic' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.split() == ["False"] * 4


def test_the_sections_that_are_asked_are_in_the_table() -> None:
    asked = {name for names in OWN.values() for name in names} | set(MAKERS)
    assert asked <= TABLE.sections.keys()
    assert OWN.keys() <= PROVIDERS.keys()


def test_the_table_says_what_the_package_it_was_made_from_says() -> None:
    types = pytest.importorskip("genai_prices.types")
    from scripts import windows as script

    text = script.TABLE.read_text(encoding="utf-8")
    if f"genai-prices {version('genai-prices')} " not in text:
        pytest.skip("made from another version of the package")
    assert text == script.table(), "stale: run python scripts/windows.py"
    known = {p.id: p for p in script.data_snapshot.get_snapshot().providers}
    tried = 0
    for name in script.PROVIDERS:
        section = TABLE.sections[name]
        alone: types.Provider = known[name]
        for model in alone.models:
            for rule in script.rules(model.match):
                if rule[0] == "~" or "&" in rule:
                    continue
                for asked in (rule[1:], f"{rule[1:]}-x"):
                    found = alone.find_model(asked)
                    wanted = found.context_window if found is not None else None
                    assert section.find(asked) == wanted, (name, asked)
                    tried += 1
    assert tried > 1000
