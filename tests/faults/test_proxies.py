"""Providers behind a forward proxy: the same promises, through one hop more."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from msgspec import structs
from tests.faults import certificates
from tests.faults.certificates import Certificates
from tests.faults.conftest import BOTH_LOOPS, KEY, WELL, Play, deadlines, quiet, settled
from tests.faults.forward_proxy import ForwardProxy
from tests.faults.streams import OPENING
from tests.faults.vectors import BODY
from tests.support.asks import PATHS, ask
from tests.support.gateway import OPERATOR_KEY, Gateway, caller, model, provider, route, settings
from tests.support.raw import RawClient, RawResponse
from tests.support.upstream import ScriptedUpstream, expect, fin, hang, send, sse

from portico.config.settings import UpstreamTls
from portico.gateway.worker import Worker
from portico.http.proxies import from_environment

Through = Callable[..., Awaitable[Gateway]]

AWAY = "provider.test"
"""Not this machine, which is never reached through a proxy."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """The certificates of this file."""
    return certificates.make(tmp_path_factory.mktemp("tls"))


@pytest.fixture
async def through() -> AsyncIterator[Through]:
    """`await through(url, env)`: a gateway whose environment names proxies."""
    running: list[Gateway] = []

    async def start(url: str, env: dict[str, str], tls: UpstreamTls | None = None) -> Gateway:
        served = structs.replace(provider(url), tls=tls)
        config = settings(
            route([model("*", served)], [caller()]),
            deadlines=deadlines(idle=10.0, first_byte=10.0, connect=0.6),
        )
        gateway = Gateway(config)
        gateway.worker = Worker(config, gateway.recorder, proxies=from_environment(env))
        await gateway.worker.listen()
        gateway.port = gateway.worker.listeners[0].port
        running.append(gateway)
        return gateway

    yield start
    for gateway in running:
        await gateway.stop()


async def _ask(gateway: Gateway) -> RawResponse:
    async with await RawClient.connect(gateway.port) as client:
        await client.request("POST", PATHS["chat"], BODY, KEY)
        return await client.response()


@pytest.mark.asyncio(loop_factories=BOTH_LOOPS)
async def test_plain_requests_go_in_absolute_form_with_the_proxys_credential(
    play: Play, through: Through
) -> None:
    upstream = await play(default=WELL)
    async with ForwardProxy() as proxy:
        gateway = await through(
            f"http://{AWAY}:{upstream.port}",
            {"HTTP_PROXY": f"http://user:p%40ss@127.0.0.1:{proxy.port}"},
        )
        assert (await _ask(gateway)).status == 200
        (head,) = proxy.heads
    where = f"http://{AWAY}:{upstream.port}/v1/chat/completions"
    assert head.startswith(f"POST {where} HTTP/1.1\r\n".encode())
    assert b"\r\nproxy-authorization: Basic dXNlcjpwQHNz\r\n" in head
    assert f"\r\nhost: {AWAY}:{upstream.port}\r\n".encode() in head
    (seen,) = upstream.requests
    assert seen.body == BODY


@pytest.mark.asyncio(loop_factories=BOTH_LOOPS)
async def test_tls_goes_through_a_tunnel_that_sees_no_secret(
    made: Certificates, through: Through
) -> None:
    tls = made.good.server()
    async with (
        await ScriptedUpstream.start(default=WELL, tls=tls) as upstream,
        ForwardProxy() as proxy,
    ):
        gateway = await through(
            f"https://{AWAY}:{upstream.port}",
            {"https_proxy": f"127.0.0.1:{proxy.port}"},
            UpstreamTls(root=made.root, hostname="localhost"),
        )
        for _ in range(3):
            assert (await _ask(gateway)).status == 200
        (head,) = proxy.heads
    assert head.startswith(b"CONNECT provider.test:%d HTTP/1.1\r\n" % upstream.port)
    assert b"authorization" not in head
    assert upstream.opened == 1, "the tunnel is kept"
    assert upstream.requests[0].head["authorization"] == f"Bearer {OPERATOR_KEY}"
    assert "proxy-authorization" not in upstream.requests[0].head


@pytest.mark.asyncio(loop_factories=BOTH_LOOPS)
async def test_a_provider_is_proven_inside_the_tunnel_too(
    made: Certificates, through: Through
) -> None:
    tls = made.alone.server()
    async with (
        await ScriptedUpstream.start(default=WELL, tls=tls) as upstream,
        ForwardProxy() as proxy,
    ):
        gateway = await through(
            f"https://{AWAY}:{upstream.port}",
            {"ALL_PROXY": f"http://127.0.0.1:{proxy.port}"},
            UpstreamTls(root=made.root, hostname="localhost"),
        )
        answer = await _ask(gateway)
    assert (answer.status, answer.json()["error"]["code"]) == (502, "upstream_unreachable")
    assert upstream.requests == []


async def test_a_refused_tunnel_is_502(made: Certificates, through: Through) -> None:
    async with ForwardProxy(refuse=True) as proxy:
        env = {"HTTPS_PROXY": f"http://127.0.0.1:{proxy.port}"}
        gateway = await through(f"https://{AWAY}", env)
        answer = await _ask(gateway)
    assert (answer.status, answer.json()["error"]["code"]) == (502, "upstream_unreachable")
    assert b"407" not in answer.body


@pytest.mark.parametrize(
    "noise",
    [b"", b"HTTP/1.1 200", b"garbage\r\n\r\n", b"x" * 20_000],
    ids=["nothing", "half a head", "garbage", "endless"],
)
async def test_a_proxy_that_speaks_nonsense_is_502(
    noise: bytes, play: Play, through: Through
) -> None:
    proxy = await play([expect(), send(noise), fin()])
    gateway = await through(f"https://{AWAY}", {"HTTPS_PROXY": proxy.url})
    answer = await _ask(gateway)
    assert (answer.status, answer.json()["error"]["code"]) == (502, "upstream_unreachable")
    await proxy.wait_closed(1.0)


async def test_a_silent_proxy_is_given_up_at_the_connect_deadline(
    play: Play, through: Through
) -> None:
    proxy = await play([expect(), hang()])
    gateway = await through(f"https://{AWAY}", {"HTTPS_PROXY": proxy.url})
    answer = await _ask(gateway)
    assert (answer.status, answer.json()["error"]["code"]) == (502, "upstream_unreachable")
    await proxy.wait_closed(1.0)
    assert gateway.sample("portico_limit_hits_total", limit="connect") == 1


async def test_this_machine_is_never_reached_through_a_proxy(play: Play, through: Through) -> None:
    upstream = await play(default=WELL)
    async with ForwardProxy() as proxy:
        env = {"HTTP_PROXY": f"http://127.0.0.1:{proxy.port}"}
        assert (await _ask(await through(upstream.url, env))).status == 200
        assert proxy.heads == []


@pytest.mark.parametrize("rule", ["192.0.2.1", "192.0.2.0/24", "*", "a, 192.0.2.1 ,b"])
async def test_no_proxy_leads_straight_to_the_provider(rule: str, through: Through) -> None:
    async with ForwardProxy() as proxy:
        env = {"HTTP_PROXY": f"http://127.0.0.1:{proxy.port}", "NO_PROXY": rule}
        gateway = await through("http://192.0.2.1:9", env)
        assert (await _ask(gateway)).status == 502, "nobody is there"
        assert proxy.heads == []


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_client_that_leaves_stops_the_meter_through_a_proxy(
    scheme: str, made: Certificates, through: Through
) -> None:
    tls = made.good.server() if scheme == "https" else None
    script = [expect(), sse(OPENING["chat"], end=False), hang()]
    async with (
        await ScriptedUpstream.start(default=script, tls=tls) as upstream,
        ForwardProxy() as proxy,
    ):
        gateway = await through(
            f"{scheme}://{AWAY}:{upstream.port}",
            {"ALL_PROXY": f"http://127.0.0.1:{proxy.port}"},
            UpstreamTls(root=made.root, hostname="localhost"),
        )
        client = await RawClient.connect(gateway.port)
        await client.request("POST", PATHS["chat"], ask("chat", stream=True), KEY)
        assert (await client.head()).status == 200
        client.close()
        assert await upstream.wait_closed(1.5) < 1.5
        await settled(lambda: quiet(gateway))
