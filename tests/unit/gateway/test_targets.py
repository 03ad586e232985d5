"""Where a request goes, by provider, model and dialect: paths, credentials, what a body needs."""

import json
from typing import Any

import pytest
from tests.support.gateway import model, route, settings

from portico.config.errors import ConfigError
from portico.config.secret import Secret
from portico.config.settings import AwsKeys, ProviderSettings
from portico.errors import NotFound, UpstreamAuth
from portico.gateway.snapshot import Target, assemble
from portico.http.client import HttpClient
from portico.providers.signing.google import GoogleCredential

JWT = "eyJhbGciOi.eyJzdWIi.c2ln"


def target(
    kind: str, key: str | None = "k", env: dict[str, str] | None = None, **more: Any
) -> Target:
    secret = None if key is None else Secret(key)
    served_by = ProviderSettings(kind=kind, name=kind, api_key=secret, **more)
    return of_model(model("m", served_by), env)


def of_model(entry: Any, env: dict[str, str] | None = None) -> Target:
    snapshot = assemble(settings(route([entry])), HttpClient(), env or {})
    return snapshot.fronts[0].routes[0].entries[0].target


def azure(key: str | None = "k", **more: Any) -> Target:
    return target("azure", key, base_url="https://r.openai.azure.com", **more)


def vertex(key: str | None = "k", **more: Any) -> Target:
    return target("vertex", key, **{"project": "p", "region": "europe-west4", **more})


def bedrock(key: str | None = "k", **more: Any) -> Target:
    return target("bedrock", key, **{"region": "us-east-1", **more})


def first_line(head: bytes) -> str:
    return head.split(b"\r\n", 1)[0].decode()


def lines(head: bytes) -> dict[str, str]:
    pairs = (line.partition(": ") for line in head.decode().split("\r\n")[1:] if line)
    return {name: value for name, _, value in pairs}


PLACE = "projects/p/locations/europe-west4"
CASES = [
    (lambda: target("gemini"), "gemini", "gemini-2.5-pro", False,
     "/v1beta/models/gemini-2.5-pro:generateContent"),
    (lambda: target("gemini"), "gemini", "models/gemini-2.5-pro", True,
     "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse"),
    (lambda: target("gemini"), "chat", "gemini-2.5-pro", True, "/v1beta/openai/chat/completions"),
    (azure, "chat", "my deployment", True, "/openai/v1/chat/completions"),
    (azure, "responses", "gpt-5", False, "/openai/v1/responses"),
    (azure, "messages", "Claude-opus-4-1", False, "/anthropic/v1/messages"),
    (lambda: azure(api_version="preview"), "responses", "gpt-5", False,
     "/openai/v1/responses?api-version=preview"),
    (lambda: azure(api_version="2024-10-21"), "chat", "my deployment/x", False,
     "/openai/deployments/my%20deployment%2Fx/chat/completions?api-version=2024-10-21"),
    (lambda: azure(api_version="2025-03-01-preview"), "responses", "gpt-5", True,
     "/openai/responses?api-version=2025-03-01-preview"),
    (lambda: azure(project="proj"), "chat", "gpt-5", False,
     "/api/projects/proj/openai/v1/chat/completions"),
    (vertex, "gemini", "gemini-2.5-pro", False,
     f"/v1beta1/{PLACE}/publishers/google/models/gemini-2.5-pro:generateContent"),
    (vertex, "gemini", "google/gemini-2.5-pro", True,
     f"/v1beta1/{PLACE}/publishers/google/models/gemini-2.5-pro:streamGenerateContent?alt=sse"),
    (vertex, "messages", "claude-opus-4@20250514", False,
     f"/v1/{PLACE}/publishers/anthropic/models/claude-opus-4@20250514:rawPredict"),
    (vertex, "messages", "publishers/anthropic/models/claude-opus-4", True,
     f"/v1/{PLACE}/publishers/anthropic/models/claude-opus-4:streamRawPredict"),
    (vertex, "messages", "anthropic/claude-opus-4", True,
     f"/v1/{PLACE}/publishers/anthropic/models/claude-opus-4:streamRawPredict"),
    (vertex, "chat", "meta/llama-4-maverick", False,
     f"/v1/{PLACE}/endpoints/openapi/chat/completions"),
    (lambda: vertex(project=None, region=None), "gemini", "gemini-2.5-pro", False,
     "/v1beta1/publishers/google/models/gemini-2.5-pro:generateContent"),
    (bedrock, "converse", "anthropic.claude-3-5-sonnet-20241022-v2:0", False,
     "/model/anthropic.claude-3-5-sonnet-20241022-v2%3A0/converse"),
    (bedrock, "converse", "arn:aws:bedrock:us-east-1:1:inference-profile/us.x", True,
     "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.x/converse-stream"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "dialect", "name", "stream", "path"), CASES)
def test_a_request_goes_to_the_path_of_its_provider_model_and_dialect(
    make: Any, dialect: str, name: str, stream: bool, path: str
) -> None:
    assert first_line(make().head(dialect, name, stream)) == f"POST {path} HTTP/1.1"


@pytest.mark.parametrize(
    ("made", "host"),
    [
        (vertex, "europe-west4-aiplatform.googleapis.com"),
        (lambda: vertex(region="global"), "aiplatform.googleapis.com"),
        (lambda: vertex(region="eu"), "aiplatform.eu.rep.googleapis.com"),
        (lambda: vertex(project=None, region=None), "aiplatform.googleapis.com"),
        (bedrock, "bedrock-runtime.us-east-1.amazonaws.com"),
        (azure, "r.openai.azure.com"),
    ],
)
def test_a_cloud_is_at_the_host_of_its_region(made: Any, host: str) -> None:
    built = made()
    assert built.host == built.pool.origin.authority == host.encode()


@pytest.mark.parametrize(
    ("make", "dialect", "name", "header", "value"),
    [
        (lambda: target("gemini"), "gemini", "g", "x-goog-api-key", "k"),
        (lambda: target("gemini"), "chat", "g", "authorization", "Bearer k"),
        (azure, "chat", "g", "api-key", "k"),
        (azure, "messages", "claude-x", "x-api-key", "k"),
        (lambda: azure(JWT), "chat", "g", "authorization", f"Bearer {JWT}"),
        (lambda: azure(JWT), "messages", "claude-x", "authorization", f"Bearer {JWT}"),
        (vertex, "gemini", "g", "x-goog-api-key", "k"),
        (bedrock, "converse", "c", "authorization", "Bearer k"),
    ],
)
def test_the_key_goes_where_each_surface_looks(
    make: Any, dialect: str, name: str, header: str, value: str
) -> None:
    sent = lines(make().head(dialect, name, stream=False))
    carriers = {"x-goog-api-key", "authorization", "api-key", "x-api-key"} & sent.keys()
    assert carriers == {header}
    assert sent[header] == value


@pytest.mark.parametrize(
    ("make", "name", "spoken"),
    [
        (vertex, "claude-opus-4", {"chat": "messages", "responses": "messages"}),
        (vertex, "gemini-3-pro", {"chat": "gemini", "messages": "gemini"}),
        (vertex, "mistralai/x", {"chat": "chat", "messages": "chat"}),
        (azure, "claude-opus", {"chat": "messages", "messages": "messages"}),
        (azure, "gpt-5", {"messages": "responses", "chat": "chat"}),
        (lambda: target("gemini"), "g", {"messages": "gemini", "chat": "chat"}),
        (lambda: target("openAI"), "g", {"messages": "responses", "chat": "chat"}),
        (lambda: target("anthropic"), "g", {"responses": "messages", "chat": "messages"}),
        (lambda: target("groq"), "g", {"messages": "chat", "responses": "responses"}),
        (lambda: target("deepseek"), "g", {"messages": "messages", "responses": "chat"}),
        (bedrock, "g", {"chat": "converse", "messages": "converse", "responses": "converse"}),
    ],
)
def test_a_clients_dialect_is_kept_if_spoken_and_else_becomes_the_richest(
    make: Any, name: str, spoken: dict[str, str]
) -> None:
    made = make()
    for client, upstream in spoken.items():
        assert made.dialect_for(client, name) == upstream
        assert (client in made.spoken(name)) == (client == upstream)


@pytest.mark.parametrize(
    ("make", "dialect", "name", "path"),
    [
        (lambda: target("anthropic"), "messages", "c", "/v1/messages/count_tokens"),
        (lambda: target("openAI"), "responses", "c", "/v1/responses/input_tokens"),
        (lambda: target("openAI"), "chat", "c", None),
        (lambda: target("openAI"), "messages", "c", None),
        (lambda: target("gemini"), "gemini", "g", "/v1beta/models/g:countTokens"),
        (vertex, "gemini", "g", f"/v1beta1/{PLACE}/publishers/google/models/g:countTokens"),
        (
            vertex, "messages", "claude-x",
            f"/v1/{PLACE}/publishers/anthropic/models/count-tokens:rawPredict",
        ),
        (bedrock, "converse", "a:0", "/model/a%3A0/count-tokens"),
    ],
)  # fmt: skip
def test_tokens_are_counted_where_the_provider_counts_them(
    make: Any, dialect: str, name: str, path: str | None
) -> None:
    head = make().count_head(dialect, name)
    assert (None if head is None else first_line(head)) == (path and f"POST {path} HTTP/1.1")


def test_a_custom_provider_streams_and_counts_at_paths_made_from_its_own() -> None:
    formats = {
        "generateContent": "/g/{model}:generateContent",
        "geminiCountTokens": "/g/{model}:countTokens",
        "converse": "/model/{model}/converse",
        "messages": "/v1/messages",
        "anthropicTokenCount": "/v1/count",
    }
    made = target("custom", base_url="http://h:9/up", formats=formats)
    assert made.ways.keys() == {"gemini", "converse", "messages"}
    assert first_line(made.head("gemini", "x", stream=True)) == (
        "POST /up/g/x:streamGenerateContent?alt=sse HTTP/1.1"
    )
    assert first_line(made.head("converse", "x", stream=True)) == (
        "POST /up/model/x/converse-stream HTTP/1.1"
    )
    assert first_line(made.count_head("messages", "x") or b"") == "POST /up/v1/count HTTP/1.1"
    assert first_line(made.count_head("gemini", "x") or b"") == "POST /up/g/x:countTokens HTTP/1.1"
    assert made.count_head("converse", "x") is None


@pytest.mark.parametrize("name", ["", ".", "..", "..."])
def test_a_model_that_would_be_another_place_does_not_exist(name: str) -> None:
    with pytest.raises(NotFound):
        bedrock().head("converse", name, stream=False)


@pytest.mark.parametrize("name", ["a b", "a\r\nx: y", "é", "a?b#c", "../x", "%2e%2e", "a\0"])
def test_a_model_stays_one_segment_of_the_path(name: str) -> None:
    head = bedrock().head("converse", name, stream=False)
    path = first_line(head).split(" ")
    assert len(path) == 3
    assert path[1].count("/") == 3
    assert not set(path[1]) & set("?#\0")
    assert set(lines(head)) == set(lines(bedrock().head("converse", "a", stream=False)))


def test_claude_on_vertex_has_its_version_in_the_body_and_its_model_in_the_path() -> None:
    made = vertex()
    payload = b'{"model":"claude-x","max_tokens":1,"messages":[]}'
    assert json.loads(made.add_members(payload, "messages", "claude-x")) == {
        "anthropic_version": "vertex-2023-10-16",
        "max_tokens": 1,
        "messages": [],
    }
    assert made.add_members(payload, "chat", "meta/x") is payload
    # One path counts for all Claude models, so there the body names the model.
    name = "publishers/anthropic/models/claude-x"
    counted = json.loads(made.add_members(payload, "messages", name, counting=True))
    assert counted["model"] == "claude-x"
    assert counted["anthropic_version"] == "vertex-2023-10-16"
    plain = target("anthropic")
    assert plain.add_members(payload, "messages", "claude-x") is payload


def test_what_a_model_entry_says_of_losses_reaches_its_target() -> None:
    served_by = ProviderSettings(kind="ollama", name="o")
    made = of_model(model("m", served_by, on_loss="reject", fetch_remote_content=True))
    assert (made.on_loss, made.fetch_remote_content, made.kind) == ("reject", True, "ollama")
    made = of_model(model("m", served_by))
    assert (made.on_loss, made.fetch_remote_content) == ("warn", False)


# --- the origin ---------------------------------------------------------------------------------


def test_an_origin_is_stable_and_tells_accounts_and_places_apart() -> None:
    one = target("openAI", "sk-one").origin
    assert one == target("openAI", "sk-one").origin
    kind, _, digits = one.partition(":")
    assert kind == "openAI"
    assert len(digits) == 12
    assert int(digits, 16) >= 0
    others = [
        target("openAI", "sk-two"),
        target("openAI", None),
        target("openAI", "sk-one", base_url="https://proxy.example/v1"),
        bedrock("sk-one"),
        bedrock("sk-one", region="us-west-2"),
    ]
    assert len({one, *(other.origin for other in others)}) == len(others) + 1


def test_an_origin_does_not_depend_on_the_dialect_or_the_model() -> None:
    served_by = ProviderSettings(kind="openAI", name="n", api_key=Secret("k"))
    assert of_model(model("a", served_by)).origin == of_model(model("b*", served_by)).origin


# --- credentials that are made per request ------------------------------------------------------

KEYS = AwsKeys(access_key_id="AKIDEXAMPLE", secret_access_key=Secret("s" * 40))


async def test_bedrock_requests_are_signed_with_the_documents_keys() -> None:
    made = bedrock(None, aws=KEYS)
    head = made.head("converse", "a:0", stream=False)
    assert "authorization" not in lines(head)
    signed = (await made.sign(head, b"{}")).decode()
    assert signed.endswith("\r\n")
    assert "Credential=AKIDEXAMPLE/" in signed
    assert "/us-east-1/bedrock/aws4_request" in signed
    assert "s" * 40 not in signed
    assert (await made.sign(head, b"[]")).decode() != signed


async def test_a_fixed_key_needs_no_signature() -> None:
    made = bedrock()
    assert made.authorize is None
    assert await made.sign(made.head("converse", "a", stream=False), b"{}") == b""


def test_models_that_use_the_same_credential_share_it() -> None:
    served_by = ProviderSettings(kind="bedrock", name="b", region="us-east-1", aws=KEYS)
    elsewhere = ProviderSettings(kind="bedrock", name="b", region="us-west-2", aws=KEYS)
    entries = [model("a", served_by), model("b", served_by), model("c", elsewhere)]
    snapshot = assemble(settings(route(entries)), HttpClient(), {})
    a, b, c = (entry.target for entry in snapshot.fronts[0].routes[0].entries)
    assert a.authorize is b.authorize is not None
    assert c.authorize is not a.authorize


def test_vertex_without_a_key_asks_for_googles_default_credentials() -> None:
    served_by = ProviderSettings(kind="vertex", name="v", project="p", region="eu")
    elsewhere = ProviderSettings(kind="vertex", name="v", project="q", region="us")
    entries = [model("a", served_by), model("b", elsewhere)]
    snapshot = assemble(settings(route(entries)), HttpClient(), {})
    a, b = (entry.target for entry in snapshot.fronts[0].routes[0].entries)
    assert isinstance(a.authorize, GoogleCredential)
    assert a.authorize is b.authorize
    assert "authorization" not in lines(a.head("gemini", "g", stream=False))
    assert a.origin != b.origin


def test_without_any_source_of_credentials_the_configuration_is_refused() -> None:
    with pytest.raises(ConfigError, match="no usable credential"):
        bedrock(None, env={"AWS_EC2_METADATA_DISABLED": "true"})


async def test_a_credential_that_never_comes_is_the_providers_fault_not_the_callers() -> None:
    class Never:
        def headers(self, method: str, path: bytes, host: bytes, body: bytes) -> bytes | None:
            return None

        async def ready(self) -> None:
            return None

    made = bedrock()
    made.authorize = Never()
    with pytest.raises(UpstreamAuth):
        await made.sign(made.head("converse", "a", stream=False), b"{}")
