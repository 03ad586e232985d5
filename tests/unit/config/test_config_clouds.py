"""Azure, Vertex and Bedrock: what the document says, what the SDKs' variables say, what is missing;
and the keys of the translate lane."""

from typing import Any

import pytest

from portico.config.environment import from_environment
from portico.config.errors import ConfigError
from portico.config.load import loads
from portico.config.secret import Secret
from portico.config.settings import AwsKeys, ModelSettings, ProviderSettings, Settings

GCP = {"GOOGLE_CLOUD_PROJECT": "p-env", "GOOGLE_CLOUD_LOCATION": "europe-west4"}
AZURE = {"AZURE_OPENAI_API_KEY": "az-key"}


def settings(text: str, env: dict[str, str] | None = None) -> Settings:
    return loads(text, env or {}, name="f")


def llm(kind: str, env: dict[str, str] | None = None, **params: str) -> ProviderSettings:
    return models_of(settings(llm_text(kind, **params), env))[0].provider


def llm_text(kind: str, **params: str) -> str:
    inner = ", ".join(f"{key}: '{value}'" for key, value in params.items())
    return f"llm: {{models: [{{name: m, provider: {kind}, params: {{{inner}}}}}]}}"


def binds(kind: str, body: str = "{}", auth: str = "", env: dict[str, str] | None = None) -> Any:
    return models_of(settings(binds_text(kind, body, auth), env))[0].provider


def binds_text(kind: str, body: str = "{}", auth: str = "") -> str:
    policies = f", policies: {{backendAuth: {auth}}}" if auth else ""
    route = f"{{backends: [{{ai: {{provider: {{{kind}: {body}}}}}}}]{policies}}}"
    return f"binds: [{{port: 1, listeners: [{{routes: [{route}]}}]}}]"


def models_of(found: Settings) -> tuple[ModelSettings, ...]:
    return found.listeners[0].routes[0].models


def problem(text: str, env: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        settings(text, env)
    (line,) = caught.value.lines()
    return line


# --- what is understood -------------------------------------------------------------------------


def test_bedrock_signs_with_the_region_of_the_document_before_that_of_the_environment() -> None:
    env = {"AWS_REGION": "us-west-2", "AWS_DEFAULT_REGION": "us-east-2"}
    assert llm("bedrock", env, awsRegion="eu-central-1").region == "eu-central-1"
    assert llm("bedrock", env).region == "us-west-2"
    assert llm("bedrock", {"AWS_DEFAULT_REGION": "us-east-2"}).region == "us-east-2"
    assert llm("bedrock", env).api_key is None
    assert binds("bedrock", "{region: eu-west-1}").region == "eu-west-1"


def test_a_bedrock_api_key_is_found_where_the_sdk_looks() -> None:
    env = {"AWS_BEARER_TOKEN_BEDROCK": "absk", "AWS_REGION": "us-east-1"}
    assert llm("bedrock", env).api_key == Secret("absk")
    asked = binds("bedrock", "{region: us-east-1}", "{aws: {}}", env)
    assert asked.api_key is None
    assert asked.aws is None


def test_aws_keys_of_the_document_are_secrets() -> None:
    auth = "{aws: {accessKeyId: AKID, secretAccessKey: sk, sessionToken: st, region: eu-west-1}}"
    found = binds("bedrock", auth=auth)
    assert found.region == "eu-west-1"
    assert found.aws == AwsKeys(
        access_key_id="AKID", secret_access_key=Secret("sk"), session_token=Secret("st")
    )


def test_vertex_takes_place_and_project_from_either() -> None:
    found = llm("vertex", GCP)
    assert (found.project, found.region, found.api_key) == ("p-env", "europe-west4", None)
    found = llm("vertex", GCP, vertexProject="p-doc", vertexRegion="us-east5")
    assert (found.project, found.region) == ("p-doc", "us-east5")
    assert llm("vertex", vertexProject="p").region == "global"
    found = binds("vertex", "{projectId: p, region: eu}", "{gcp: {}}")
    assert (found.project, found.region) == ("p", "eu")


def test_a_vertex_key_without_a_project_is_the_express_mode_whatever_the_environment_says() -> None:
    found = llm("vertex", GCP, apiKey="AIza")
    assert (found.project, found.region, found.api_key) == (None, None, Secret("AIza"))
    assert llm("vertex", GCP, apiKey="AIza", vertexProject="p").project == "p"


@pytest.mark.parametrize(
    ("params", "url", "project", "version"),
    [
        ({"azureResourceName": "Res"}, "https://res.openai.azure.com", None, None),
        (
            {"azureResourceName": "r", "azureResourceType": "foundry"},
            "https://r.services.ai.azure.com", None, None,
        ),
        (
            {"azureResourceName": "r", "azureResourceType": "aiServices",
             "azureProjectName": "proj"},
            "https://r.services.ai.azure.com", "proj", None,
        ),
        (
            {"azureResourceName": "r", "azureApiVersion": "2024-10-21"},
            "https://r.openai.azure.com", None, "2024-10-21",
        ),
        ({"azureResourceName": "r", "azureApiVersion": "v1"}, "https://r.openai.azure.com", None,
         None),
        ({"baseUrl": "https://x.openai.azure.com/openai/v1/"}, "https://x.openai.azure.com", None,
         None),
        ({"baseUrl": "https://x.openai.azure.com/openai"}, "https://x.openai.azure.com", None,
         None),
        ({"baseUrl": "https://apim.example/team"}, "https://apim.example/team", None, None),
    ],
)  # fmt: skip
def test_azure_is_addressed_by_resource_or_base_url(
    params: dict[str, str], url: str, project: str | None, version: str | None
) -> None:
    found = llm("azure", AZURE, **params)
    assert (found.base_url, found.project, found.api_version) == (url, project, version)


def test_azure_reads_the_variables_of_its_sdk() -> None:
    env = {
        **AZURE,
        "AZURE_OPENAI_ENDPOINT": "https://env.openai.azure.com/",
        "OPENAI_API_VERSION": "2025-03-01-preview",
    }
    found = llm("azure", env)
    assert found.base_url == "https://env.openai.azure.com"
    assert found.api_version == "2025-03-01-preview"
    assert found.api_key == Secret("az-key")
    named = llm("azure", env, azureResourceName="doc", azureApiVersion="v1")
    assert (named.base_url, named.api_version) == ("https://doc.openai.azure.com", None)
    token = {"AZURE_OPENAI_AD_TOKEN": "eyJ.a.b", "AZURE_OPENAI_ENDPOINT": "https://a.b"}
    assert llm("azure", token).api_key == Secret("eyJ.a.b")


def test_both_forms_of_a_cloud_mean_the_same() -> None:
    mine = llm(
        "azure",
        AZURE,
        azureResourceName="r",
        azureResourceType="foundry",
        azureProjectName="p",
    )
    body = "{resourceName: r, resourceType: foundry, projectName: p}"
    assert binds("azure", body, env=AZURE) == mine
    assert llm("vertex", vertexProject="p", vertexRegion="eu") == binds(
        "vertex", "{projectId: p, region: eu}"
    )
    assert llm("bedrock", awsRegion="us-east-1") == binds("bedrock", "{region: us-east-1}")


@pytest.mark.parametrize(("alias", "kind"), [("azureOpenAI", "azure"), ("together", "togetherai")])
def test_other_names_of_a_kind_mean_that_kind(alias: str, kind: str) -> None:
    env = {**AZURE, "TOGETHER_API_KEY": "t", "AZURE_OPENAI_ENDPOINT": "https://a.b"}
    for found in (llm(alias, env), binds(alias, env=env)):
        assert (found.kind, found.name) == (kind, alias)


# --- what is missing or does not fit ------------------------------------------------------------

AT = "$.llm.models[0].params"
IN = "$.binds[0].listeners[0].routes[0]"
PROVIDER = f"{IN}.backends[0].ai.provider"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            llm_text("bedrock"),
            f"{AT}.awsRegion: bedrock needs a region: write awsRegion, or set AWS_REGION",
        ),
        (
            binds_text("bedrock"),
            f"{PROVIDER}.bedrock.region: bedrock needs a region: write region, or set AWS_REGION",
        ),
        (
            llm_text("bedrock", baseUrl="https://vpce.example"),
            f"{AT}.awsRegion: bedrock needs a region",
        ),
        (
            llm_text("vertex"),
            f"{AT}.vertexProject: vertex needs a project: write vertexProject, or set GOOGLE_CLOUD",
        ),
        (
            llm_text("vertex", apiKey="k", vertexRegion="eu"),
            f"{AT}.vertexRegion: has no effect without vertexProject",
        ),
        (
            llm_text("azure", apiKey="k"),
            "azure needs a resource: write azureResourceName or baseUrl, or set AZURE_OPENAI_END",
        ),
        (
            llm_text("azure", azureResourceName="r"),
            f"{AT}.apiKey: no key: set AZURE_OPENAI_API_KEY or AZURE_OPENAI_AD_TOKEN",
        ),
        (
            llm_text("azure", apiKey="k", azureResourceName="r", baseUrl="https://a.b"),
            f"{AT}.azureResourceName: baseUrl takes its place",
        ),
        (
            llm_text("azure", apiKey="k", azureResourceName="r", azureProjectName="p"),
            f"{AT}.azureProjectName: needs azureResourceType: foundry",
        ),
        (
            llm_text("azure", apiKey="k", baseUrl="https://a.b", azureResourceType="foundry"),
            f"{AT}.azureResourceType: has no effect without azureResourceName",
        ),
        (
            llm_text(
                "azure", apiKey="k", azureResourceName="r", azureResourceType="foundry",
                azureProjectName="p", azureApiVersion="2024-10-21",
            ),
            f"{AT}.azureApiVersion: has no effect with a project",
        ),
        (
            llm_text("azure", apiKey="k", azureResourceName="r.evil"),
            f"{AT}.azureResourceName: not a resource name",
        ),
        (
            llm_text("azure", apiKey="k", azureResourceName="r", azureApiVersion="2024"),
            f"{AT}.azureApiVersion: expected v1, preview, or a date",
        ),
        (llm_text("bedrock", awsRegion="us-east-1/x"), f"{AT}.awsRegion: not a region"),
        (llm_text("vertex", vertexProject="../p"), f"{AT}.vertexProject: not a project id"),
        (llm_text("ollama", awsRegion="us-east-1"), f"{AT}.awsRegion: belongs to bedrock"),
        (
            llm_text("vertex", vertexProject="p", azureProjectName="q"),
            f"{AT}.azureProjectName: belongs to azure",
        ),
        (
            binds_text("ollama", "{region: us-east-1}"),
            f"{PROVIDER}.ollama.region: belongs to bedrock and vertex",
        ),
        (
            binds_text("ollama", auth="{aws: {}}"),
            f"{IN}.policies.backendAuth.aws: belongs to bedrock",
        ),
        (
            binds_text("bedrock", "{region: us-east-1}", "{}"),
            f"{IN}.policies.backendAuth: exactly one of key, keys, aws and gcp is needed",
        ),
        (
            binds_text("bedrock", "{region: us-east-1}", "{key: k, aws: {}}"),
            f"{IN}.policies.backendAuth: exactly one of key, keys, aws and gcp is needed",
        ),
        (
            binds_text("bedrock", "{region: us-east-1}", "{aws: {accessKeyId: a}}"),
            f"{IN}.policies.backendAuth.aws: accessKeyId and secretAccessKey go together",
        ),
        (
            binds_text("bedrock", "{region: us-east-1}", "{aws: {sessionToken: a}}"),
            f"{IN}.policies.backendAuth.aws: a session token goes with the two keys",
        ),
    ],
)  # fmt: skip
def test_what_a_cloud_cannot_do_without_is_asked_for_with_the_fix(text: str, message: str) -> None:
    assert message in problem(text)


def test_a_variable_that_cannot_be_used_is_named() -> None:
    line = problem(llm_text("bedrock"), {"AWS_REGION": "a b"})
    assert "the environment variable AWS_REGION: not a region" in line
    assert "a b" not in line


def test_a_bedrock_key_at_an_address_of_its_own_needs_no_region() -> None:
    assert llm("bedrock", apiKey="k", baseUrl="https://vpce.example").region is None
    assert "needs a region" in problem(llm_text("bedrock", apiKey="k"))


# --- custom formats -----------------------------------------------------------------------------


def custom(formats: str, url: str = "https://h") -> str:
    return (
        f"llm: {{models: [{{name: m, params: {{baseUrl: '{url}'}}, "
        f"provider: {{custom: {{formats: [{formats}]}}}}}}]}}"
    )


def test_a_custom_provider_may_speak_gemini_and_converse() -> None:
    words = ("generateContent", "geminiCountTokens", "converse", "messages", "anthropicTokenCount")
    text = ", ".join(f"{{type: {word}}}" for word in words)
    assert models_of(settings(custom(text)))[0].provider.formats == {
        "generateContent": "/v1beta/models/{model}:generateContent",
        "geminiCountTokens": "/v1beta/models/{model}:countTokens",
        "converse": "/model/{model}/converse",
        "messages": "/v1/messages",
        "anthropicTokenCount": "/v1/messages/count_tokens",
    }
    found = models_of(settings(custom("{type: converse}", "https://h/p")))[0].provider
    assert found.formats == {"converse": "/model/{model}/converse"}


@pytest.mark.parametrize(
    ("formats", "message"),
    [
        (
            "{type: generateContent, path: '/x/{model}'}",
            "formats[0].path: the path has to end in :generateContent",
        ),
        ("{type: converse, path: /x/converse}", "formats[0].path: the path has to hold {model}"),
        (
            "{type: completions}, {type: anthropicTokenCount}",
            "formats: anthropicTokenCount counts for messages, which is not listed",
        ),
    ],
)
def test_a_custom_format_that_cannot_work_is_refused(formats: str, message: str) -> None:
    assert message in problem(custom(formats))


# --- losses, remote content, the sealing key ----------------------------------------------------


def test_a_models_word_on_losses_and_remote_content_wins_over_its_providers() -> None:
    text = """
llm:
  providers:
  - {name: p, provider: ollama, onLoss: reject, fetchRemoteContent: true}
  models:
  - {name: a, provider: {reference: p}}
  - {name: b, provider: {reference: p}, onLoss: ignore, fetchRemoteContent: false}
  - {name: c, provider: ollama}
"""
    found = [(m.on_loss, m.fetch_remote_content) for m in models_of(settings(text))]
    assert found == [("reject", True), ("ignore", False), ("warn", False)]


def test_the_binds_form_has_the_keys_of_translation_too() -> None:
    text = (
        "binds: [{port: 1, listeners: [{routes: [{backends: [{ai: {provider: {ollama: {}}, "
        "onLoss: ignore, fetchRemoteContent: true}}], "
        "policies: {ai: {modelAliases: {fast: small}}}}]}]}]"
    )
    assert [(m.on_loss, m.fetch_remote_content) for m in models_of(settings(text))] == [
        ("ignore", True),
        ("ignore", True),
    ]


MODELS = "llm: {models: [{name: m, provider: ollama}]}\n"
LONG = "0123456789abcdef" * 2


def test_the_sealing_key_comes_from_the_document_or_the_environment() -> None:
    written = MODELS + f"config: {{sealingKey: {LONG}}}"
    env = {"PORTICO_SEALING_KEY": "e" * 32}
    assert settings(written, env).sealing_key == Secret(LONG)
    assert settings(MODELS, env).sealing_key == Secret("e" * 32)
    assert settings(MODELS).sealing_key is None
    alone = from_environment({**env, "OPENAI_API_KEY": "k"})
    assert alone is not None
    assert alone.sealing_key == Secret("e" * 32)


def test_a_short_sealing_key_is_refused_without_being_shown() -> None:
    line = problem(MODELS + "config: {sealingKey: tooshort}")
    assert line.startswith("f:2: $.config.sealingKey: a sealing key has at least 32 characters")
    assert "tooshort" not in line
    line = problem(MODELS, {"PORTICO_SEALING_KEY": "tooshort"})
    assert "PORTICO_SEALING_KEY: a sealing key has at least 32" in line
    with pytest.raises(ConfigError, match="PORTICO_SEALING_KEY"):
        from_environment({"OPENAI_API_KEY": "k", "PORTICO_SEALING_KEY": "tooshort"})
