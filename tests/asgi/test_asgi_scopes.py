"""The adapter against hand-made ASGI scopes: what a host server can hand in."""

import asyncio
from typing import Any

import pytest
from tests.support.gateway import CALLER_KEY, caller, model, provider, route, settings

from portico.asgi import PorticoApp, create_app
from portico.config.settings import LogSettings, Settings

AUTH = (b"authorization", f"Bearer {CALLER_KEY}".encode())


@pytest.fixture
async def app() -> Any:
    built = settings(route([model("m", provider("http://127.0.0.1:9"))], [caller()]))
    quiet = Settings(listeners=built.listeners, log=LogSettings(access=False))
    portico = create_app(quiet, env={})
    yield portico
    await portico.aclose()


async def exchange(
    app: PorticoApp, scope: dict[str, Any], *messages: dict[str, Any]
) -> list[dict[str, Any]]:
    """What the app sends; after the given messages the client stays and says nothing."""
    inbox = list(messages)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if inbox:
            return inbox.pop(0)
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    async def send(message: Any) -> None:
        sent.append(dict(message))

    async with asyncio.timeout(5):
        await app(scope, receive, send)
    return sent


def http(path: str, *headers: tuple[bytes, bytes], **more: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": [(b"host", b"x"), *headers],
        **more,
    }


EMPTY = {"type": "http.request", "body": b"", "more_body": False}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"raw_path": b"/v1/models"},
        {"raw_path": b"/v1/models?x=1"},
        {"client": None},
        {"client": ("::1", 1)},
    ],
)
async def test_optional_keys_of_a_scope_are_optional(app: PorticoApp, more: Any) -> None:
    start, *_ = await exchange(app, http("/v1/models", AUTH, **more), EMPTY)
    assert start["status"] == 200
    names = [name for name, _ in start["headers"]]
    assert all(name == name.lower() for name in names)
    assert b"content-length" in names


async def test_the_mount_point_is_not_part_of_the_path(app: PorticoApp) -> None:
    scope = http("/ai/v1/models", AUTH, root_path="/ai", raw_path=b"/ai/v1/models")
    assert (await exchange(app, scope, EMPTY))[0]["status"] == 200
    # Older hosts leave the mount point out of the path.
    scope = http("/v1/models", AUTH, root_path="/ai")
    assert (await exchange(app, scope, EMPTY))[0]["status"] == 200


async def test_a_repeated_credential_is_refused(app: PorticoApp) -> None:
    other = (b"authorization", b"Bearer other")
    start, body, *_ = await exchange(app, http("/v1/models", AUTH, other), EMPTY)
    assert start["status"] == 400
    assert b"bad_http" in body["body"]


async def test_a_client_that_leaves_in_its_body_gets_nothing(app: PorticoApp) -> None:
    scope = {**http("/v1/responses", AUTH), "method": "POST"}
    more = {"type": "http.request", "body": b"{", "more_body": True}
    assert await exchange(app, scope, more, {"type": "http.disconnect"}) == []


async def test_lifespan_is_answered(app: PorticoApp) -> None:
    sent = await exchange(
        app,
        {"type": "lifespan"},
        {"type": "lifespan.startup"},
        {"type": "lifespan.shutdown"},
    )
    assert [each["type"] for each in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]


async def test_a_websocket_where_there_is_none_is_told_to_use_http(app: PorticoApp) -> None:
    scope = {
        **http("/v1/chat/completions", AUTH, (b"upgrade", b"websocket")),
        "type": "websocket",
        "extensions": {"websocket.http.response": {}},
    }
    del scope["method"]
    connect = {"type": "websocket.connect"}
    start, body, *_ = await exchange(app, scope, connect)
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 426)
    assert b"upgrade_required" in body["body"]
    stranger = {**scope, "headers": [(b"host", b"x"), (b"upgrade", b"websocket")]}
    assert (await exchange(app, stranger, connect))[0]["status"] == 401
    # A host that cannot answer with HTTP, and a path that would have been fine for a GET.
    for other in ({"extensions": {}}, {"path": "/v1/models"}):
        sent = await exchange(app, {**scope, **other}, connect)
        assert sent == [{"type": "websocket.close", "code": 1008}]


async def test_an_unknown_scope_is_an_error_for_the_host(app: PorticoApp) -> None:
    with pytest.raises(RuntimeError, match="unsupported"):
        await exchange(app, {"type": "smtp"})
