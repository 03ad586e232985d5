"""TLS on both sides: what is not proven is refused, and every promise holds inside it (A16)."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator

import pytest
from msgspec import structs
from tests.faults import certificates
from tests.faults.certificates import Certificates
from tests.faults.conftest import (
    BOTH_LOOPS,
    KEY,
    SHORT,
    WELL,
    Launch,
    Play,
    deadlines,
    quiet,
    server_of,
    settled,
)
from tests.faults.streams import OPENING
from tests.faults.vectors import BODY, LENGTH, TE, post
from tests.support.asks import PATHS, ask
from tests.support.gateway import OPERATOR_KEY, Gateway, caller, model, provider, route, settings
from tests.support.raw import RawClient, RawResponse
from tests.support.upstream import ScriptedUpstream, expect, hang, sse

from portico.config.settings import ServerTls, Settings, UpstreamTls
from portico.http.server import server_tls


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """The certificates of this file."""
    return certificates.make(tmp_path_factory.mktemp("tls"))


def _settings(url: str, tls: UpstreamTls | None = None, **changes: float) -> Settings:
    served = structs.replace(provider(url), tls=tls)
    return settings(route([model("*", served)], [caller()]), deadlines=deadlines(**changes))


async def _ask(gateway: Gateway) -> RawResponse:
    async with await RawClient.connect(gateway.port) as client:
        await client.request("POST", PATHS["chat"], BODY, KEY)
        return await client.response()


# -- towards the provider -------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _secure(context: ssl.SSLContext) -> AsyncIterator[ScriptedUpstream]:
    async with await ScriptedUpstream.start(default=WELL, tls=context) as upstream:
        yield upstream


@pytest.mark.asyncio(loop_factories=BOTH_LOOPS)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_provider_with_a_proven_certificate_is_used(
    host: str, made: Certificates, launch: Launch
) -> None:
    async with _secure(made.good.server()) as upstream:
        url = f"https://{host}:{upstream.port}"
        gateway = await launch(_settings(url, UpstreamTls(root=made.root)))
        for _ in range(3):
            assert (await _ask(gateway)).status == 200
        assert upstream.opened == 1
        assert upstream.requests[0].head["authorization"] == f"Bearer {OPERATOR_KEY}"


@pytest.mark.asyncio(loop_factories=BOTH_LOOPS)
@pytest.mark.parametrize("fault", ["self-signed", "unknown root", "expired", "wrong host",
                                   "wrong name asked"])  # fmt: skip
async def test_a_provider_that_is_not_proven_is_refused_before_the_key_is_sent(
    fault: str, made: Certificates, launch: Launch
) -> None:
    pair = {"self-signed": made.alone, "expired": made.expired, "wrong host": made.elsewhere}
    trust = UpstreamTls(root=None if fault in ("self-signed", "unknown root") else made.root,
                        hostname="other.test" if fault == "wrong name asked" else None)  # fmt: skip
    async with _secure(pair.get(fault, made.good).server()) as upstream:
        gateway = await launch(_settings(f"https://127.0.0.1:{upstream.port}", trust))
        answer = await _ask(gateway)
        assert (answer.status, answer.json()["error"]["code"]) == (502, "upstream_unreachable")
        for secret in (b"certificate", b"expired", b"self", b"127.0.0.1", OPERATOR_KEY.encode()):
            assert secret not in answer.body, "the reason is the operator's business"
        outcome = await gateway.last()
        assert outcome.error_debug
        assert upstream.requests == []
        await settled(lambda: gateway.worker.client._pools.popitem()[1].open_connections == 0)


async def test_another_name_may_be_asked_for(made: Certificates, launch: Launch) -> None:
    async with _secure(made.elsewhere.server()) as upstream:
        trust = UpstreamTls(root=made.root, hostname="elsewhere.test")
        gateway = await launch(_settings(f"https://127.0.0.1:{upstream.port}", trust))
        assert (await _ask(gateway)).status == 200


async def test_verification_can_be_switched_off(made: Certificates, launch: Launch) -> None:
    async with _secure(made.alone.server()) as upstream:
        trust = UpstreamTls(insecure=True)
        gateway = await launch(_settings(f"https://127.0.0.1:{upstream.port}", trust))
        assert (await _ask(gateway)).status == 200


async def test_a_client_certificate_is_presented(made: Certificates, launch: Launch) -> None:
    context = made.good.server()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(made.root)
    async with _secure(context) as upstream:
        url = f"https://127.0.0.1:{upstream.port}"
        trust = UpstreamTls(root=made.root, cert=made.client.cert, key=made.client.key)
        assert (await _ask(await launch(_settings(url, trust)))).status == 200
        answer = await _ask(await launch(_settings(url, UpstreamTls(root=made.root))))
        assert answer.status == 502
        assert len(upstream.requests) == 1


async def test_a_provider_that_does_not_speak_tls_is_refused(
    made: Certificates, launch: Launch, play: Play
) -> None:
    upstream = await play(default=[expect()])
    trust = UpstreamTls(root=made.root)
    gateway = await launch(_settings(f"https://127.0.0.1:{upstream.port}", trust, connect=0.4))
    answer = await _ask(gateway)
    assert (answer.status, answer.json()["error"]["code"]) == (502, "upstream_unreachable")
    await upstream.wait_closed(1.0)
    assert gateway.sample("portico_limit_hits_total", limit="connect") == 1


# -- towards the client ---------------------------------------------------------------------------


async def _listening(launch: Launch, made: Certificates, upstream: ScriptedUpstream,
                     **changes: float) -> Gateway:  # fmt: skip
    one = _settings(upstream.url, **changes)
    tls = ServerTls(cert=made.good.cert, key=made.good.key)
    return await launch(
        structs.replace(one, listeners=(structs.replace(one.listeners[0], tls=tls),))
    )


def _trusting(made: Certificates) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=made.root)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


async def _connect(
    gateway: Gateway, made: Certificates
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", gateway.port, ssl=_trusting(made))


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@pytest.mark.asyncio(loop_factories=BOTH_LOOPS)
async def test_a_tls_listener_serves_http_1_1(
    made: Certificates, launch: Launch, play: Play
) -> None:
    gateway = await _listening(launch, made, await play(default=WELL))
    reader, writer = await _connect(gateway, made)
    tls = writer.get_extra_info("ssl_object")
    assert (tls.selected_alpn_protocol(), tls.version()) == ("http/1.1", "TLSv1.3")
    for _ in range(2):
        writer.write(post(LENGTH, body=BODY))
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert head.startswith(b"HTTP/1.1 200 ")
        size = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(size)
    await _close(writer)
    await settled(lambda: quiet(gateway))


@pytest.mark.asyncio(loop_factories=BOTH_LOOPS)
@pytest.mark.parametrize("how", ["goodbye", "reset"])
async def test_a_client_that_leaves_through_tls_stops_the_meter(
    how: str, made: Certificates, launch: Launch, play: Play
) -> None:
    upstream = await play([expect(), sse(OPENING["chat"], end=False), hang()],
                          default=[expect(), hang()])  # fmt: skip
    gateway = await _listening(launch, made, upstream, idle=20.0, first_byte=20.0)
    for stream in (True, False):
        reader, writer = await _connect(gateway, made)
        body = ask("chat", stream=stream)
        data = str(body).replace("'", '"').replace("True", "true").replace("False", "false")
        writer.write(post(b"Content-Length: %d" % len(data), body=data.encode()))
        if stream:
            await asyncio.wait_for(reader.readuntil(b"one"), 5)
        await upstream.wait_requests(1 if stream else 2)
        if how == "reset":
            writer.transport.abort()
        else:
            writer.close()
        assert await upstream.wait_closed(1.0) < 1.0
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    await settled(lambda: quiet(gateway))
    assert {outcome.verdict for outcome in gateway.outcomes} == {"client_cancelled"}


async def test_a_refusal_reaches_the_client_and_the_connection_ends(
    made: Certificates, launch: Launch, play: Play
) -> None:
    gateway = await _listening(launch, made, await play())
    reader, writer = await _connect(gateway, made)
    writer.write(post(LENGTH, TE, body=BODY))
    everything = await asyncio.wait_for(reader.read(), 5)
    assert everything.startswith(b"HTTP/1.1 400 ")
    assert everything.endswith(b"}")
    await _close(writer)


async def test_a_handshake_that_never_ends_is_cut_off(
    made: Certificates, launch: Launch, play: Play
) -> None:
    gateway = await _listening(launch, made, await play())
    start = time.perf_counter()
    async with await RawClient.connect(gateway.port) as client:
        await client.send(b"\x16\x03\x01\x02\x00\x01")
        await client.closed(3.0)
    assert time.perf_counter() - start >= SHORT.header - 0.1


async def test_plain_http_on_a_tls_port_harms_nobody(
    made: Certificates, launch: Launch, play: Play
) -> None:
    gateway = await _listening(launch, made, await play(default=WELL))
    async with await RawClient.connect(gateway.port) as client:
        await client.send(post(LENGTH, body=BODY))
        await client.closed(3.0)
    reader, writer = await _connect(gateway, made)
    writer.write(post(LENGTH, b"Connection: close", body=BODY))
    assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 200 ")
    await _close(writer)


async def test_old_tls_versions_are_refused(made: Certificates, launch: Launch, play: Play) -> None:
    gateway = await _listening(launch, made, await play())
    listening = gateway.worker.settings.listeners[0].tls
    assert listening is not None
    context = server_tls(listening.cert, listening.key)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


async def test_a_drain_says_goodbye_through_tls(
    made: Certificates, launch: Launch, play: Play
) -> None:
    gateway = await _listening(launch, made, await play())
    reader, writer = await _connect(gateway, made)
    await settled(lambda: len(server_of(gateway).connections) == 1)
    assert await gateway.worker.drain() is True
    assert await asyncio.wait_for(reader.read(), 5) == b""
    await _close(writer)
