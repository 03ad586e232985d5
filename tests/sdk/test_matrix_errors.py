"""What goes wrong at a provider arrives as the exception that the SDK has for it."""

import contextlib
from typing import Any

import anthropic
import openai
import pytest
from tests.support.gateway import CALLER_KEY, Gateway, caller, route, settings
from tests.support.matrix import CELLS, Cell, Matrix, both_ways, every_cell, models
from tests.support.talks import CLIENTS, Sdks, Talk, talk
from tests.support.upstream import ScriptedUpstream, expect, http_head, send

pytestmark = pytest.mark.asyncio(loop_scope="session")

API_ERROR = (openai.APIStatusError, anthropic.APIStatusError)
STATUSES = {
    400: (openai.BadRequestError, anthropic.BadRequestError),
    404: (openai.NotFoundError, anthropic.NotFoundError),
    429: (openai.RateLimitError, anthropic.RateLimitError),
    500: (openai.InternalServerError, anthropic.InternalServerError),
    503: (openai.InternalServerError, anthropic.InternalServerError),
    529: (openai.InternalServerError, anthropic.InternalServerError),
}


async def fails(talking: Talk, stream: bool) -> Any:
    with pytest.raises(API_ERROR) as caught:
        await talking.answer(stream=stream)
    return caught.value


@every_cell
async def test_a_status_keeps_its_class(matrix: Matrix, client: str, cell: Cell) -> None:
    for status, kinds in STATUSES.items():
        if status == 529 and cell.name == "bedrock":
            continue  # Amazon has no such status
        stream = status in (429, 529)
        talking = talk(client, matrix.sdks, cell.name)
        talking.say(f"[[demo status={status} retry_after=7]] Hello")
        error = await fails(talking, stream)
        assert isinstance(error, kinds)
        assert error.status_code == status
        assert "was asked to answer" in error.message
        assert error.response.headers["retry-after"] == "7"
        assert error.request_id


@every_cell
async def test_the_operators_credential_is_not_the_callers_fault(
    matrix: Matrix, client: str, cell: Cell
) -> None:
    for status in (401, 403):
        talking = talk(client, matrix.sdks, cell.name)
        talking.say(f"[[demo status={status}]] Hello")
        error = await fails(talking, stream=status == 401)
        assert error.status_code == 502
        assert "credential" in error.message
        assert "demo" not in error.message


OTHERS: dict[str, tuple[int, str, bytes, str]] = {
    "html": (502, "text/html", b"<html><h1>Bad Gateway</h1>nginx</html>", "Bad Gateway"),
    "text": (503, "text/plain", b"upstream connect error", "upstream connect error"),
    "array": (
        429,
        "application/json",
        b'[{"error":{"code":429,"message":"slow down","status":"RESOURCE_EXHAUSTED"}}]',
        "slow down",
    ),
    "detail": (400, "application/json", b'{"detail":"no such thing"}', "no such thing"),
    "empty": (500, "application/json", b"", "500"),
}


@pytest.mark.parametrize("shape", OTHERS)
async def test_errors_of_any_shape_are_told(matrix: Matrix, shape: str) -> None:
    status, kind, body, words = OTHERS[shape]
    head = http_head(status, {"content-type": kind, "content-length": str(len(body))})
    async with await ScriptedUpstream.start(default=[expect(), send(head + body)]) as upstream:
        served = settings(route(models(upstream.url), [caller()]))
        gateway = await Gateway.start(served)
        sdks = Sdks(gateway.url, CALLER_KEY)
        for client in CLIENTS:
            for cell in CELLS:
                talking = talk(client, sdks, cell)
                talking.say("Hello")
                error = await fails(talking, stream=cell in ("bedrock", "vertex"))
                assert error.status_code == status, cell
                assert words in error.message
        await sdks.close()
        await gateway.stop()


async def finished(client: str, talking: Talk) -> bool:
    """Whether a stream came to an end that looks well. The SDK may raise."""
    body = talking._body()
    gpt, claude = talking.sdks.openai, talking.sdks.anthropic
    last: Any = None
    with contextlib.suppress(openai.APIError, anthropic.APIError):
        if client == "responses":
            async for event in await gpt.responses.create(**body, stream=True):
                last = event
            return bool(last is not None and last.type == "response.completed")
        if client == "chat":
            async for chunk in await gpt.chat.completions.create(**body, stream=True):
                last = chunk
            return bool(last is not None and last.choices and last.choices[0].finish_reason)
        async with claude.messages.stream(**body) as stream:
            await stream.get_final_message()
            return True
    return False


@every_cell
@pytest.mark.parametrize("fault", ["cut", "fin", "error"])
async def test_a_stream_that_breaks_never_looks_finished(
    matrix: Matrix, client: str, cell: Cell, fault: str
) -> None:
    for after in (0, 3, 8):
        talking = talk(client, matrix.sdks, cell.name)
        talking.say(f"[[demo {fault}={after} tokens=20]] Hello")
        assert not await finished(client, talking)
    talking = talk(client, matrix.sdks, cell.name)
    talking.say("[[demo tokens=20]] Hello")
    assert await finished(client, talking)


@every_cell
@both_ways
async def test_what_a_provider_says_in_the_middle_is_an_exception(
    matrix: Matrix, client: str, cell: Cell, stream: bool
) -> None:
    talking = talk(client, matrix.sdks, cell.name)
    talking.say("[[demo error=4]] Hello")
    if client == "responses" and stream:
        body = talking._body()
        events = []
        with contextlib.suppress(openai.APIError):
            events = [
                each
                async for each in await matrix.sdks.openai.responses.create(**body, stream=True)
            ]
        if events:
            assert events[-1].type == "response.failed"
            assert events[-1].response.error is not None
        return
    with pytest.raises((openai.APIError, anthropic.APIError)) as caught:
        await talking.answer(stream=stream)
    assert "asked to fail" in caught.value.message


@every_cell
async def test_an_answer_that_is_cut_is_an_error(matrix: Matrix, client: str, cell: Cell) -> None:
    talking = talk(client, matrix.sdks, cell.name)
    talking.say("[[demo cut=1]] Hello")
    with pytest.raises((openai.APIError, anthropic.APIError)):
        await talking.answer(stream=False)
