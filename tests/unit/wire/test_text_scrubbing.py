"""Text from a provider loses credentials, internal hosts and markup, and keeps its meaning."""

import pytest
from tests.support.growth import growth

from portico.wire.text import mask, plain, scrub, strip_tags


@pytest.mark.parametrize(
    "secret",
    [
        "sk-CANARY1234567890",
        "sk-proj-abcDEF_123-456",
        "sk-ant-api03-aaaa-bbbb",
        "sk-abc***************xyz9",
        "AIzaSyA1234567890abcdefghij",
        "gsk_abcdefgh12345678",
        "xai-abcdefgh12345678",
        "AKIAIOSFODNN7EXAMPLE",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx.c2ln",
    ],
)
def test_keys_are_masked(secret: str) -> None:
    text = f"Incorrect API key provided: {secret}. Check it."
    assert scrub(text) == "Incorrect API key provided: [redacted]. Check it." or (
        secret[:8] not in scrub(text) and "Check it." in scrub(text)
    )


def test_bearer_values_are_masked_and_prose_about_them_is_not() -> None:
    assert scrub("got Authorization: Bearer abc.def-123") == "got Authorization: Bearer [redacted]"
    assert scrub("Send a Bearer token.") == "Send a Bearer token."


def test_public_links_stay_and_internal_hosts_go() -> None:
    text = "See https://platform.openai.com/account/api-keys or http://10.1.2.3:8080/v1?key=abc"
    assert scrub(text) == (
        "See https://platform.openai.com/account/api-keys or http://[host]:8080/v1?key=[redacted]"
    )
    assert scrub("connect to vllm-0.models.svc:8000 at 192.168.1.9:80") == (
        "connect to [host] at [host]"
    )
    assert scrub("redis://user:pw@cache:6379") == "redis://[host]:6379"


def test_ordinary_errors_are_not_changed() -> None:
    text = "Rate limit reached for gpt-4o in organization org-1 on tokens per min (TPM): 10.5s."
    assert scrub(text) == text


def test_html_becomes_text() -> None:
    page = (
        "<html><head><title>502 Bad Gateway</title><style>a{b:c}</style></head>"
        "<body><h1>a &lt; b</h1><script>x('<p>')</script></body></html>"
    )
    assert plain(strip_tags(page), 300) == "502 Bad Gateway a < b"


def test_plain_is_one_short_line() -> None:
    assert plain("a\r\n\tb\x00c\x1b  d", 100) == "a b c d"
    assert plain("x" * 50, 10) == "x" * 9 + "…"


@pytest.mark.parametrize("unit", ["<", "<script", "a.", "sk-", "Bearer ", "http://", "?key=", "1."])
def test_hostile_text_costs_what_its_bytes_cost(unit: str) -> None:
    def clean(size: int) -> None:
        text = unit * (size // len(unit))
        mask(text)
        scrub(plain(strip_tags(text), 300))

    assert growth(clean, 32_768) < 3


def test_only_the_beginning_of_a_long_text_is_looked_at() -> None:
    assert len(scrub("x" * 100_000)) == 16 * 1024
