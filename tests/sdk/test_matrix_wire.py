"""How each provider is addressed, and the blocking clients in front of them."""

import asyncio

import anthropic
import openai
import pytest
from tests.support.gateway import CALLER_KEY, OPERATOR_KEY
from tests.support.matrix import Matrix
from tests.support.talks import CLIENTS, talk

pytestmark = pytest.mark.asyncio(loop_scope="session")

PROJECT = "/v1beta1/projects/demo-project/locations/europe-west4/publishers/google/models"
CLAUDE = "/v1/projects/demo-project/locations/europe-west4/publishers/anthropic/models"
BEDROCK = "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0"
BEARER = ("authorization", f"Bearer {OPERATOR_KEY}")
WIRES: dict[str, tuple[str, str, tuple[str, str]]] = {
    "responses": ("/v1/responses", "/v1/responses", BEARER),
    "chat": ("/v1/chat/completions", "/v1/chat/completions", BEARER),
    "messages": ("/v1/messages", "/v1/messages", BEARER),
    "gemini": (
        "/v1beta/models/gemini-3-pro:generateContent",
        "/v1beta/models/gemini-3-pro:streamGenerateContent",
        ("x-goog-api-key", OPERATOR_KEY),
    ),
    "vertex": (
        f"{PROJECT}/gemini-3-pro:generateContent",
        f"{PROJECT}/gemini-3-pro:streamGenerateContent",
        ("x-goog-api-key", OPERATOR_KEY),
    ),
    "vertex-claude": (
        f"{CLAUDE}/claude-sonnet-4-5@20250929:rawPredict",
        f"{CLAUDE}/claude-sonnet-4-5@20250929:streamRawPredict",
        ("x-goog-api-key", OPERATOR_KEY),
    ),
    "bedrock": (f"{BEDROCK}/converse", f"{BEDROCK}/converse-stream", ("authorization", "AWS4-")),
    "azure": ("/openai/v1/responses", "/openai/v1/responses", ("api-key", OPERATOR_KEY)),
    "azure-dated": ("/openai/responses", "/openai/responses", ("api-key", OPERATOR_KEY)),
}


@pytest.mark.parametrize("cell", WIRES)
async def test_each_provider_is_asked_at_its_place_with_its_credential(
    matrix: Matrix, cell: str
) -> None:
    whole, streamed, (name, value) = WIRES[cell]
    for stream, path in ((False, whole), (True, streamed)):
        talking = talk("messages" if cell != "messages" else "responses", matrix.sdks, cell)
        talking.say("Hello")
        await talking.answer(stream=stream)
        seen = matrix.seen[-1]
        assert seen.path == path
        assert seen.headers[name.encode()].decode().startswith(value)
        if cell == "bedrock":
            assert b"/us-east-1/bedrock/aws4_request" in seen.headers[b"authorization"]
            assert seen.headers[b"x-amz-date"]
        assert CALLER_KEY.encode() not in b"".join(seen.headers.values()) + seen.body


async def test_azures_deployment_is_in_the_path(matrix: Matrix) -> None:
    talking = talk("chat", matrix.sdks, "azure-dated")
    talking.say("Hello")
    await talking.answer(stream=True)
    assert matrix.seen[-1].path == "/openai/deployments/o4-mini/chat/completions"


@pytest.mark.parametrize("name", ["responses", "chat", "messages", "gemini", "bedrock"])
@pytest.mark.parametrize("client", CLIENTS)
async def test_the_blocking_clients_too(matrix: Matrix, client: str, name: str) -> None:
    def visit() -> str:
        url, hello = matrix.gateway.url, [{"role": "user", "content": "Hello"}]
        if client == "messages":
            with (
                anthropic.Anthropic(base_url=url, api_key=CALLER_KEY, max_retries=0) as claude,
                claude.messages.stream(
                    model=name,
                    max_tokens=512,
                    messages=hello,  # type: ignore[arg-type]
                ) as stream,
            ):
                return stream.get_final_text()
        with openai.OpenAI(base_url=f"{url}/v1", api_key=CALLER_KEY, max_retries=0) as gpt:
            if client == "responses":
                with gpt.responses.stream(model=name, input="Hello") as events:
                    return events.get_final_response().output_text
            chunks = gpt.chat.completions.create(
                model=name,
                messages=hello,  # type: ignore[arg-type]
                stream=True,
            )
            return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)

    assert "You said: “Hello”" in await asyncio.to_thread(visit)
