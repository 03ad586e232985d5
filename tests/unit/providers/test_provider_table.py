"""The provider table is data: every row is complete and says where its facts come from."""

import re
from urllib.parse import urlsplit

import pytest
from tests.support.gateway import model, provider, route, settings

from portico.config.settings import ProviderSettings
from portico.gateway.snapshot import Target, assemble
from portico.http.client import HttpClient
from portico.providers.base import DIALECT_NAMES, PREFERRED, Api, Provider, credential_header
from portico.providers.table import PROVIDERS

LOCAL = {"ollama", "vllm", "lmstudio"}
CLOUDS = {"azure", "vertex", "bedrock"}
PRESETS = [
    "mistral", "groq", "deepseek", "xai", "openrouter", "togetherai", "fireworks", "cerebras",
    "deepinfra", "perplexity", "moonshot", "huggingface", "nvidia", "ollama", "vllm", "lmstudio",
]  # fmt: skip


def every_api(row: Provider) -> list[tuple[str, Api]]:
    tables = (row.formats, *(family.formats for family in row.families))
    return [(word, api) for table in tables for word, api in table.items()]


@pytest.mark.parametrize("row", PROVIDERS.values(), ids=lambda row: row.kind)
def test_a_row_is_complete(row: Provider) -> None:
    if row.base_url:
        url = urlsplit(row.base_url)
        assert url.scheme == ("http" if row.kind in LOCAL else "https")
        assert (url.hostname == "127.0.0.1") == (row.kind in LOCAL)
        assert not row.base_url.endswith("/")
    else:
        assert row.kind == "azure"
    assert row.docs.startswith("https://")
    assert row.formats
    assert sorted(row.preferred) == sorted(PREFERRED)
    for name, value in row.headers:
        assert name == name.lower()
        assert value.isascii()
    for word, api in every_api(row):
        assert word in DIALECT_NAMES
        for path in (api.path, api.stream, api.count, row.models):
            assert not path or path.startswith("/")
            assert set(re.findall(r"{\w*}", path)) <= {"{model}", "{project}", "{region}",
                                                       "{version}"}  # fmt: skip


def test_the_presets_are_there_and_speak_chat() -> None:
    for kind in PRESETS:
        assert PROVIDERS[kind].formats["completions"].path == "/chat/completions"
        assert PROVIDERS[kind].auth == "bearer"


def test_credentials_go_where_the_provider_looks() -> None:
    assert credential_header("bearer", "k") == b"authorization: Bearer k\r\n"
    assert credential_header("x-api-key", "k") == b"x-api-key: k\r\n"
    assert credential_header("api-key", "k") == b"api-key: k\r\n"
    assert credential_header("x-goog-api-key", "k") == b"x-goog-api-key: k\r\n"
    assert credential_header("none", "k") == credential_header("bearer", None) == b""


def test_a_token_travels_as_a_bearer_token_only_where_the_provider_says_so() -> None:
    token = "eyJhbGciOi.eyJzdWIi.c2ln-_"
    sent = credential_header("api-key", token, jwt_bearer=True)
    assert sent == f"authorization: Bearer {token}\r\n".encode()
    assert credential_header("api-key", token) == f"api-key: {token}\r\n".encode()
    assert (
        credential_header("api-key", "eyJ-but-not", jwt_bearer=True) == b"api-key: eyJ-but-not\r\n"
    )


def target(served_by: ProviderSettings) -> Target:
    snapshot = assemble(settings(route([model("m", served_by)])), HttpClient(), {})
    return snapshot.fronts[0].routes[0].entries[0].target


@pytest.mark.parametrize("kind", sorted(set(PROVIDERS) - CLOUDS))
def test_a_head_is_one_whole_request_to_the_right_place(kind: str) -> None:
    row = PROVIDERS[kind]
    made = target(ProviderSettings(kind=kind, name="n"))
    base = urlsplit(row.base_url)
    assert made.ways.keys() == {DIALECT_NAMES[each] for each in row.formats}
    for each, api in row.formats.items():
        head = made.head(DIALECT_NAMES[each], "some/model", stream=False)
        first, *lines = head.decode().split("\r\n")
        path = api.path.replace("{model}", "some%2Fmodel")
        assert first == f"POST {'' if api.from_root else base.path}{path} HTTP/1.1"
        names = [line.split(":")[0] for line in lines if line]
        assert len(names) == len(set(names))
        assert lines[0] == f"host: {base.netloc}"


def test_heads_that_no_request_changes_are_made_once() -> None:
    made = target(ProviderSettings(kind="openAI", name="n"))
    assert made.heads.keys() == {"chat", "responses"}
    assert made.head("chat", "a", stream=False) is made.head("chat", "b", stream=True)


def test_a_base_url_of_ones_own_is_what_the_sdk_would_make_of_it() -> None:
    for url, line in (
        ("http://h:9/v1", "POST /v1/responses HTTP/1.1"),
        ("http://h:9/v1/", "POST /v1/responses HTTP/1.1"),
        ("http://h:9", "POST /responses HTTP/1.1"),
        ("http://[::1]:9/a/b", "POST /a/b/responses HTTP/1.1"),
    ):
        made = target(ProviderSettings(kind="openAI", name="n", base_url=url))
        assert made.heads["responses"].decode().split("\r\n")[0] == line
    made = target(ProviderSettings(kind="openAI", name="n", base_url="http://[::1]:9/a"))
    assert b"host: [::1]:9\r\n" in made.heads["chat"]
    with pytest.raises(ValueError, match="names no host"):
        target(ProviderSettings(kind="openAI", name="n", base_url="nonsense"))


def test_a_surface_beside_the_base_url_exists_at_the_public_host_only() -> None:
    made = target(ProviderSettings(kind="deepseek", name="n"))
    assert made.heads["messages"].startswith(b"POST /anthropic/v1/messages HTTP/1.1\r\n")
    mine = target(ProviderSettings(kind="deepseek", name="n", base_url="http://h:9/v1"))
    assert mine.ways.keys() == {"chat"}


def test_the_name_sent_upstream() -> None:
    served = provider("http://h:9")
    snapshot = assemble(
        settings(
            route(
                [
                    model("alias", served, "real"),
                    model("up/*", served, strip_prefix="up/"),
                    model("*", served),
                ]
            )
        ),
        HttpClient(),
        {},
    )
    find = snapshot.fronts[0].routes[0].models.find
    for asked, sent in (("alias", "real"), ("up/a/b", "a/b"), ("other", "other"), ("up", "up")):
        entry = find(asked)
        assert entry is not None
        assert entry.target.upstream_model(asked) == sent
