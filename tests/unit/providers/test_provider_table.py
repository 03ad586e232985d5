"""The provider table is data: every row is complete and says where its facts come from."""

from urllib.parse import urlsplit

import pytest
from tests.support.gateway import model, provider, route, settings

from portico.config.settings import ProviderSettings
from portico.dialects.registry import DIALECTS
from portico.gateway.snapshot import Target, assemble
from portico.http.client import HttpClient
from portico.providers.base import Provider, credential_header
from portico.providers.table import PROVIDERS

LOCAL = {"ollama", "vllm", "lmstudio"}


@pytest.mark.parametrize("row", PROVIDERS.values(), ids=lambda row: row.kind)
def test_a_row_is_complete(row: Provider) -> None:
    url = urlsplit(row.base_url)
    assert url.scheme == ("http" if row.kind in LOCAL else "https")
    assert (url.hostname == "127.0.0.1") == (row.kind in LOCAL)
    assert not row.base_url.endswith("/")
    assert row.docs.startswith("https://")
    assert row.formats
    assert row.formats.keys() <= DIALECTS.keys()
    assert all(path.startswith("/") for path in (*row.formats.values(), row.models) if path)
    for name, value in row.headers:
        assert name == name.lower()
        assert value.isascii()


def test_credentials_go_where_the_provider_looks() -> None:
    assert credential_header("bearer", "k") == b"authorization: Bearer k\r\n"
    assert credential_header("x-api-key", "k") == b"x-api-key: k\r\n"
    assert credential_header("none", "k") == credential_header("bearer", None) == b""


def target(served_by: ProviderSettings) -> Target:
    snapshot = assemble(settings(route([model("m", served_by)])), HttpClient())
    return snapshot.fronts[0].routes[0].entries[0].target


@pytest.mark.parametrize("kind", sorted(PROVIDERS))
def test_a_head_is_one_whole_request_to_the_right_place(kind: str) -> None:
    row = PROVIDERS[kind]
    made = target(ProviderSettings(kind=kind, name="n"))
    base = urlsplit(row.base_url)
    assert made.heads.keys() == {DIALECTS[each].name for each in row.formats}
    for each, path in row.formats.items():
        first, *lines = made.heads[DIALECTS[each].name].decode().split("\r\n")
        assert first == f"POST {base.path}{path} HTTP/1.1"
        names = [line.split(":")[0] for line in lines if line]
        assert len(names) == len(set(names))
        assert lines[0] == f"host: {base.netloc}"


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
    )
    find = snapshot.fronts[0].routes[0].models.find
    for asked, sent in (("alias", "real"), ("up/a/b", "a/b"), ("other", "other"), ("up", "up")):
        entry = find(asked)
        assert entry is not None
        assert entry.target.upstream_model(asked) == sent
