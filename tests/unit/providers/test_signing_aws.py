"""Signatures are AWS's own; credentials are found in AWS's order and renewed before they end."""

import asyncio
import random
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from hmac import digest
from pathlib import Path
from unittest.mock import patch
from urllib.parse import parse_qs, quote

import pytest
from botocore import auth as botocore_auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from portico.errors import UpstreamAuth, UpstreamUnreachable
from portico.providers.signing import aws
from portico.providers.signing.aws import AwsCredential, Fixed, find
from portico.providers.signing.sigv4 import Keys, sign, signing_key

# https://docs.aws.amazon.com/general/latest/gr/signature-v4-test-suite.html
SUITE = Keys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
THEN = datetime(2015, 8, 30, 12, 36, 0, tzinfo=UTC).timestamp()
NOW = 1_795_000_000.0
REGION = "us-east-1"


def lines_of(raw: bytes) -> dict[str, str]:
    pairs = [line.partition(": ") for line in raw.decode().removesuffix("\r\n").split("\r\n")]
    return {name: value for name, _, value in pairs}


def ours(
    method: str, path: str, query: str, headers: list[tuple[str, str]], body: bytes, keys: Keys,
    now: float, service: str = "bedrock",
) -> dict[str, str]:  # fmt: skip
    return lines_of(
        sign(
            method=method, path=path, query=query, headers=headers, body=body, credential=keys,
            region=REGION, service=service, now=now,
        )
    )  # fmt: skip


def botocores(
    method: str, path: str, query: str, headers: list[tuple[str, str]], body: bytes, keys: Keys,
    now: float, service: str = "bedrock",
) -> str:  # fmt: skip
    """The `authorization` of botocore for the same request."""
    given = dict(headers)
    host = given.pop("host")
    given["x-amz-content-sha256"] = sha256(body).hexdigest()
    url = f"https://{host}{path}" + (f"?{query}" if query else "")
    request = AWSRequest(method=method, url=url, headers=given, data=body)
    signer = botocore_auth.SigV4Auth(
        Credentials(keys.access_key, keys.secret_key, keys.token or None), service, REGION
    )
    moment = datetime.fromtimestamp(now, UTC)
    with patch.object(botocore_auth, "get_current_datetime", lambda *_, **__: moment):
        signer.add_auth(request)
    return str(request.headers["authorization"])


def test_the_signing_key_is_that_of_the_documentation() -> None:
    # https://docs.aws.amazon.com/general/latest/gr/signature-v4-examples.html
    key = signing_key("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "20120215", "us-east-1", "iam")
    assert key.hex() == "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d"


def test_a_request_without_the_hash_header_has_the_signature_of_the_test_suite() -> None:
    """`get-vanilla` signs host and date only; the canonical request is put together here from the
    same parts, to hold the scope, the string to sign and the key against AWS's published result."""
    canonical = (
        "GET\n/\n\nhost:example.amazonaws.com\nx-amz-date:20150830T123600Z\n\nhost;x-amz-date\n"
        + sha256(b"").hexdigest()
    )
    text = (
        "AWS4-HMAC-SHA256\n20150830T123600Z\n20150830/us-east-1/service/aws4_request\n"
        + sha256(canonical.encode()).hexdigest()
    )
    key = signing_key(SUITE.secret_key, "20150830", "us-east-1", "service")
    expected = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    assert digest(key, text.encode(), "sha256").hex() == expected


CASES = [
    ("POST", "/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse", "", b'{"a":1}'),
    ("POST", "/model/" + quote("arn:aws:bedrock:us-east-1:123456789012:inference-profile/"
     "us.amazon.nova-2-lite-v1:0", safe="") + "/converse-stream", "", b"{}"),
    ("GET", "/", "", b""),
    ("GET", "/foundation-models", "byProvider=anthropic&byOutputModality=TEXT", b""),
    ("GET", "/x", "b=2&a=1&a-b=3&a=0", b""),
    ("GET", "/with~tilde_and-more.x", "empty=&q=%20%2F", b""),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "query", "body"), CASES)
@pytest.mark.parametrize("token", ["", "session+token/=="])
def test_the_signature_is_botocores(
    method: str, path: str, query: str, body: bytes, token: str
) -> None:
    keys = Keys(SUITE.access_key, SUITE.secret_key, token)
    headers = [
        ("host", "bedrock-runtime.us-east-1.amazonaws.com"),
        ("content-type", "application/json"),
        ("x-custom", "  spaced   out "),
    ]
    lines = ours(method, path, query, headers, body, keys, THEN)
    assert lines["authorization"] == botocores(method, path, query, headers, body, keys, THEN)
    assert lines["x-amz-date"] == "20150830T123600Z"
    assert lines.get("x-amz-security-token", "") == token


def test_the_signature_is_botocores_for_any_path_and_body() -> None:
    rng = random.Random(7)
    letters = "abcXYZ019-._~:/@!$&'()*+,;= %é"
    for _ in range(200):
        segments = ["".join(rng.choices(letters, k=rng.randint(1, 12))) for _ in range(3)]
        path = "/" + "/".join(quote(segment, safe="") for segment in segments)
        body = rng.randbytes(rng.randint(0, 40))
        headers = [("host", "h.example"), ("content-type", "application/json")]
        lines = ours("POST", path, "", headers, body, SUITE, NOW)
        assert lines["authorization"] == botocores("POST", path, "", headers, body, SUITE, NOW)


def test_headers_that_proxies_change_are_not_signed() -> None:
    headers = [("host", "h"), ("User-Agent", "x"), ("Connection", "close"), ("Expect", "y")]
    signed = ours("POST", "/", "", headers, b"", SUITE, NOW)["authorization"]
    assert "SignedHeaders=host;x-amz-content-sha256;x-amz-date," in signed


def test_a_bedrock_api_key_is_sent_instead_of_a_signature() -> None:
    lines = ours("POST", "/", "", [("host", "h")], b"", aws.bearer_keys("ABSK-x"), NOW)
    assert lines == {"authorization": "Bearer ABSK-x"}


@pytest.mark.parametrize("token", ["a\r\nx: y", "ключ", "a\x7f"])
def test_an_api_key_that_no_header_can_hold_is_refused(token: str) -> None:
    with pytest.raises(UpstreamAuth) as raised:
        aws.bearer_keys(token)
    assert token not in str(raised.value) + raised.value.debug


def test_keys_do_not_print_their_secrets() -> None:
    keys = Keys("AKIDEXAMPLE", "very-secret", "very-token", None, "very-bearer")
    assert "very" not in repr(keys) + str(keys) + f"{keys}" + repr(AwsCredential(Fixed(keys)))


class Net:
    """Answers requests from a script and remembers them."""

    def __init__(self, *answers: tuple[int, bytes] | Exception) -> None:
        self.answers = list(answers)
        self.seen: list[tuple[str, str, dict[str, str], bytes | None]] = []
        self.gate: asyncio.Event | None = None

    async def __call__(
        self, method: str, url: str, headers: dict[str, str], body: bytes | None
    ) -> tuple[int, dict[str, str], bytes]:
        self.seen.append((method, url, headers, body))
        if self.gate is not None:
            await self.gate.wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer[0], {}, answer[1]


class Clock:
    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def sts(expires: float = NOW + 3600, secret: str = "s3cret/+") -> bytes:
    return (
        "<AssumeRoleResponse xmlns='https://sts.amazonaws.com/doc/2011-06-15/'><AssumeRoleResult>"
        f"<Credentials><AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>"
        f"<SessionToken>tok&amp;en</SessionToken><Expiration>{when(expires)}</Expiration>"
        "</Credentials></AssumeRoleResult></AssumeRoleResponse>"
    ).encode()


def container(expires: float = NOW + 3600, access: str = "ASIAC") -> bytes:
    return (
        f'{{"AccessKeyId":"{access}","SecretAccessKey":"x","Token":"t",'
        f'"Expiration":"{when(expires)}","RoleArn":"arn:aws:iam::1:role/r"}}'
    ).encode()


def found(env: Mapping[str, str], net: Net, **more: object) -> AwsCredential:
    clock = more.pop("clock", Clock())
    files = {"/token": "web-token\n"}
    return find(
        env, net, region="eu-central-1", clock=clock,  # type: ignore[arg-type]
        read_file=lambda path: files[path] if path in files else Path(path).read_text(),
        **more,  # type: ignore[arg-type]
    )  # fmt: skip


STATIC = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "sec", "AWS_SESSION_TOKEN": "tok"}
WEB = {"AWS_ROLE_ARN": "arn:aws:iam::1:role/web", "AWS_WEB_IDENTITY_TOKEN_FILE": "/token"}
ECS = {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/x"}


@pytest.mark.parametrize(
    ("env", "more", "kind"),
    [
        ({**STATIC, **WEB, **ECS}, {"explicit": Keys("GIVEN", "x")}, "GIVEN"),
        ({**STATIC, "AWS_BEARER_TOKEN_BEDROCK": "b"}, {}, "bearer"),
        ({**STATIC, **WEB, **ECS}, {}, "AKIA"),
        ({**WEB, **ECS}, {}, "ASIA1"),
        (ECS, {"instance": True}, "ASIAC"),
    ],
)
async def test_sources_are_asked_in_the_order_of_the_sdks(
    env: dict[str, str], more: dict[str, object], kind: str
) -> None:
    net = Net((200, sts() if "AWS_ROLE_ARN" in env else container()))
    keys = await found(env, net, **more).keys()
    assert (keys.access_key or "bearer") == kind


async def test_static_keys_are_there_without_waiting() -> None:
    net = Net((500, b""))
    credential = found(STATIC, net)
    assert credential.current() == Keys("AKIA", "sec", "tok")
    assert net.seen == []


def test_without_any_source_the_error_says_so() -> None:
    with pytest.raises(UpstreamAuth, match="No AWS credentials"):
        found({}, Net((200, b"")))


async def test_a_web_identity_token_is_exchanged_for_keys() -> None:
    net = Net((200, sts()))
    credential = found(WEB, net)
    assert credential.current() is None
    assert await credential.keys() == Keys("ASIA1", "s3cret/+", "tok&en", NOW + 3600)
    assert credential.current() is not None
    method, url, headers, body = net.seen[0]
    assert (method, url) == ("POST", "https://sts.eu-central-1.amazonaws.com/")
    assert "authorization" not in headers
    assert parse_qs(body.decode()) == {  # type: ignore[union-attr]
        "Action": ["AssumeRoleWithWebIdentity"],
        "Version": ["2011-06-15"],
        "RoleArn": ["arn:aws:iam::1:role/web"],
        "RoleSessionName": ["portico"],
        "WebIdentityToken": ["web-token"],
    }


async def test_a_role_is_assumed_with_a_signed_request() -> None:
    net = Net((200, sts()))
    env = {**STATIC, "AWS_ROLE_ARN": "arn:aws:iam::1:role/r", "AWS_ROLE_SESSION_NAME": "me"}
    keys = await found(env, net, external_id="ext").keys()
    assert keys.access_key == "ASIA1"
    _, url, headers, body = net.seen[0]
    assert body is not None
    assert b"ExternalId=ext" in body
    assert b"RoleSessionName=me" in body
    host = url.removeprefix("https://").removesuffix("/")
    sent = [("host", host), ("content-type", headers["content-type"])]
    with patch(f"{__name__}.REGION", "eu-central-1"):
        expected = botocores("POST", "/", "", sent, body, Keys("AKIA", "sec", "tok"), NOW, "sts")
    assert headers["authorization"] == expected
    assert headers["x-amz-security-token"] == "tok"


async def test_a_configured_role_is_assumed_with_the_keys_of_the_container() -> None:
    net = Net((200, container()), (200, sts()))
    assert (await found(ECS, net, role="arn:aws:iam::1:role/r").keys()).access_key == "ASIA1"
    assert [url for _, url, _, _ in net.seen] == [
        "http://169.254.170.2/v2/credentials/x",
        "https://sts.eu-central-1.amazonaws.com/",
    ]
    assert "Credential=ASIAC/" in net.seen[1][2]["authorization"]


async def test_the_container_endpoint_gets_the_token_of_its_file() -> None:
    net = Net((200, container()))
    env = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "inline",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/token",
    }
    await found(env, net).keys()
    assert net.seen[0][1:3] == (
        "http://169.254.170.23/v1/credentials",
        {"accept": "application/json", "authorization": "web-token"},
    )


@pytest.mark.parametrize(
    "url",
    ["http://localhost:1/x", "http://127.0.0.1/x", "http://127.9.9.9/x", "http://[::1]:80/x",
     "https://creds.example/x", "http://169.254.170.2/x", "http://[fd00:ec2::23]/x"],
)  # fmt: skip
def test_allowed_container_hosts(url: str) -> None:
    assert found({"AWS_CONTAINER_CREDENTIALS_FULL_URI": url}, Net((200, b""))) is not None


@pytest.mark.parametrize(
    "env",
    [
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://creds.example/x"},
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.169.254/latest"},
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1.example/x"},
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "ftp://127.0.0.1/x"},
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://[::1"},
        {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "@evil.example/x"},
    ],
)
def test_other_container_hosts_are_refused(env: dict[str, str]) -> None:
    with pytest.raises(UpstreamAuth):
        found(env, Net((200, b"")))


async def test_instance_metadata_is_asked_only_when_allowed_and_with_a_token() -> None:
    with pytest.raises(UpstreamAuth):
        found({}, Net((200, b"")))
    role = b'{"Code":"Success","AccessKeyId":"ASIAI","SecretAccessKey":"x","Token":"t"}'
    net = Net((200, b"imds-token"), (200, b"my-role\n"), (200, role))
    keys = await found({}, net, instance=True).keys()
    assert keys.access_key == "ASIAI"
    assert [(method, url.removeprefix("http://169.254.169.254/latest")) for method, url, _, _
            in net.seen] == [
        ("PUT", "/api/token"),
        ("GET", "/meta-data/iam/security-credentials/"),
        ("GET", "/meta-data/iam/security-credentials/my-role"),
    ]  # fmt: skip
    assert net.seen[2][2] == {"x-aws-ec2-metadata-token": "imds-token"}


@pytest.mark.parametrize("role", [b"../../x", b"a b", b"", b"a\rb", b"\xff"])
async def test_a_role_name_that_cannot_be_is_refused(role: bytes) -> None:
    net = Net((200, b"token"), (200, role), (200, container()))
    with pytest.raises(UpstreamAuth):
        await found({}, net, instance=True).keys()


async def test_many_who_ask_at_once_cause_one_renewal() -> None:
    net = Net((200, container()))
    net.gate = asyncio.Event()
    credential = found(ECS, net)
    waiting = [asyncio.create_task(credential.keys()) for _ in range(20)]
    await asyncio.sleep(0)
    waiting[0].cancel()  # who gives up does not take it from the others
    await asyncio.sleep(0)
    net.gate.set()
    done = await asyncio.gather(*waiting, return_exceptions=True)
    assert len(net.seen) == 1
    assert isinstance(done[0], asyncio.CancelledError)
    assert all(keys == done[1] for keys in done[1:])


async def test_keys_are_renewed_before_they_end() -> None:
    clock = Clock()
    net = Net((200, container(NOW + 3600, "OLD")), (200, container(NOW + 7200, "NEW")))
    credential = found(ECS, net, clock=clock)
    await credential.keys()
    clock.now = NOW + 3600 - aws.EARLY - 1
    assert credential.current() is not None
    clock.now += 2
    assert credential.current() is None
    assert (await credential.keys()).access_key == "NEW"


async def test_a_renewal_that_fails_keeps_keys_that_still_work() -> None:
    clock = Clock()
    net = Net((200, container(NOW + 3600, "OLD")), (500, b""))
    credential = found(ECS, net, clock=clock)
    await credential.keys()
    clock.now = NOW + 3500
    assert (await credential.keys()).access_key == "OLD"
    asked = len(net.seen)
    assert credential.current() is not None  # and nobody asks again at once
    assert len(net.seen) == asked
    clock.now = NOW + 3600 - aws.LAST
    with pytest.raises(UpstreamAuth):
        await credential.keys()


async def test_a_source_that_failed_is_left_alone_for_a_moment() -> None:
    clock = Clock()
    net = Net((403, b"<Error><Code>AccessDenied</Code></Error>"), (200, container()))
    credential = found(ECS, net, clock=clock)
    for _ in range(5):
        with pytest.raises(UpstreamAuth):
            await credential.keys()
    assert len(net.seen) == 1
    clock.now += aws.HOLD
    assert (await credential.keys()).access_key == "ASIAC"


async def test_short_lived_keys_are_not_fetched_for_every_request() -> None:
    net = Net((200, container(NOW + 60)))
    credential = found(ECS, net)
    await credential.keys()
    assert credential.current() is not None


async def test_keys_that_had_ended_when_they_came_are_not_used() -> None:
    with pytest.raises(UpstreamAuth):
        await found(ECS, Net((200, container(NOW - 1)))).keys()


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"{}", b"<x/>", b"\xff", b"<!DOCTYPE x>" + sts(), sts() + sts(),
        sts().replace(b"<SessionToken>tok&amp;en</SessionToken>", b""),
        sts().replace(b"ASIA1", b"AS\nIA"), sts().replace(b"Z</Exp", b"</Exp").replace(b"T", b"?"),
        b"x" * (aws.ANSWER_BYTES + 1),
    ],
)  # fmt: skip
async def test_an_answer_of_sts_that_is_not_as_it_should_be_is_an_error(answer: bytes) -> None:
    with pytest.raises(UpstreamAuth):
        await found(WEB, Net((200, answer))).keys()


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"[]", b'{"AccessKeyId":"a"}', (b'{"Code":"Failed","AccessKeyId":"a",'
        b'"SecretAccessKey":"b"}'), b'{"AccessKeyId":1,"SecretAccessKey":"b"}',
        b'{"AccessKeyId":"","SecretAccessKey":"b"}', container().replace(b"-", b"/"),
    ],
)  # fmt: skip
async def test_an_answer_of_the_container_that_is_not_as_it_should_be_is_an_error(
    answer: bytes,
) -> None:
    with pytest.raises(UpstreamAuth):
        await found(ECS, Net((200, answer))).keys()


async def test_errors_hold_no_secret_and_no_text_of_the_answer() -> None:
    body = b"<Error><Code>ExpiredTokenException</Code><Message>web-token sec</Message></Error>"
    failures: list[tuple[int, bytes] | Exception] = [
        (400, body),
        OSError("cannot reach web-token sec"),
        UpstreamUnreachable("no", debug="web-token sec"),
        (500, b"web-token"),
    ]
    for failure in failures:
        with pytest.raises(UpstreamAuth) as raised:
            await found({**WEB}, Net(failure)).keys()
        told = f"{raised.value} {raised.value.debug} {raised.value.__cause__}"
        assert "web-token" not in told
        assert " sec" not in told
    with pytest.raises(UpstreamAuth) as raised:
        await found(WEB, Net((400, body))).keys()
    assert "ExpiredTokenException" in raised.value.debug


async def test_a_token_file_that_is_not_there_is_an_error_of_ours() -> None:
    env = {**WEB, "AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere/at/all"}
    with pytest.raises(UpstreamAuth):
        await found(env, Net((200, sts()))).keys()


async def test_a_failure_of_the_other_side_is_tried_once_more() -> None:
    net = Net((503, b""), (200, sts()))
    assert (await found(WEB, net).keys()).access_key == "ASIA1"


def test_the_sts_endpoint_is_regional() -> None:
    assert aws.sts_endpoint("us-east-1") == "https://sts.us-east-1.amazonaws.com/"
    assert aws.sts_endpoint("cn-north-1") == "https://sts.cn-north-1.amazonaws.com.cn/"
