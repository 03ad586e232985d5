"""Addresses that a caller writes into a request (D8): nobody is asked but providers, unless the
operator said so, and then nobody who is not public. Two witnesses: the gateway's own event loop,
which tells of every connection, and port 80 of this machine, where it may be had.
"""

import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.abuse.attackers import crowd, exchange, post
from tests.abuse.harness import LANES, Case, Heard, Lane, Stage, document, profiles, served
from tests.abuse.outbound import Witnessed
from tests.support.asks import PATHS
from tests.support.gateway import OPERATOR_KEY
from tests.support.raw import RawResponse
from tests.support.steps import expect, http_json, send
from tests.support.upstream import ScriptedUpstream

pytestmark = pytest.mark.asyncio(loop_scope="session")

_HOSTS = (
    "127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "0.0.0.0", "0", "localhost", "LOCALHOST",
    "localhost.", "127.0.0.1.", "2130706433", "0x7f.1", "0x7f000001", "0177.0.0.1", "017700000001",
    "127.0.0.1%00.example.com", "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]", "[::127.0.0.1]", "[::ffff:0:127.0.0.1]", "[64:ff9b::7f00:1]",
    "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2002:a9fe:a9fe::]",
    "[fe80::5efe:7f00:1]", "[2001:0:7f00:1::80ff:fffe]", "[2001:0:4136:e378:8000:63bf:5601:5601]",
    "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.254", "192.168.0.1", "100.64.0.1",
    "100.100.100.200", "169.254.169.254", "169.254.170.2", "2852039166", "0xa9fea9fe",
    "0251.0376.0251.0376", "169.16689662", "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]",
    "[fd00:ec2::254]", "[fe80::1]", "[fe80::1%25lo]", "[fc00::1]", "[fec0::1]", "[ff02::1]",
    "[100::1]", "[2001:db8::1]", "[5f00::1]", "168.63.129.16", "192.0.0.192", "192.0.2.1",
    "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "192.88.99.1", "0.1.2.3",
)  # fmt: skip
_URLS = (
    *[f"http://{host}/x.png" for host in _HOSTS],
    *[f"https://{host}/x.png" for host in _HOSTS[:12]],
    "http://example.com@127.0.0.1/x.png", "http://127.0.0.1#@example.com/", "http://127.0.0.1?@a.b/",
    "http://127.0.0.1\\@example.com/x.png", "http://user:pw@127.0.0.1/", "http://127.0.0.1:22/x",
    "http://127.0.0.1:15000/config_dump", "http:127.0.0.1/x.png", "http:///127.0.0.1/x.png",
    "//127.0.0.1/x.png", "HTTP://127.0.0.1/x.png", "http://127.0.0.1 /x.png",
    "http://127.0.0.1\r\nhost: evil/x.png", "http://127.0.0.1\t/x.png", "http://\u24db\u24de/x.png",
    "http://127\u30020\u30020\u30021/x.png", "http://\uff11\uff12\uff17.0.0.1/x.png",
    "file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1:80/_GET%20/", "dict://127.0.0.1/",
    "unix:///var/run/docker.sock", "jar:http://127.0.0.1!/",
    "blob:http://127.0.0.1/x", "http://", "http://[::1", "http://]", "http://%31%32%37.0.0.1/x.png",
    "http://127.0.0.1/" + "a" * 9000, "http://nowhere.invalid/x.png", "http://.../", "http://a..b/",
    "http://" + "a" * 300 + ".example/x.png", "http://xn--/x.png", "http://-/x.png", "",
)  # fmt: skip


def _part(client: str, url: str, *, file: bool) -> dict[str, Any]:
    """A picture or a file at that address, in the words of the dialect."""
    if client == "chat":
        return {"type": "image_url", "image_url": {"url": url}}
    if client == "messages":
        kind = "document" if file else "image"
        return {"type": kind, "source": {"type": "url", "url": url}}
    if file:
        return {"type": "input_file", "file_url": url}
    return {"type": "input_image", "image_url": url}


def _asking(client: str, model: str, *parts: dict[str, Any]) -> bytes:
    said = {"role": "user", "content": [*parts]}
    name = "input" if client == "responses" else "messages"
    more = {"max_tokens": 9} if client == "messages" else {}
    return json.dumps({"model": model, name: [said], **more}).encode()


async def _fetching(case: Case, client: str, model: str, *parts: dict[str, Any]) -> RawResponse:
    case.expect(1)
    raw = post(PATHS[client], _asking(client, model, *parts))
    found = await exchange(case.gateway.port, raw, most=1, quiet=15.0)
    (answer,) = found.answers
    case.heard.append(Heard(Lane(client, "chat"), "", False, answer, found.seconds))
    return answer


@contextlib.contextmanager
def _trap() -> Iterator[list[socket.socket]]:
    """Port 80 of every address of this machine, if it may be had: who comes there waits in it."""
    traps: list[socket.socket] = []
    for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        with contextlib.suppress(OSError):
            sock = socket.socket(family, socket.SOCK_STREAM)
            traps.append(sock)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((host, 80))
            sock.listen(64)
            sock.setblocking(False)
    try:
        yield traps
    finally:
        for sock in traps:
            sock.close()


def _caught(traps: list[socket.socket]) -> list[Any]:
    found = []
    for sock in traps:
        with contextlib.suppress(OSError):
            while True:
                connection, peer = sock.accept()
                connection.close()
                found.append(peer)
    return found


@contextlib.asynccontextmanager
async def _watched(stage: Stage, folder: Path, cloud: str) -> AsyncIterator[Witnessed]:
    """The stage with a gateway under watch; `on-*` may fetch, `off-*` may not, for a provider that
    takes no addresses."""
    params = {"apiKey": OPERATOR_KEY, "baseUrl": cloud, "awsRegion": "us-east-1",
              "model": "anthropic.claude-sonnet-4-5-v1:0"}  # fmt: skip
    models = [
        {"name": "on-cloud", "provider": "bedrock", "params": params, "fetchRemoteContent": True},
        {"name": "off-cloud", "provider": "bedrock", "params": params},
        *[served(f"on-{d}", stage.provider.url, d, fetchRemoteContent=True) for d in PATHS],
    ]
    config = document([*stage.models(), *models], folder / "state.db")
    process = await Witnessed.start(folder, config)
    usual, stage.gateway = stage.gateway, process
    try:
        await _warm_up(process)
        yield process
    finally:
        stage.gateway = usual
        process.signal(15)
        with contextlib.suppress(TimeoutError):
            await process.exit(5.0)
        if process.process.returncode is None:
            await process.kill()


async def _warm_up(process: Witnessed) -> None:
    """Let the threads begin that look up names and draw pages: they stay."""
    data = _asking("responses", "on-cloud", _part("responses", "http://0/", file=False))
    raw = post(PATHS["responses"], data)
    await crowd(12, lambda _: exchange(process.port, raw, most=1))
    await crowd(12, lambda _: process.metrics())


def _elsewhere(process: Witnessed, *ours: int) -> list[str]:
    """Connections that were not made to providers of the test."""
    return [each for each in process.connected() if int(each.split()[1]) not in ours]


@profiles
async def test_d8_addresses_lead_nowhere(stage: Stage, full: bool, tmp_path: Path) -> None:
    answer = {"output": {"message": {"role": "assistant", "content": [{"text": "hi"}]}},
              "stopReason": "end_turn", "usage": {"inputTokens": 1, "outputTokens": 1}}  # fmt: skip
    cloud = await ScriptedUpstream.start(default=[expect(), send(http_json(200, answer))])
    urls = _URLS if full else _URLS[::2]
    clients = tuple(PATHS) if full else ("responses",)
    with _trap() as traps:
        async with _watched(stage, tmp_path, cloud.url) as process:
            ours = (stage.provider.port, stage.canary.port, cloud.port)
            for model in ("on-cloud", "off-cloud"):
                await _nowhere(stage, process, full, model, clients, urls)
                assert _elsewhere(process, *ours) == [], "nobody was even looked for"
            assert cloud.requests == []
            await _passed_on(stage, full, urls if full else urls[::4])
            assert _elsewhere(process, *ours) == []
            await _public(stage, process, full)
        assert _caught(traps) == []
    await cloud.stop()


async def _public(stage: Stage, process: Witnessed, full: bool) -> None:
    """The witness is awake: it sees an address that may be fetched, and where, and stops that."""
    for model, wanted in (("off-cloud", []), ("on-cloud", ["93.184.216.34 80"])):
        async with stage.case(f"D8 public {model}", full=full) as case:
            part = _part("responses", "http://93.184.216.34/x.png", file=False)
            assert (await _fetching(case, "responses", model, part)).status == 400
        told = [each for each in process.connected() if each.startswith("93.")]
        assert told == wanted


async def _nowhere(
    stage: Stage, process: Witnessed, full: bool, model: str, clients: tuple[str, ...],
    urls: tuple[str, ...],
) -> None:  # fmt: skip
    """Refused, whether it may be fetched or not; and what is said does not tell why."""
    plan = [(c, u, f) for c in clients for u in urls for f in ((False, True) if full else (False,))]
    warm = 20 << 20  # a young process: what it imports on its way
    async with stage.case(f"D8 {model}", full=full, spare=warm) as case:

        async def one(number: int) -> str:
            client, url, file = plan[number]
            found = await _fetching(case, client, model, _part(client, url, file=file))
            if found.status != 400:
                return f"{client} {url} {file}: {found.status} {found.body[:200]!r}"
            told = found.json()["error"]["message"]
            inside = ("refused", "Connection", "resolves", "10.0.0", "169.254", "errno")
            wrong = any(word in told.replace(url, "") for word in inside)
            return f"{client} {url}: {told}" if wrong else ""

        wrong = [each for each in await crowd(len(plan), one, 16) if each]
        assert not wrong, "\n".join(wrong)
        many = [_part("responses", f"http://10.0.0.{n}/", file=False) for n in range(40)]
        assert (await _fetching(case, "responses", model, *many)).status == 400
    assert process.process.returncode is None


async def _passed_on(stage: Stage, full: bool, urls: tuple[str, ...]) -> None:
    """A provider that fetches for itself gets the address as it was written, or nothing at all:
    whether this gateway may fetch makes no difference."""
    async with stage.case("D8 passed on", full=full, spare=20 << 20) as case:
        for lane in LANES:
            for at in ("at", "on"):
                for url in urls:
                    start = len(stage.provider.requests)
                    part = _part(lane.client, url, file=False)
                    answer = await _fetching(case, lane.client, lane.to(at).model, part)
                    asked = stage.provider.requests[start:]
                    assert answer.status in (200, 400), (lane, url, answer)
                    assert len(asked) == (answer.status == 200)
                    for seen in asked:
                        assert json.dumps(url)[1:-1].encode() in seen.body or (
                            url.encode() in seen.body
                        ), (lane, url, seen.body)
                        assert seen.head["host"] == f"127.0.0.1:{stage.provider.port}"


@profiles
async def test_d8_nothing_in_a_request_moves_the_provider(stage: Stage, full: bool) -> None:
    """Neither a member, nor a header, nor a query names another address for it."""
    evil = "http://169.254.169.254/"
    names = (
        "api_base", "base_url", "baseUrl", "baseURL", "api_url", "endpoint", "host", "url", "proxy",
        "custom_host", "azure_endpoint", "callback_url", "webhook_url",
    )  # fmt: skip
    members: list[dict[str, Any]] = [{name: evil} for name in names]
    members += [{"extra_body": {"api_base": evil}}, {"litellm_params": {"api_base": evil}},
                {"provider": {"only": [evil]}}, {"extra_headers": {"host": "evil"}},
                {"metadata": {"api_base": evil}}]  # fmt: skip
    lines = [
        f"{name}: {evil}" for name in (
            "x-portkey-custom-host", "x-base-url", "x-api-base", "x-forwarded-host",
            "x-upstream-host", "openai-base-url", "x-target-url", "helicone-target-url",
            "x-portico-base-url", "x-portico-provider", "proxy", "referer", "origin-url",
        )
    ]  # fmt: skip
    async with stage.case("D8 destinations", full=full) as case:
        for lane in LANES if full else LANES[:4]:
            for more in [*members, {}]:
                start = len(stage.provider.requests)
                part = {"type": "input_text" if lane.client == "responses" else "text", "text": "x"}
                data = json.loads(_asking(lane.client, lane.model, part)) | more
                case.expect(1)
                head = lines if not more else []
                raw = post(
                    PATHS[lane.client] + "?api_base=" + evil, json.dumps(data).encode(), *head
                )
                found = await exchange(case.gateway.port, raw, most=1)
                assert found.statuses[0] in (200, 400), (more, found)
                for seen in stage.provider.requests[start:]:
                    assert seen.head["host"] == f"127.0.0.1:{stage.provider.port}"
                    assert "api_base" not in seen.target
                    assert "169.254" not in str(seen.head)
