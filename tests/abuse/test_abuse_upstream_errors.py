"""Providers that refuse, redirect, or are not who they should be (A3, A4, A13, A14, A16)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from tests.abuse.harness import LANES, Heard, Named, Stage, profiles, served
from tests.abuse.provider import Heard as Asked
from tests.abuse.provider import Provider
from tests.abuse.speech import refusal, told
from tests.faults import certificates
from tests.support.gateway import OPERATOR_KEY
from tests.support.steps import Script, Send, expect, http_head, http_json, send

pytestmark = pytest.mark.asyncio(loop_scope="session")


def _says(status: int, message: str, **headers: str) -> object:
    """A play: an error of the provider's own dialect."""
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda asked: [send(http_json(status, refusal(asked.dialect, message), more))]


_BUSY = (500, 502, 503, 529, 429)
_REFUSED = (400, 401, 403, 404, 413)


@profiles
async def test_a3_a4_the_class_of_an_error_is_kept_and_a_refused_key_is_ours(
    stage: Stage, full: bool
) -> None:
    for status in (*_BUSY, *_REFUSED):
        stage.provider.plays[f"says {status}"] = _says(  # type: ignore[assignment]
            status, f"no, and your key is {OPERATOR_KEY}", retry_after="2"
        )
    plays = [f"says {status}" for status in (*_BUSY, *_REFUSED)]
    async with stage.case("A3 A4 the provider's own errors", full=full) as case:
        asks = [
            case.ask(lane, play, stream=stream)
            for lane in LANES for play in plays for stream in (False, True)
        ]  # fmt: skip
        for heard in await asyncio.gather(*asks):
            said, answer = int(heard.play.split()[1]), heard.answer
            if said in (401, 403):
                assert answer.status == 502, "it is the operator's credential that failed"
                if heard.lane.client != "messages":
                    assert answer.json()["error"]["code"] == "upstream_auth"
            else:
                assert answer.status == said
            if said in _BUSY:
                assert answer.header("retry-after") == "2"
            else:
                assert answer.header("x-should-retry") == "false", heard
            assert b"CANARY" not in answer.head + answer.body
    assert {line["verdict"] for line in case.lines} == {"upstream_error"}
    refused = [line for line in case.lines if line["status"] in _REFUSED]
    assert {line["attempts"] for line in refused} == {1}, "what is refused is never tried again"


_STRIPPED = {
    "set-cookie": "session=stolen", "alt-svc": 'h3=":443"', "connection": "x-secret",
    "x-secret": "inside", "keep-alive": "timeout=9", "server": "scripted",
    "x-internal-host": "10.0.0.7", "proxy-authenticate": "Basic", "location": "http://10.0.0.7/",
}  # fmt: skip
_SPOILED = (b"a\x00b", b"a\rb: c", b"a\x0bb\x7f", b"\nx-smuggled: 1\n b")


def _spoiled(asked: Asked, value: bytes) -> Script:
    good = http_json(200, asked.speech.whole)
    return [send(good.replace(b"\r\n", b"\r\nx-spoiled: " + value + b"\r\n", 1))]


@profiles
async def test_a13_only_known_headers_of_a_provider_reach_a_client(
    stage: Stage, full: bool
) -> None:
    stage.provider.plays["headers"] = lambda asked: [
        send(http_json(200, asked.speech.whole, _STRIPPED))
    ]
    for number, value in enumerate(_SPOILED):
        stage.provider.plays[f"spoiled {number}"] = lambda asked, value=value: _spoiled(  # type: ignore[misc]
            asked, value
        )
    async with stage.case("A13 headers", full=full) as case:
        for heard in await asyncio.gather(*(case.ask(lane, "headers") for lane in LANES)):
            assert heard.answer.status == 200
            passed = {name for name, _ in heard.answer.headers} & set(_STRIPPED)
            assert passed <= {"connection"}, passed
            assert "x-secret" not in (heard.answer.header("connection") or "")
        plays = [f"spoiled {number}" for number in range(len(_SPOILED))]
        spoiled = await asyncio.gather(*(case.ask(lane, p) for lane in LANES for p in plays))
        for heard in spoiled:
            assert b"smuggled" not in heard.answer.head
            assert heard.answer.header("b") is None
            assert heard.answer.status == 502, heard
        well = await asyncio.gather(*(case.ask(lane, words=f"after {lane}") for lane in LANES))
        assert [heard.answer.status for heard in well] == [200] * len(LANES)


@profiles
async def test_a14_a_redirect_is_not_followed_and_no_credential_leaves(
    stage: Stage, full: bool
) -> None:
    other = await Provider.start()
    places = ["http://169.254.169.254/latest/", f"{other.url}/v1/chat/completions", "//[::1]/"]
    for status in (301, 302, 303, 307, 308):
        for number, place in enumerate(places):
            head = http_head(status, {"location": place, "content-length": "0"})
            stage.provider.plays[f"moved {status} {number}"] = lambda asked, head=head: [  # type: ignore[misc]
                Send(head)
            ]
    plays = [play for play in stage.provider.plays if play.startswith("moved")]
    lanes = LANES if full else LANES[2:5]
    async with stage.case("A14 redirects", full=full) as case:
        asks = [case.ask(lane, play, stream=s) for lane in lanes for play in plays
                for s in (False, True)]  # fmt: skip
        for heard in await asyncio.gather(*asks):
            assert heard.answer.status == 502
            assert heard.answer.header("location") is None
            assert b"169.254" not in heard.answer.body
    assert other.opened == 0, "nobody else was asked"
    await other.stop()


@contextlib.asynccontextmanager
async def _secured(made: certificates.Certificates) -> AsyncIterator[dict[str, Provider]]:
    """A provider behind each certificate."""
    pairs = {"proven": made.good, "expired": made.expired, "elsewhere": made.elsewhere,
             "self-signed": made.alone}  # fmt: skip
    running: dict[str, Provider] = {}
    for name, pair in pairs.items():
        said = [expect(), send(http_json(200, _chat()))]
        started = await Provider.start(*[said] * 50, tls=pair.server())
        assert isinstance(started, Provider)
        running[name] = started
    yield running
    for each in running.values():
        await each.stop()


def _chat() -> dict[str, object]:
    from tests.abuse.speech import Speech

    return Speech("chat", ("over TLS",), (1, 1)).whole


@profiles
async def test_a16_a_provider_that_is_not_proven_is_refused_before_the_key_is_sent(
    stage: Stage, full: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    made = certificates.make(tmp_path_factory.mktemp("tls"))
    async with _secured(made) as running:
        models = [
            served(f"tls-{name}", each.url.replace("http:", "https:"), "chat",
                   tls={"root": made.root})
            for name, each in running.items()
        ]  # fmt: skip
        unknown = running["proven"].url.replace("http:", "https:")
        models.append(served("tls-unknown", unknown, "chat", tls={}))
        async with stage.configured(models), stage.case("A16 TLS", full=full) as case:
            for name in ("expired", "elsewhere", "self-signed", "unknown", "proven"):
                for client in ("chat", "messages"):
                    heard = await case.ask(Named(client, "chat", name=f"tls-{name}"))
                    _refused(heard, name)
        for name in ("expired", "elsewhere", "self-signed"):
            assert running[name].requests == [], "the key was not sent"
        assert len(running["proven"].requests) == 2
    failed = [line for line in case.lines if line["status"] != 200]
    assert {line["error_code"] for line in failed} == {"upstream_unreachable"}


def _refused(heard: Heard, name: str) -> None:
    if name == "proven":
        assert heard.answer.status == 200
        return
    assert heard.answer.status == 502
    for word in (b"certificate", b"expired", b"self", b"verify", b"127.0.0.1"):
        assert word not in heard.answer.body, "the reason is the operator's business"


@profiles
async def test_a3_errors_in_the_middle_of_a_stream_are_told_once(stage: Stage, full: bool) -> None:
    def failing(asked: Asked) -> Script:
        error = http_json(200, refusal(asked.dialect)).partition(b"\r\n\r\n")[2]
        kind = b"event: error\n" if asked.dialect == "messages" else b""
        if asked.dialect == "responses":
            error = error.replace(b'{"error"', b'{"type": "error", "sequence_number": 6, "error"')
            kind = b"event: error\n"
        return [*told([*asked.speech.opening, kind + b"data: " + error + b"\n\n"])]

    stage.provider.plays["fails midway"] = failing
    async with stage.case("A3 an error in a stream", full=full) as case:
        asks = [case.ask(lane, "fails midway", stream=True) for lane in LANES]
        for heard in await asyncio.gather(*asks):
            assert heard.answer.body.count(b"overloaded") >= 1
            frames = [line for line in heard.answer.data_lines() if b'"error":{' in
                      line.replace(b'"error": {', b'"error":{')]  # fmt: skip
            assert len(frames) <= 2, "one error, and for responses its response.failed"
    assert {line["verdict"] for line in case.lines} <= {"truncated", "upstream_error"}
