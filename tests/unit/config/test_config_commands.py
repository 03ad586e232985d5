"""`portico check` and `portico schema`, and what they print."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from portico.cli.check import check
from portico.cli.schema import schema
from portico.config.jsonschema import json_schema
from portico.config.known import every_key

EXAMPLES = Path(__file__).parents[3] / "examples"
ENV = {"OPENAI_API_KEY": "sk-openai-secret-123456"}


def test_check_prints_the_effective_configuration_masked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert check(str(EXAMPLES / "minimal.yaml"), ENV) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.endswith("# ok: 1 listener, 1 route, 1 model, 0 caller keys\n")
    assert ENV["OPENAI_API_KEY"] not in out
    shown = yaml.safe_load(out)
    assert shown["listeners"][0]["routes"][0]["models"][0]["provider"]["apiKey"] == "***3456"
    assert shown["limits"]["bodyBytes"] == 32 * 1024 * 1024


def test_check_lists_each_problem_on_a_line_of_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("llm:\n  models: [{name: m, provider: ollama}]\n  prot: 1\nui: {}\n")
    assert check(str(path), {}) == 1
    out, err = capsys.readouterr()
    assert out == ""
    first, second = err.splitlines()
    assert first == f'{path}:3: $.llm.prot: unknown key, did you mean "port"?'
    assert second.startswith(f"{path}:4: $.ui: known from agentgateway")


def test_check_says_so_when_a_file_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(str(tmp_path / "none.yaml"), {}) == 2
    assert check(str(tmp_path), {}) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_a_file_that_is_not_utf8_is_a_problem_not_a_crash(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(b"llm: \xff\xfe")
    assert check(str(path), {}) == 1
    assert "UTF-8" in capsys.readouterr().err


def test_schema_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert schema() == 0
    assert json.loads(capsys.readouterr().out) == json_schema()


def blocks() -> Iterator[tuple[str, dict[str, object]]]:
    definitions = json_schema()["$defs"]
    assert isinstance(definitions, dict)
    for name, node in definitions.items():
        assert isinstance(node, dict)
        if "properties" in node:
            yield name, node  # type: ignore[misc]


def test_the_schema_closes_and_describes_every_block() -> None:
    assert json_schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    for name, node in blocks():
        assert node["additionalProperties"] is False, name
        assert node["description"], name
        properties = node["properties"]
        assert isinstance(properties, dict)
        for key, inner in properties.items():
            if name not in ("Limits", "Deadlines"):
                assert inner["description"], f"{name}.{key}"


def test_keys_that_come_later_are_not_in_the_schema() -> None:
    by_name = dict(blocks())
    for block, key in every_key():
        properties = by_name[block.__name__]["properties"]
        assert isinstance(properties, dict)
        assert key not in properties


def test_the_documentation_names_every_key() -> None:
    text = (EXAMPLES.parent / "docs" / "configuration.md").read_text()
    for name, node in blocks():
        properties = node["properties"]
        assert isinstance(properties, dict)
        for key in properties:
            assert f"`{key}`" in text, f"{name}.{key}"
