"""Credentials that run out: asked for when needed, never blocking those that are there."""

import pytest

from portico.errors import UpstreamAuth
from portico.providers.credentials import AwsAuthorize
from portico.providers.signing.aws import AwsCredential, Fixed
from portico.providers.signing.sigv4 import Keys

NOW = 1_700_000_000.0


class Source:
    """Gives keys that end an hour later; fails while `broken`."""

    def __init__(self) -> None:
        self.now = NOW
        self.loads = 0
        self.broken = False

    async def load(self) -> Keys:
        if self.broken:
            raise UpstreamAuth("no keys")
        self.loads += 1
        return Keys(f"AKID{self.loads}", "secret", "token", expires=self.now + 3600)


async def test_keys_are_waited_for_once_and_used_until_they_end() -> None:
    source = Source()
    credential = AwsCredential(source, clock=lambda: source.now)
    made = AwsAuthorize(credential, "eu-west-1", clock=lambda: source.now)
    args = ("POST", b"/model/a%3A0/converse", b"bedrock-runtime.eu-west-1.amazonaws.com", b"{}")
    assert made.headers(*args) is None
    await made.ready()
    lines = (made.headers(*args) or b"").decode()
    assert "Credential=AKID1/20231114/eu-west-1/bedrock/aws4_request" in lines
    assert "x-amz-security-token: token\r\n" in lines
    assert "host" in lines.partition("SignedHeaders=")[2].partition(",")[0]
    source.now += 3590
    assert made.headers(*args) is None
    await made.ready()
    assert b"AKID2/" in (made.headers(*args) or b"")
    assert source.loads == 2


async def test_what_keeps_keys_from_coming_is_said_by_ready() -> None:
    source = Source()
    source.broken = True
    made = AwsAuthorize(AwsCredential(source, clock=lambda: source.now), "eu-west-1")
    with pytest.raises(UpstreamAuth):
        await made.ready()


def test_a_bedrock_api_key_is_sent_as_it_is() -> None:
    credential = AwsCredential(Fixed(Keys("", "", bearer="absk-1")))
    made = AwsAuthorize(credential, "us-east-1")
    assert made.headers("POST", b"/x", b"h", b"{}") == b"authorization: Bearer absk-1\r\n"
