"""Documents people already have: the two forms, and the examples we ship."""

import re
from pathlib import Path

import pytest

from portico.config.load import load, loads
from portico.config.secret import Secret
from portico.config.settings import (
    Address,
    ListenerSettings,
    ModelSettings,
    ProviderSettings,
    Settings,
)

ENV = {"OPENAI_API_KEY": "sk-openai-0123456789"}
EXAMPLES = Path(__file__).parents[3] / "examples"
DOCS = Path(__file__).parents[3] / "docs"

LLM_SEED = """\
# yaml-language-server: $schema=https://agentgateway.dev/schema/config
llm:
  models:
  - name: "*"
    provider: openAI
    params:
      apiKey: "$OPENAI_API_KEY"
"""

BINDS_SEED = """\
# yaml-language-server: $schema=https://agentgateway.dev/schema/config
binds:
- port: 4000
  listeners:
  - routes:
    - backends:
      - ai:
          name: openai
          provider:
            openAI: {{}}
      policies:
        ai:
          routes:
            "{path}": "{api}"
        backendAuth:
          key: "$OPENAI_API_KEY"
"""


def only(settings: Settings) -> ListenerSettings:
    (listener,) = settings.listeners
    return listener


def without_names(models: tuple[ModelSettings, ...]) -> list[tuple[object, ...]]:
    return [
        (m.name, m.model, m.visibility, m.provider.kind, m.provider.base_url, m.provider.api_key)
        for m in models
    ]


def test_the_llm_document_of_agentgateways_page_loads_as_it_stands() -> None:
    listener = only(loads(LLM_SEED, ENV, name="seed"))
    assert listener.address == Address("127.0.0.1", 4000)
    (route,) = listener.routes
    assert route.apis["/v1/responses"] == "responses"
    assert route.apis["/v1/chat/completions"] == "completions"
    assert route.models == (
        ModelSettings(
            name="*",
            provider=ProviderSettings(
                kind="openAI", name="openAI", api_key=Secret("sk-openai-0123456789")
            ),
        ),
    )


@pytest.mark.parametrize(
    ("path", "api"), [("/v1/responses", "responses"), ("/v1/chat/completions", "completions")]
)
def test_both_forms_of_the_pages_mean_the_same(path: str, api: str) -> None:
    llm = only(loads(LLM_SEED, ENV, name="llm"))
    binds = only(loads(BINDS_SEED.format(path=path, api=api), ENV, name="binds"))
    assert binds.address == llm.address
    assert binds.tls == llm.tls
    mine, theirs = llm.routes[0], binds.routes[0]
    assert without_names(mine.models) == without_names(theirs.models)
    assert theirs.apis == {path: api}
    assert mine.apis[path] == api
    assert (mine.path_prefix, mine.api_key) == (theirs.path_prefix, theirs.api_key)


def test_without_ai_routes_the_binds_form_serves_what_the_llm_form_does() -> None:
    text = BINDS_SEED.format(path="/x", api="models")
    head, _, tail = text.partition("        ai:\n")
    binds = only(loads(head + tail.partition('models"\n')[2], ENV, name="binds"))
    assert binds.routes[0].apis == only(loads(LLM_SEED, ENV, name="llm")).routes[0].apis


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_every_shipped_example_loads(example: Path) -> None:
    named = re.findall(r"\$([A-Z_]+)", example.read_text(encoding="utf-8"))
    env = {name: f"{name}-a-value-of-at-least-32-characters" for name in named}
    assert load(example, env).listeners


SNIPPETS = re.findall(
    r"^```yaml\n(.*?)^```", (DOCS / "configuration.md").read_text(), re.MULTILINE | re.DOTALL
)


@pytest.mark.parametrize("text", [text for text in SNIPPETS if not text.startswith("#")])
def test_every_document_on_the_configuration_page_loads(text: str) -> None:
    assert loads(text, ENV, name="configuration.md").listeners


def test_equal_documents_compile_to_equal_settings_in_both_forms() -> None:
    llm = """
llm:
  port: 8080
  tls: {cert: c.pem, key: k.pem}
  models:
  - {name: fast, provider: anthropic, params: {model: haiku, apiKey: k1, baseUrl: "https://a.b/c"},
     tls: {root: ca.pem}}
  - {name: "*", provider: anthropic, params: {apiKey: k1, baseUrl: "https://a.b/c"},
     tls: {root: ca.pem}}
  policies: {apiKey: {mode: optional, keys: [{key: caller, metadata: {user: a}}]}}
"""
    binds = """
binds:
- port: 8080
  listeners:
  - protocol: HTTPS
    tls: {cert: c.pem, key: k.pem}
    routes:
    - name: llm
      backends: [{ai: {provider: {anthropic: {}}, baseUrl: "https://a.b/c"}}]
      policies:
        ai: {modelAliases: {fast: haiku}}
        backendAuth: {key: k1}
        backendTLS: {root: ca.pem}
        apiKey: {mode: optional, keys: [{key: caller, metadata: {user: a}}]}
"""
    assert loads(llm, {}, name="llm") == loads(binds, {}, name="binds")


def test_toml_and_json_say_the_same_as_yaml(tmp_path: Path) -> None:
    toml = '[[llm.models]]\nname = "*"\nprovider = "openAI"\nparams.apiKey = "$OPENAI_API_KEY"\n'
    json = (
        '{"llm": {"models": [{"name": "*", "provider": "openAI",'
        ' "params": {"apiKey": "$OPENAI_API_KEY"}}]}}'
    )
    wanted = loads(LLM_SEED, ENV, name="yaml")
    for name, text in (("a.toml", toml), ("a.json", json), ("a.yml", LLM_SEED)):
        (tmp_path / name).write_text(text)
        assert load(tmp_path / name, ENV) == wanted


def test_a_missing_file_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.yaml", {})
