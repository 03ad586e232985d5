"""Values from outside the document, and secrets that stay where they belong."""

import os
from pathlib import Path

import pytest

from portico.config.dump import effective
from portico.config.errors import ConfigError
from portico.config.load import loads
from portico.config.references import resolve
from portico.config.settings import ModelSettings, Settings

ENV = {"NAME": "value", "EMPTY": "", "A": "a", "TRICK": "$A ${A} env:A"}


def key_document(key: str) -> str:
    return f"llm:\n  models:\n  - name: m\n    provider: openAI\n    params: {{apiKey: {key}}}\n"


def model(settings: Settings) -> ModelSettings:
    return settings.listeners[0].routes[0].models[0]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("plain", "plain"),
        ("$NAME", "value"),
        ("${NAME}", "value"),
        ("x-$NAME-y", "x-value-y"),
        ("${NAME}s", "values"),
        ("$A$A", "aa"),
        ("${NONE:-default}", "default"),
        ("${EMPTY:-default}", "default"),
        ("${NAME:-default}", "value"),
        ("${NONE:-}", ""),
        ("$$NAME", "$NAME"),
        ("$$$NAME", "$value"),
        ("env:NAME", "value"),
        ("os.environ/NAME", "value"),
        ("see env:NAME", "see env:NAME"),
        ("$TRICK", "$A ${A} env:A"),
    ],
)
def test_references_resolve(text: str, wanted: str) -> None:
    assert resolve(text, ENV) == wanted


@pytest.mark.parametrize(
    ("text", "named"),
    [("$NONE", True), ("${none}", True), ("env:NONE", True), ("$EMPTY", True), ("pa$none", False)],
)
def test_an_unset_or_empty_variable_is_an_error(text: str, named: bool) -> None:
    with pytest.raises(ValueError, match=r"not set|empty") as caught:
        resolve(text, ENV)
    assert (("none" in str(caught.value).lower()) or ("EMPTY" in str(caught.value))) is named


@pytest.mark.parametrize("text", ["$", "a$", "$-", "${", "${NAME", "$1"])
def test_a_stray_dollar_says_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"write \$\$"):
        resolve(text, ENV)


def test_a_file_is_read_without_its_last_line_end(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("sk-from-file\n")
    assert resolve(f"file:{secret}", {}) == "sk-from-file"
    assert resolve("file:$DIR/key", {"DIR": str(tmp_path)}) == "sk-from-file"
    for form in (f'"file:{secret}"', f"{{file: {secret}}}"):
        found = model(loads(key_document(form), {}, name="f")).provider.api_key
        assert found is not None
        assert found.reveal() == "sk-from-file"


def test_what_is_no_small_text_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "big").write_text("x" * (64 * 1024 + 1))
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    os.mkfifo(tmp_path / "pipe")
    for name in ("big", "empty", "binary", "pipe", "none", "bad\0name"):
        with pytest.raises(ValueError, match="referenced file"):
            resolve(f"file:{tmp_path / name}", {})
    with pytest.raises(ValueError, match="referenced file"):
        resolve(f"file:{tmp_path}", {})


def test_numbers_and_choices_may_be_references() -> None:
    text = key_document("k") + (
        "  port: $PORT\n"
        "config:\n"
        "  workers: ${WORKERS:-2}\n"
        "  limits: {bodyBytes: $BODY}\n"
        "  deadlines: {idle: $IDLE, total: '${TOTAL:-60}'}\n"
        "  logging: {level: $LEVEL, access: $ACCESS}\n"
    )
    env = {"PORT": "8080", "BODY": "2MiB", "IDLE": "1m30s", "LEVEL": "warn", "ACCESS": "false"}
    env["HOME"] = "/home/p"
    settings = loads(text, env, name="f")
    assert settings.listeners[0].address.port == 8080
    assert settings.workers == 2
    assert settings.limits.body_bytes == 2 * 1024 * 1024
    assert (settings.deadlines.idle, settings.deadlines.total) == (90.0, 60.0)
    assert (settings.log.level, settings.log.access) == ("warn", False)


# --- provider keys ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "variable"),
    [
        ("openAI", "OPENAI_API_KEY"),
        ("anthropic", "ANTHROPIC_API_KEY"),
        ("gemini", "GEMINI_API_KEY"),
        ("gemini", "GOOGLE_API_KEY"),
        ("mistral", "MISTRAL_API_KEY"),
        ("groq", "GROQ_API_KEY"),
        ("deepseek", "DEEPSEEK_API_KEY"),
        ("xai", "XAI_API_KEY"),
        ("openrouter", "OPENROUTER_API_KEY"),
        ("togetherai", "TOGETHER_API_KEY"),
        ("fireworks", "FIREWORKS_API_KEY"),
        ("cerebras", "CEREBRAS_API_KEY"),
        ("deepinfra", "DEEPINFRA_API_KEY"),
        ("huggingface", "HF_TOKEN"),
        ("perplexity", "PERPLEXITY_API_KEY"),
        ("moonshot", "MOONSHOT_API_KEY"),
        ("nvidia", "NVIDIA_API_KEY"),
    ],
)
def test_an_omitted_key_comes_from_the_sdks_variable_or_is_an_error(
    kind: str, variable: str
) -> None:
    text = f"llm: {{models: [{{name: m, provider: {kind}}}]}}"
    found = model(loads(text, {variable: "sk-1"}, name="f")).provider.api_key
    assert found is not None
    assert found.reveal() == "sk-1"
    for env in ({}, {variable: ""}):
        with pytest.raises(ConfigError, match=rf"params\.apiKey: no key: set .*{variable}"):
            loads(text, env, name="f")


@pytest.mark.parametrize("kind", ["ollama", "vllm", "lmstudio"])
def test_a_local_server_needs_no_key(kind: str) -> None:
    text = f"llm: {{models: [{{name: m, provider: {kind}}}]}}"
    assert model(loads(text, {}, name="f")).provider.api_key is None


@pytest.mark.parametrize("key", ['""', '"${X:-}"', '"a b"', '"a\\nb"', '"é"', "1234", "[]", "no"])
def test_a_key_that_cannot_be_sent_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match=r"params\.apiKey"):
        loads(key_document(key), {}, name="f")


# --- base URLs ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "variable"),
    [
        ("openAI", "OPENAI_BASE_URL"),
        ("anthropic", "ANTHROPIC_BASE_URL"),
        ("gemini", "GOOGLE_GEMINI_BASE_URL"),
    ],
)
def test_the_sdks_base_url_variable_counts_where_the_document_names_none(
    kind: str, variable: str
) -> None:
    env = {variable: "http://env.example/v1/"}
    text = f"llm: {{models: [{{name: m, provider: {kind}, params: {{apiKey: k%s}}}}]}}"
    assert model(loads(text % "", env, name="f")).provider.base_url == "http://env.example/v1"
    own = text % ", baseUrl: 'https://doc.example'"
    assert model(loads(own, env, name="f")).provider.base_url == "https://doc.example"
    with pytest.raises(ConfigError, match=variable):
        loads(text % "", {variable: "http://user:pw@x"}, name="f")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x",
        "x",
        "//x",
        "http://",
        "http:///v1",
        "https://user:pw@x/v1",
        "https://x@y",
        "https://x/v1?a=b",
        "https://x/v1#a",
        "https://x?",
        "https://x/ v1",
        "https://x\\\\y",
        "https://é.com",
        "https://x:99999",
        "https://x:",
        "https://[::1",
        "https://[zz]",
        "https://x/../y",
        "https://x/%2e%2E/y",
        "https://x/a%",
        "https://x\\r\\nhost: y",
        "https://x\\ty",
    ],
)
def test_a_base_url_that_could_mean_something_else_is_refused(url: str) -> None:
    text = "llm: {models: [{name: m, provider: openAI, params: {apiKey: k, baseUrl: %s}}]}"
    with pytest.raises(ConfigError, match=r"baseUrl"):
        loads(text % f'"{url}"', {}, name="f")


@pytest.mark.parametrize(
    ("kind", "params", "tls", "wanted"),
    [
        ("openAI", "hostOverride: 'h:8000'", "", "http://h:8000/v1"),
        ("openAI", "hostOverride: 'h:443'", "", "https://h:443/v1"),
        ("openAI", "hostOverride: 'h:8443'", ", tls: {}", "https://h:8443/v1"),
        ("groq", "hostOverride: h", "", "http://h/openai/v1"),
        ("openAI", "hostOverride: h, pathPrefix: /api/v3", "", "http://h/api/v3"),
        ("anthropic", "hostOverride: h, pathPrefix: /api/v1", "", "http://h/api"),
        ("anthropic", "hostOverride: h", "", "http://h"),
        (
            "openAI",
            "hostOverride: h, pathOverride: /compatibility/v1/chat/completions",
            "",
            "http://h/compatibility/v1",
        ),
        ("anthropic", "hostOverride: h, pathOverride: /x/v1/messages", "", "http://h/x"),
    ],
)
def test_the_deprecated_overrides_become_a_base_url(
    kind: str, params: str, tls: str, wanted: str
) -> None:
    text = f"llm: {{models: [{{name: m, provider: {kind}, params: {{apiKey: k, {params}}}{tls}}}]}}"
    assert model(loads(text, {}, name="f")).provider.base_url == wanted


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ("pathPrefix: /x", "need hostOverride"),
        ("baseUrl: 'https://x', hostOverride: h", "takes the place"),
        ("hostOverride: 'h/x'", "hostOverride"),
        ("hostOverride: h, pathOverride: /x", "use baseUrl"),
        ("hostOverride: h, pathOverride: /a, pathPrefix: /b", "exclude each other"),
    ],
)
def test_overrides_that_cannot_be_expressed_are_refused(params: str, message: str) -> None:
    text = f"llm: {{models: [{{name: m, provider: openAI, params: {{apiKey: k, {params}}}}}]}}"
    with pytest.raises(ConfigError, match=message):
        loads(text, {}, name="f")


@pytest.mark.parametrize(
    ("base", "path", "wanted"),
    [
        ("https://x", "", "/v1/messages"),
        ("https://x/api", "", "/messages"),
        ("https://x/api", ", path: /m", "/m"),
    ],
)
def test_a_custom_format_without_a_path_has_the_usual_one(
    base: str, path: str, wanted: str
) -> None:
    text = (
        f"llm: {{models: [{{name: m, params: {{baseUrl: '{base}'}}, provider: "
        f"{{custom: {{model: up, providerOverride: us, formats: [{{type: messages{path}}}]}}}}}}]}}"
    )
    found = model(loads(text, {}, name="f"))
    assert (found.provider.kind, found.provider.name, found.model) == ("custom", "us", "up")
    assert found.provider.formats == {"messages": wanted}


# --- secrets ------------------------------------------------------------------------------------

SECRET = "sk-very-secret-0123456789"
CALLER = "caller-very-secret-987654"


def test_secrets_are_in_no_repr_and_no_dump() -> None:
    text = key_document("$K") + f"  policies: {{apiKey: {{keys: [{{key: {CALLER}}}]}}}}\n"
    settings = loads(text, {"K": SECRET}, name="f")
    dumped = effective(settings)
    key = settings.listeners[0].routes[0].api_key
    assert key is not None
    for shown in (repr(settings), str(settings), repr(dumped)):
        assert SECRET not in shown
        assert CALLER not in shown
    assert "***6789" in repr(dumped)
    assert key.keys[0].digest not in repr(dumped)
    assert f"sha256:{key.keys[0].digest[:8]}…" in repr(dumped)


@pytest.mark.parametrize(
    "text",
    [
        key_document(f'"{SECRET} x"'),
        key_document(f"[{SECRET}]"),
        key_document(f'"{SECRET}$"'),
        key_document(f"{{file: {SECRET}}}"),
        f"llm: {{models: [{{name: m, provider: {SECRET}}}]}}",
        f"llm: {{models: [{{name: m, provider: openAI, params: {SECRET}}}]}}",
        f"llm: {{port: {SECRET}, models: [{{name: m, provider: openAI}}]}}",
        f"llm:\n  apiKey: '{SECRET}",
        f"llm:\n  apiKey: *{SECRET}",
        f"llm:\n  apiKey: !{SECRET}! x",
        f"llm:\n  apiKey: !{SECRET} x",
        f"llm:\n  apiKey: {SECRET}: {SECRET}",
        f"config: {{deadlines: {{idle: {SECRET}}}, adminAddr: {SECRET}}}",
        f"llm: {{models: [], policies: {{apiKey: {{keys: [{{keyHash: {SECRET}}}]}}}}}}",
        f"llm: {{models: [{{name: m, provider: ollama, params: {{baseUrl: 'http://{SECRET}@x'}}}}]}}",
    ],
)
def test_no_error_repeats_a_value(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loads(text, {}, name="f")
    error = caught.value
    assert SECRET not in str(error)
    assert SECRET not in repr(error)
    assert error.__cause__ is None
    assert error.__context__ is None


@pytest.mark.parametrize(("form", "text"), [("json", '{"k": "%s"'), ("toml", 'k = "%s')])
def test_a_syntax_error_does_not_carry_the_source_text(form: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loads(text % SECRET, {}, name="f", form=form)  # type: ignore[arg-type]
    assert SECRET not in str(caught.value)
    assert caught.value.__context__ is None
