"""One table of credential shapes serves the scrubber of answers and the redactor of logs."""

import re
from collections.abc import Callable

import pytest

from portico.observe.redact import Redactor
from portico.wire.text import CREDENTIALS, Shape, mask, scrub

CLEANERS = [scrub, Redactor().text]

SAMPLES = [
    ("k=(sk-CANARY1234567890)", "CANARY"),
    ("sk-proj-abcDEF_123-456", "abcDEF"),
    ("sk-ant-api03-aaaa-bbbb", "aaaa"),
    ("key sk-abc***************xyz9.", "xyz9"),
    ("user_sk-abcdefgh", "abcdefgh"),
    ("gsk_abcdefgh12345678", "abcdefgh"),
    ("xai-abcdefgh12345678", "abcdefgh"),
    ("hf_abcdefgh12345678", "abcdefgh"),
    ("r8_abcdefgh12345678", "abcdefgh"),
    ("pplx-abcdefgh12345678", "abcdefgh"),
    ("nvapi-abcdefgh12345678", "abcdefgh"),
    ("fw_abcdefgh12345678", "abcdefgh"),
    ("csk-abcdefgh12345678", "abcdefgh"),
    ("ghp_abcdefgh12345678", "abcdefgh"),
    ("github_pat_abcdefgh12345678", "abcdefgh"),
    ("AIzaSyA1234567890abcdefghij", "SyA123"),
    ("ya29.a0AfH6SMBabcdefgh", "AfH6"),
    ("AKIAIOSFODNN7EXAMPLE", "IOSFODNN"),
    ("ASIAIOSFODNN7EXAMPLE", "IOSFODNN"),
    ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx.c2ln", "c2ln"),
    ("Authorization: Bearer abc.def-123", "abc.def"),
    ("AUTHORIZATION: BEARER abcdefghij==", "abcdef"),
    ("authorization=Bearer%20abcdefghij", "abcdef"),
    ("Bearer token-abcdefghij", "abcdef"),
    ("authorization=Basic dXNlcjpwYXNz", "dXNl"),
    ("x-api-key: 0123456789", "0123"),
    ("(b'x-api-key', b'0123456789')", "0123"),
    ("x-goog-api-key: 0123456789", "0123"),
    ('{"api_key": "0123456789"}', "0123"),
    ("GET /v1?key=0123456789&alt=sse", "0123"),
    ("GET /v1?alt=sse&access_token=abc", "abc"),
    ("redis://user:hunter2@cache.example.com/1", "hunter2"),
]

PROSE = [
    "Send a Bearer token. Basic authentication is off.",
    "task-scheduling of risk-assessment-models is fine",
    "the bearer of good news",
    "monkey: banana",
    "Rate limit reached for gpt-4o in organization org-1 on tokens per min (TPM): 10.5s.",
    '{"error":{"message":"x","param":"api_key","code":"invalid_api_key"}}',
]


@pytest.mark.parametrize("clean", CLEANERS, ids=["scrub", "redactor"])
@pytest.mark.parametrize(("text", "secret"), SAMPLES)
def test_every_shape_is_masked_everywhere(
    clean: Callable[[str], str], text: str, secret: str
) -> None:
    once = clean(text)
    assert secret not in once
    assert once.count("[redacted]") == 1 or "://" in text
    assert clean(once) == once


@pytest.mark.parametrize("clean", CLEANERS, ids=["scrub", "redactor"])
@pytest.mark.parametrize("text", PROSE)
def test_what_is_no_credential_stays(clean: Callable[[str], str], text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize("shape", CREDENTIALS, ids=lambda shape: shape.telltale)
def test_each_row_has_a_sample_and_is_found_by_its_telltale(shape: Shape) -> None:
    pattern, telltale = re.compile(shape.pattern), shape.telltale
    hit = [text for text, _ in SAMPLES if pattern.search(text)]
    assert hit
    assert all(telltale in text.lower() for text in hit)
    assert shape.link.startswith("https://")


def test_masking_is_the_same_table() -> None:
    for text, _ in SAMPLES:
        assert Redactor().text(text) == mask(text)
