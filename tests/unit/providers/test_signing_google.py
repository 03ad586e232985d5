"""Google tokens: asked for once, renewed ahead of time, and never by a socket of google-auth's."""

import asyncio
import base64
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from portico.config.errors import ConfigError
from portico.errors import UpstreamAuth, UpstreamUnreachable
from portico.providers.signing.google import EARLY, HOLD, LAST, GoogleCredential

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
).decode()
ACCOUNT = {
    "type": "service_account",
    "project_id": "my-project",
    "private_key_id": "k1",
    "private_key": PEM,
    "client_email": "portico@my-project.iam.gserviceaccount.com",
    "client_id": "1",
    "token_uri": "https://oauth2.googleapis.com/token",
}
USER = {
    "type": "authorized_user",
    "client_id": "c",
    "client_secret": "s",
    "refresh_token": "r",
    "quota_project_id": "billed",
}


@pytest.fixture(autouse=True)
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def refused(*_: Any) -> None:
        raise AssertionError("google-auth opened a socket of its own")

    monkeypatch.setattr(socket.socket, "connect", refused)
    return


class Endpoint:
    """A token endpoint. `lives` is how long its tokens last, `status` what it answers with."""

    def __init__(self, lives: int = 3600) -> None:
        self.asked: list[tuple[str, str, dict[str, str], bytes | None]] = []
        self.lives = lives
        self.status = 200
        self.gate = asyncio.Event()
        self.gate.set()
        self.threads: set[int] = set()
        self.error: Exception | None = None
        self.token = "ya29.token-"

    async def __call__(
        self, method: str, url: str, headers: dict[str, str], body: bytes | None
    ) -> tuple[int, dict[str, str], bytes]:
        self.asked.append((method, url, headers, body))
        self.threads.add(threading.get_ident())
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        answer: dict[str, Any] = {
            "access_token": f"{self.token}{len(self.asked)}",
            "expires_in": self.lives,
            "token_type": "Bearer",
        }
        if self.status != 200:
            answer = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
        return self.status, {"content-type": "application/json"}, json.dumps(answer).encode()


class Clock:
    """Real time, moved by hand: google-auth reads its own clock."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


async def test_a_service_account_is_exchanged_for_a_token() -> None:
    endpoint = Endpoint()
    credential = GoogleCredential(endpoint, ACCOUNT)
    assert credential.current() is None
    assert await credential.header() == b"authorization: Bearer ya29.token-1\r\n"
    assert credential.current() == b"authorization: Bearer ya29.token-1\r\n"
    assert credential.headers("POST", b"/", b"h", b"") == credential.current()
    assert credential.project == "my-project"
    [(method, url, headers, body)] = endpoint.asked
    assert (method, url) == ("POST", "https://oauth2.googleapis.com/token")
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert body is not None
    assertion = parse_qs(body.decode())["assertion"][0]
    claims = json.loads(base64.urlsafe_b64decode(assertion.split(".")[1] + "=="))
    assert claims["iss"] == ACCOUNT["client_email"]
    assert claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"


async def test_http_runs_on_the_event_loop_and_signing_does_not() -> None:
    endpoint = Endpoint()
    await GoogleCredential(endpoint, ACCOUNT).ready()
    assert endpoint.threads == {threading.get_ident()}


async def test_the_quota_project_is_sent_along() -> None:
    lines = await GoogleCredential(Endpoint(), USER).header()
    assert lines == b"authorization: Bearer ya29.token-1\r\nx-goog-user-project: billed\r\n"


async def test_many_who_ask_at_once_cause_one_exchange() -> None:
    endpoint = Endpoint()
    endpoint.gate.clear()
    credential = GoogleCredential(endpoint, ACCOUNT)
    waiting = [asyncio.create_task(credential.header()) for _ in range(20)]
    await _until(lambda: endpoint.asked)
    waiting[0].cancel()  # who gives up does not take it away from the others
    endpoint.gate.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert set(results[1:]) == {b"authorization: Bearer ya29.token-1\r\n"}
    assert len(endpoint.asked) == 1


async def test_a_token_is_renewed_in_the_background_before_it_ends() -> None:
    endpoint, clock = Endpoint(), Clock()
    credential = GoogleCredential(endpoint, ACCOUNT, clock=clock)
    await credential.ready()
    clock.ahead = 3600 - EARLY - 60
    assert await credential.header() == b"authorization: Bearer ya29.token-1\r\n"
    await asyncio.sleep(0.05)
    assert len(endpoint.asked) == 1
    clock.ahead = 3600 - EARLY + 10
    endpoint.gate.clear()
    # Still good, and nobody waits for the new one.
    assert await credential.header() == b"authorization: Bearer ya29.token-1\r\n"
    assert await credential.header() == b"authorization: Bearer ya29.token-1\r\n"
    endpoint.gate.set()
    await _until(lambda: credential._token.lines.endswith(b"-2\r\n"))  # type: ignore[union-attr]
    assert len(endpoint.asked) == 2


async def test_a_token_that_has_ended_is_waited_for() -> None:
    endpoint, clock = Endpoint(lives=7200), Clock()
    credential = GoogleCredential(endpoint, ACCOUNT, clock=clock)
    await credential.ready()
    clock.ahead = 7200 - LAST + 1
    assert credential.current() is None
    endpoint.lives = 20_000
    assert await credential.header() == b"authorization: Bearer ya29.token-2\r\n"


async def test_tokens_that_live_shortly_are_not_asked_for_with_every_request() -> None:
    endpoint = Endpoint(lives=int(EARLY) - 60)
    credential = GoogleCredential(endpoint, ACCOUNT)
    for _ in range(10):
        await credential.header()
        await asyncio.sleep(0.005)
    assert len(endpoint.asked) == 1


async def test_a_failed_renewal_keeps_the_token_while_it_lasts() -> None:
    endpoint, clock = Endpoint(), Clock()
    credential = GoogleCredential(endpoint, ACCOUNT, clock=clock)
    await credential.ready()
    endpoint.status = 400
    clock.ahead = 3600 - EARLY + 10
    for _ in range(5):
        assert await credential.header() == b"authorization: Bearer ya29.token-1\r\n"
        await asyncio.sleep(0.02)
    assert len(endpoint.asked) == 2  # and is not tried again at once
    clock.ahead += HOLD + 1
    await credential.header()
    await _until(lambda: len(endpoint.asked) == 3)


async def test_a_refusal_is_the_operators_affair_and_names_no_secret() -> None:
    endpoint, clock = Endpoint(), Clock()
    endpoint.status = 400
    credential = GoogleCredential(endpoint, ACCOUNT, clock=clock)
    for _ in range(3):
        with pytest.raises(UpstreamAuth) as caught:
            await credential.header()
        assert "invalid_grant" in caught.value.debug
        assert "PRIVATE KEY" not in caught.value.debug + caught.value.message
    assert len(endpoint.asked) == 1
    clock.ahead = HOLD + 1
    endpoint.status = 200
    assert await credential.header() == b"authorization: Bearer ya29.token-2\r\n"


@pytest.mark.parametrize(
    "info",
    [
        {},
        {"type": "nonsense"},
        {"type": "service_account"},
        {
            **ACCOUNT,
            "private_key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        },
        {**ACCOUNT, "private_key": 7},
    ],
)
async def test_a_bad_key_file_is_a_typed_fault(info: dict[str, Any]) -> None:
    with pytest.raises(UpstreamAuth):
        await GoogleCredential(Endpoint(), info).header()


async def test_an_endpoint_out_of_reach_is_a_typed_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endpoint = Endpoint()
    endpoint.error = UpstreamUnreachable("No connection.")
    with pytest.raises(UpstreamAuth) as caught:
        await GoogleCredential(endpoint, ACCOUNT).header()
    assert "TransportError" in caught.value.debug


async def test_an_endpoint_that_is_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portico.providers.signing.google.FETCH_SECONDS", 0.05)
    endpoint = Endpoint()
    endpoint.gate.clear()
    with pytest.raises(UpstreamAuth, match="Google access token"):
        await GoogleCredential(endpoint, ACCOUNT).header()


async def test_a_token_cannot_smuggle_a_header() -> None:
    endpoint = Endpoint()
    endpoint.token = "x\r\nevil: 1"
    with pytest.raises(UpstreamAuth):
        await GoogleCredential(endpoint, ACCOUNT).header()


async def test_default_credentials_are_found_in_the_environment(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "key.json"
    place.write_text(json.dumps(ACCOUNT))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(place))
    credential = GoogleCredential(Endpoint())
    assert await credential.header() == b"authorization: Bearer ya29.token-1\r\n"
    assert credential.project == "my-project"


def test_without_google_auth_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "google.auth", None)
    with pytest.raises(ConfigError) as caught:
        GoogleCredential(Endpoint(), ACCOUNT, where="$.llm.models[0]")
    assert "pip install 'portico[vertex]'" in str(caught.value)
    assert "$.llm.models[0]" in str(caught.value)


def test_its_repr_holds_no_secret() -> None:
    assert repr(GoogleCredential(Endpoint(), ACCOUNT)) == "GoogleCredential(service_account)"


async def _until(condition: Any) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not happen")
