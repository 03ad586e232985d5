"""Text from a provider made fit for a caller: no keys, no internal hosts, no markup, no bulk."""

import re

MASK = "[redacted]"

# Shapes of credentials, each with where the shape is documented. Linear patterns only.
_SECRETS = re.compile(
    r"\b(?:sk|pk|rk)-[A-Za-z0-9_*.\-]{6,}"  # OpenAI, Anthropic, OpenRouter, DeepSeek
    r"|\b(?:gsk|xai|hf|r8|pplx|nvapi|fw|csk|ghp|gho)[_-][A-Za-z0-9_*\-]{8,}"  # other providers
    r"|\bAIza[A-Za-z0-9_*\-]{8,}"  # Google API keys
    r"|\bya29\.[A-Za-z0-9_*.\-]{8,}"  # Google OAuth tokens
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{12,}"  # AWS access key ids
    r"|\beyJ[A-Za-z0-9_\-]{8,}(?:\.[A-Za-z0-9_\-]+){0,2}"  # JSON web tokens
)
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+(?!token|auth)[a-z0-9._~+/*=\-]{6,}")
_QUERY_KEY = re.compile(
    r"(?i)([?&](?:key|api[_-]?key|token|access_token|sig|signature)=)[^\s&\"']+"
)
_URL = re.compile(
    r"(?i)\b([a-z][a-z0-9+.\-]{1,9})://(?:[^\s/@\"']{0,200}@)?([^\s/:?#\"'<>\])]{1,253})"
)
_PRIVATE_ADDRESS = re.compile(
    r"\b(?:127|10|169\.254|192\.168|172\.(?:1[6-9]|2\d|3[01])|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7]))"
    r"(?:\.\d{1,3}){2,3}(?::\d{1,5})?\b"
)
_INTERNAL_NAME = re.compile(
    r"(?i)\b[a-z0-9](?:[a-z0-9\-]{0,62}\.){1,8}"
    r"(?:internal|local|localdomain|svc|lan|corp|intranet)\b(?::\d{1,5})?"
)
_TAG = re.compile(r"<[^<>]*>")
_SPACE = re.compile(r"\s+")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_ENTITIES = (("&nbsp;", " "), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&#39;", "'"))
_LONGEST = 16 * 1024  # what is looked at of any text


def scrub(text: str) -> str:
    """Mask what looks like a credential, user info in URLs, and hosts only the operator knows.

    Only the first 16 KiB are kept. Host names with a public form stay: providers link their docs.
    """
    text = _SECRETS.sub(MASK, text[:_LONGEST])
    text = _BEARER.sub(rf"\1 {MASK}", text)
    text = _QUERY_KEY.sub(rf"\1{MASK}", text)
    if "://" in text:
        text = _URL.sub(_public_url, text)
    text = _PRIVATE_ADDRESS.sub("[host]", text)
    return _INTERNAL_NAME.sub("[host]", text)


def plain(text: str, limit: int) -> str:
    """One line without control characters, at most `limit` characters."""
    text = _SPACE.sub(" ", _CONTROL.sub(" ", text[:_LONGEST])).strip()
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def strip_tags(text: str) -> str:
    """HTML to text, roughly: for the error pages of load balancers."""
    text = text[:_LONGEST]
    for element in ("script", "style"):
        text = _without(text, element)
    text = _TAG.sub(" ", text)
    for entity, character in _ENTITIES:
        text = text.replace(entity, character)
    return text.replace("&amp;", "&")


def _without(text: str, element: str) -> str:
    """Leave out each `element` with its content."""
    lower = text.lower()
    if len(lower) != len(text):
        return text
    kept = []
    at = 0
    while (start := lower.find(f"<{element}", at)) >= 0:
        kept.append(text[at:start])
        at = lower.find(f"</{element}", start)
        if at < 0:
            return "".join(kept)
    kept.append(text[at:])
    return "".join(kept)


def _public_url(found: re.Match[str]) -> str:
    scheme, host = found[1], found[2]
    last = host.rpartition(".")[2]
    return f"{scheme}://{host if '.' in host and last.isalpha() else '[host]'}"
