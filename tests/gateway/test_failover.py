"""What fails before its first byte is answered by the next target, and nobody can tell."""

import hashlib
import json
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.conftest import Launch, Play
from tests.faults.conftest import quiet, settled
from tests.faults.tongues import COUNTS, TONGUES, WORDS, provider, told
from tests.support.failover import FREELY, KEY, LANES, Failing, Pair, meta, well, words_of
from tests.support.gateway import caller, model, route, settings
from tests.support.raw import RawClient, RawResponse
from tests.support.steps import LAST_CHUNK, chunk
from tests.support.upstream import Script, expect, fin, hang, http_head, http_json, rst, send

from portico.config.settings import HealthSettings, RetrySettings, TimeoutSettings

STREAM = {"content-type": "text/event-stream", "transfer-encoding": "chunked"}
PAGE = {"content-type": "text/html", "content-length": "13"}


def _status(status: int, **headers: str) -> Failing:
    def script(dialect: str, stream: bool) -> Script:
        return [expect(), send(http_json(status, TONGUES[dialect].refusal, headers))]

    return script


def _fin_after_head(dialect: str, stream: bool) -> Script:
    head = http_head(200, STREAM) if stream else http_head(200, {"content-length": "50"})
    return [expect(), send(head), fin()]


def _rst_in_body(dialect: str, stream: bool) -> Script:
    if stream:
        return [expect(), send(http_head(200, STREAM) + chunk(b"data: {")), rst()]
    head = {"content-type": "application/json", "content-length": "5000"}
    return [expect(), send(http_head(200, head) + b'{"id":'), rst()]


def _overloaded(dialect: str, stream: bool) -> Script:
    tongue = TONGUES[dialect]
    if not stream:
        return _status(200)(dialect, stream)
    return [expect(), *told(dialect, [tongue.opening[0], tongue.error])]


def _no_body(dialect: str, stream: bool) -> Script:
    kind = {"content-type": "application/json", "content-length": "0"}
    return [expect(), send(http_head(200, kind))]


def _empty(dialect: str, stream: bool) -> Script:
    if stream:
        return [expect(), *told(dialect, TONGUES[dialect].opening[:1], end=False), send(LAST_CHUNK)]
    return [expect(), send(http_head(204, {}))]


FAILURES: dict[str, tuple[Failing, str, int]] = {
    "RST before the head": (lambda d, s: [expect(), rst()], "upstream_truncated", 0),
    "FIN before the head": (lambda d, s: [expect(), fin()], "upstream_truncated", 0),
    "FIN after the head": (_fin_after_head, "upstream_truncated", 0),
    "RST in the body": (_rst_in_body, "upstream_truncated", 0),
    "no HTTP": (lambda d, s: [expect(), send(b"hello\r\n\r\n"), fin()], "upstream_protocol", 0),
    "a redirect": (_status(302, location="http://127.0.0.1/"), "upstream_protocol", 302),
    "nothing": (_empty, "", -1),
    "an empty 200": (_no_body, "upstream_protocol", 0),
    "a web page": (
        lambda d, s: [expect(), send(http_head(200, PAGE) + b"<html></html>")],
        "upstream_protocol",
        0,
    ),
    "an error inside a 200": (_overloaded, "", 200),
    **{
        str(status): (_status(status), "", status)
        for status in (408, 409, 429, 500, 502, 503, 504, 529)
    },
}
"""What the first target does, what the record calls it (its beginning), and the status there."""


def _same(client: str, upstream: str, stream: bool, saved: RawResponse, plain: RawResponse) -> None:
    """The answer is the one that an untroubled request gets."""
    assert saved.header("content-type") == plain.header("content-type")
    if client == upstream:
        assert saved.body == plain.body
    assert words_of(client, saved, stream=stream) == WORDS
    assert words_of(client, plain, stream=stream) == WORDS


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_failure_before_the_first_byte_is_answered_by_the_next_target(
    failure: str, play: Play, launch: Launch
) -> None:
    script, code, status = FAILURES[failure]
    first, second = await play(), await play()
    never = HealthSettings(failures=1_000_000, cooldown=0.0)
    pair = await Pair.start(launch, first.url, second, health=never)
    for client, upstream in LANES:
        for stream in (False, True):
            first.add(script(upstream, stream))
            second.add(well(upstream, stream), well(upstream, stream))
            plain, untroubled = await pair.ask(client, f"second-{upstream}", stream=stream)
            saved, outcome = await pair.ask(client, upstream, stream=stream)
            _same(client, upstream, stream, saved, plain)
            assert meta(saved) == ("second", "second-id", "2")
            assert meta(plain) == ("second", "second-id", "1")
            assert saved.header("x-request-id") == outcome.request_id
            assert (outcome.verdict, outcome.status, outcome.attempts) == ("ok", 200, 2)
            assert (outcome.provider, outcome.upstream_model) == ("second", "second-id")
            (attempt,) = outcome.failed
            assert (attempt.provider, attempt.model) == ("first", "first-id")
            assert attempt.error.startswith(code)
            assert attempt.status == status or status < 0
            assert outcome.started <= attempt.started <= attempt.finished
            assert attempt.finished <= outcome.upstream_started
            assert outcome.usage == untroubled.usage
            assert (outcome.usage.input_total, outcome.usage.output_total) == COUNTS
            assert (outcome.lane, outcome.stream) == (untroubled.lane, stream)
            assert (outcome.error_code, outcome.losses) == (None, untroubled.losses)
    assert (len(first.requests), len(second.requests)) == (12, 24)
    assert pair.in_flight == 0
    await settled(lambda: quiet(pair.gateway))
    result = "event" if status == 200 else ""
    name = "portico_upstream_attempts_total"
    assert not result or pair.gateway.sample(name, provider="first", result=result) == 12
    tokens = pair.gateway.sample("gen_ai_client_token_usage_sum")
    assert tokens == 24 * sum(COUNTS)


# -- no connection --------------------------------------------------------------------------------


def _refused() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


NOWHERE: dict[str, Callable[[str], str]] = {
    "refused": lambda url: _refused(),
    "no such host": lambda url: "http://nobody.invalid",
    "no TLS there": lambda url: url.replace("http:", "https:"),
}


@pytest.mark.parametrize("reason", NOWHERE)
async def test_where_there_is_no_connection_the_next_target_answers(
    reason: str, play: Play, launch: Launch
) -> None:
    second = await play()
    plain_port = await play(default=[send(b"HTTP/1.1 400 Bad Request\r\n\r\n"), fin()])
    pair = await Pair.start(launch, NOWHERE[reason](plain_port.url), second)
    for client, upstream in LANES[1:5]:
        second.add(well(upstream, True))
        answer, outcome = await pair.ask(client, upstream, stream=True)
        assert words_of(client, answer, stream=True) == WORDS
        assert meta(answer) == ("second", "second-id", "2")
        (attempt,) = outcome.failed
        assert (attempt.error, attempt.status) == ("upstream_unreachable", 0)
    assert pair.in_flight == 0


# -- silence --------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
async def test_a_target_that_does_not_begin_in_time_is_left_for_the_next(
    stream: bool, play: Play, launch: Launch
) -> None:
    first, second = await play(default=[expect(), hang()]), await play()
    timeout = TimeoutSettings(first_byte=0.2)
    pair = await Pair.start(launch, first.url, second, timeout=timeout)
    for client, upstream in (LANES[1], LANES[3]):
        second.add(well(upstream, stream))
        answer, outcome = await pair.ask(client, upstream, stream=stream)
        assert words_of(client, answer, stream=stream) == WORDS
        assert [attempt.error for attempt in outcome.failed] == ["upstream_timeout"]
    await first.wait_closed()
    assert pair.in_flight == 0


async def test_a_stream_that_says_nothing_in_time_is_left_for_the_next(
    play: Play, launch: Launch
) -> None:
    first, second = await play(), await play()
    timeout = TimeoutSettings(first_token=0.2)
    pair = await Pair.start(launch, first.url, second, timeout=timeout)
    for client, upstream in (LANES[0], LANES[2], LANES[4]):
        opening = told(upstream, TONGUES[upstream].opening[:1], end=False)
        first.add([expect(), *opening, hang()])
        second.add(well(upstream, True))
        answer, outcome = await pair.ask(client, upstream, stream=True)
        assert words_of(client, answer, stream=True) == WORDS
        assert [attempt.error for attempt in outcome.failed] == ["upstream_timeout"]
        assert outcome.usage.output_total == COUNTS[1]
    await first.wait_closed()
    assert pair.in_flight == 0
    # what was hit is counted although the request was saved
    assert pair.gateway.sample("portico_limit_hits_total", limit="firstToken") == 3


async def test_an_attempt_as_a_whole_may_take_its_time_only(play: Play, launch: Launch) -> None:
    first, second = await play(), await play()
    head = {"content-type": "application/json", "content-length": "50"}
    first.add([expect(), send(http_head(200, head) + b"{" + b" " * 49, size=1, gap=0.05)])
    second.add(well("chat", False))
    pair = await Pair.start(launch, first.url, second, timeout=TimeoutSettings(attempt=0.2))
    answer, outcome = await pair.ask("chat", "chat")
    assert words_of("chat", answer, stream=False) == WORDS
    assert [attempt.error for attempt in outcome.failed] == ["upstream_timeout"]


async def test_all_attempts_together_have_one_deadline(play: Play, launch: Launch) -> None:
    busy = _status(503)("chat", False)
    first, second = await play(default=busy), await play(default=[expect(), hang()])
    retry = RetrySettings(attempts=5, backoff=0.01, budget_per_second=1000.0)
    limit = {"timeout": TimeoutSettings(request=0.4)}
    pair = await Pair.start(launch, first.url, second, retry=retry, virtually=limit)
    start = time.perf_counter()
    answer, outcome = await pair.ask("chat", "chat")
    assert time.perf_counter() - start < 2.0
    assert (answer.status, outcome.attempts) == (504, 2)
    assert meta(answer) == ("second", "second-id", "2")
    assert [attempt.status for attempt in outcome.failed] == [503]


# -- the whole body -------------------------------------------------------------------------------


@pytest.mark.parametrize("client", ["chat", "messages"])
async def test_a_large_body_is_sent_again_byte_for_byte(
    client: str, play: Play, launch: Launch
) -> None:
    first, second = await play(), await play()
    pair = await Pair.start(launch, first.url, second)
    # One that fails in the middle of it, one that reads it all and then fails.
    first.add([expect(body=False), rst()], _status(503)(client, False))
    second.add(well(client, False), well(client, False))
    text = "0123456789abcdef" * (1 << 19)
    digests = set()
    for _ in range(2):
        answer, outcome = await pair.ask(client, client, text=text)
        assert (answer.status, outcome.attempts) == (200, 2), answer.body
        digests.add(hashlib.sha256(second.requests[-1].body).digest())
    sent = json.loads(second.requests[-1].body)
    assert (sent["model"], sent["messages"][0]["content"]) == ("second-id", text)
    plain = first.requests[1].body.replace(b'"first-id"', b'"second-id"')
    assert digests == {hashlib.sha256(plain).digest()}
    assert pair.gateway.worker.gateway.inflated == 0


# -- what is not worth it -------------------------------------------------------------------------

REFUSED = {400: 400, 401: 502, 403: 502, 404: 404, 413: 413, 422: 422}
"""What the provider answers, and what the caller gets."""


async def test_what_would_be_refused_anywhere_is_refused_at_once(
    play: Play, launch: Launch
) -> None:
    first, second = await play(), await play()
    pair = await Pair.start(launch, first.url, second)
    for status, told_ in REFUSED.items():
        for client, upstream in LANES:
            first.add(_status(status)(upstream, False))
            answer, outcome = await pair.ask(client, upstream)
            assert (answer.status, answer.ended) == (told_, True)
            assert meta(answer) == ("first", "first-id", "1")
            assert answer.header("x-request-id") == outcome.request_id
            assert (outcome.attempts, outcome.failed) == (1, None)
            if status == told_:
                assert "overloaded" in answer.json()["error"]["message"]
    assert second.opened == 0
    assert pair.in_flight == 0


async def test_other_statuses_can_be_worth_it(play: Play, launch: Launch) -> None:
    first, second = await play(), await play()
    retry = RetrySettings(codes=frozenset((403, 422)))
    pair = await Pair.start(launch, first.url, second, retry=retry)
    for client, upstream in LANES[2:4]:
        first.add(*[_status(status)(upstream, False) for status in (422, 403)])
        for _ in range(2):
            second.add(well(upstream, False))
            answer, outcome = await pair.ask(client, upstream)
            assert (answer.status, outcome.attempts) == (200, 2)
        first.add(_status(503)(upstream, False))
        answer, outcome = await pair.ask(client, upstream)
        assert (answer.status, outcome.attempts) == (503, 1)


# -- when nobody can -------------------------------------------------------------------------------


@pytest.mark.parametrize(("client", "upstream"), LANES)
async def test_the_last_error_is_the_answer(
    client: str, upstream: str, play: Play, launch: Launch
) -> None:
    first = await play(default=_status(500)(upstream, False))
    error = {"message": "the last word", "type": "overloaded_error", "param": None, "code": "last"}
    last = {"type": "error", "error": error}
    script = [expect(), send(http_json(529, last, {"retry-after": "7", "x-own": "1"}))]
    second = await play(default=script)
    retry = RetrySettings(attempts=1, budget_per_second=1000.0)
    pair = await Pair.start(launch, first.url, second, retry=retry)
    answer, outcome = await pair.ask(client, upstream)
    assert answer.status == 529
    assert meta(answer) == ("second", "second-id", "2")
    assert answer.header("retry-after") == "7"
    assert answer.header("x-request-id") == outcome.request_id
    if client == upstream:
        assert answer.json() == last
    else:
        assert "the last word" in answer.json()["error"]["message"]
    assert (outcome.verdict, outcome.attempts) == ("upstream_error", 2)
    assert [attempt.status for attempt in outcome.failed] == [500]
    assert outcome.usage is None
    assert pair.in_flight == 0


async def test_retry_after_is_waited_for_at_the_same_target(play: Play, launch: Launch) -> None:
    first, second = await play(), await play()
    pair = await Pair.start(launch, first.url, second, first_retry=RetrySettings(backoff=0.0))
    for client, upstream in (LANES[0], LANES[3]):
        first.add(_status(429, **{"retry-after": "0.3"})(upstream, False), well(upstream, False))
        start = time.perf_counter()
        answer, outcome = await pair.ask(client, f"first-{upstream}")
        assert time.perf_counter() - start >= 0.29
        assert (answer.status, outcome.attempts) == (200, 2)
        assert [each.status for each in outcome.failed] == [429]


async def test_a_retry_after_that_is_too_long_is_the_callers(play: Play, launch: Launch) -> None:
    first = await play(default=_status(429, **{"retry-after": "30"})("chat", False))
    pair = await Pair.start(launch, first.url, await play(), first_retry=FREELY)
    start = time.perf_counter()
    answer, outcome = await pair.ask("chat", "first-chat")
    assert time.perf_counter() - start < 2.0
    assert (answer.status, answer.header("retry-after")) == (429, "30")
    assert (outcome.attempts, outcome.failed) == (1, None)
    assert meta(answer) == ("first", "first-id", "1")


@pytest.mark.parametrize("stream", [False, True])
async def test_one_target_alone_is_asked_again(stream: bool, play: Play, launch: Launch) -> None:
    first, second = await play(), await play()
    pair = await Pair.start(launch, first.url, second, first_retry=FREELY)
    for client, upstream in LANES[:4]:
        first.add(_status(503)(upstream, stream), _overloaded(upstream, stream))
        first.add(well(upstream, stream))
        answer, outcome = await pair.ask(client, f"first-{upstream}", stream=stream)
        assert words_of(client, answer, stream=stream) == WORDS
        assert meta(answer) == ("first", "first-id", "3")
        assert len(outcome.failed) == 2


# -- odd ones --------------------------------------------------------------------------------------


async def test_a_stream_that_nobody_asked_for_leaves_no_trace(play: Play, launch: Launch) -> None:
    first, second = await play(), await play()
    pair = await Pair.start(launch, first.url, second)
    for client, upstream in LANES:
        first.add([expect(), *told(upstream, TONGUES[upstream].opening[:1], end=False), fin()])
        second.add(well(upstream, False))
        answer, outcome = await pair.ask(client, upstream)
        assert words_of(client, answer, stream=False) == WORDS
        assert (outcome.stream, outcome.attempts) == (False, 2)


@pytest.mark.parametrize("status", [500, 503])
async def test_errors_in_any_shape_inside_a_200_are_seen(
    status: int, play: Play, launch: Launch
) -> None:
    """As gateways and self-hosted servers write them, without half of the members."""
    first, second = await play(), await play()
    pair = await Pair.start(launch, first.url, second)
    bodies: dict[str, list[Any]] = {
        "chat": [
            {"error": {"message": "Overloaded", "code": status}},
            {"error": {"message": "x", "code": status, "metadata": {"raw": "y"}}, "user_id": "z"},
        ],
        "responses": [
            {"error": {"message": "The server had an error", "type": "server_error"}},
            {"id": "resp_9", "object": "response", "status": "failed", "output": [],
             "error": {"code": "server_error", "message": "The server had an error"}},
        ],
        "messages": [
            {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"},
             "request_id": "req_1"},
        ],
    }  # fmt: skip
    for dialect, shapes in bodies.items():
        for shape in shapes:
            first.add([expect(), send(http_json(200, shape))])
            second.add(well(dialect, False))
            answer, outcome = await pair.ask(dialect, dialect)
            assert (answer.status, outcome.attempts) == (200, 2), (dialect, shape)
            assert words_of(dialect, answer, stream=False) == WORDS


async def test_what_only_looks_like_an_error_is_an_answer(play: Play, launch: Launch) -> None:
    first, second = await play(), await play()
    pair = await Pair.start(launch, first.url, second)
    for dialect in ("chat", "responses", "messages"):
        whole = {"metadata": {"status": "failed"}, "error": None, **TONGUES[dialect].whole}
        first.add([expect(), send(http_json(200, whole))])
        answer, outcome = await pair.ask(dialect, dialect)
        assert (answer.status, outcome.attempts) == (200, 1)
        assert answer.json() == whole
    # and one that no other target can mend
    refusal = {"error": {"message": "no", "type": "invalid_request_error", "code": "bad"}}
    first.add([expect(), send(http_json(200, refusal))])
    answer, outcome = await pair.ask("chat", "chat")
    assert (answer.status, answer.json(), outcome.attempts) == (200, refusal, 1)


async def test_compacting_fails_over(play: Play, launch: Launch) -> None:
    first, second = await play(), await play()
    pair = await Pair.start(launch, first.url, second)
    first.add(_status(503)("chat", False))
    second.add(well("chat", False))
    async with await RawClient.connect(pair.gateway.port) as raw:
        body = {"model": "chat", "input": [{"role": "user", "content": "hi"}]}
        await raw.request("POST", "/v1/responses/compact", body, KEY)
        answer = await raw.response()
    assert (answer.status, meta(answer)) == (200, ("second", "second-id", "2"))
    assert pair.in_flight == 0


@pytest.mark.parametrize("name", ["\\ud800", "first\\u0000-chat", "\\u2028"])
async def test_a_name_that_cannot_be_written_leaves_nothing_in_flight(
    name: str, play: Play, launch: Launch
) -> None:
    upstream = await play(default=well("chat", False))
    served = route([model("*", provider(upstream.url, "chat"))], [caller()])
    gateway = await launch(settings(served))
    body = b'{"model":"%b","messages":[{"role":"user","content":"x"}]}' % name.encode()
    async with await RawClient.connect(gateway.port) as raw:
        await raw.request("POST", "/v1/chat/completions", body, KEY)
        answer = await raw.response()
    assert answer.status in (200, 400)
    assert sum(each.in_flight for each in gateway.worker.gateway.targets()) == 0
