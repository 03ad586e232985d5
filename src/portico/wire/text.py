"""Text from a provider made fit for a caller: no keys, no internal hosts, no markup, no bulk."""

import re

from msgspec import Struct

MASK = "[redacted]"


class Shape(Struct, frozen=True):
    """One shape of a credential: what is masked, and where the shape is documented.

    The first group of `pattern`, if it has one, stays in front of the mask. Patterns are linear.
    `telltale` is in the lower-case text wherever the pattern matches; looking for it first is what
    makes a long table cheap.
    """

    telltale: str
    pattern: str
    link: str


_START = r"(?<![A-Za-z0-9])"
_VALUE = r"[^\s\"'\\,;&()\[\]{}<>]"

# after an authentication scheme; not the words "bearer token" in a sentence
_AFTER_SCHEME = (
    r"(?!(?:tokens?|auth(?:entication|orization)?)\b(?![-.~+/=]\w))[a-z0-9\-._~+/*]{6,}=*"
)

# In this order: a whole value goes before the rows that know only where values stand.
# All links: 2026-11-21.
CREDENTIALS = (
    # OpenAI; the same prefix at Anthropic, OpenRouter, DeepSeek. `*` and `.`: as errors echo them
    Shape(
        "k-",
        _START + r"(?:sk|pk|rk)-[A-Za-z0-9_*.\-]{5,}[A-Za-z0-9_*\-]",
        "https://platform.openai.com/docs/api-reference/authentication",
    ),
    Shape(
        "gsk", _START + r"gsk[_-][A-Za-z0-9_*\-]{8,}", "https://console.groq.com/docs/quickstart"
    ),
    Shape("xai", _START + r"xai[_-][A-Za-z0-9_*\-]{8,}", "https://docs.x.ai/docs/tutorial"),
    Shape(
        "hf",
        _START + r"hf[_-][A-Za-z0-9_*\-]{8,}",
        "https://huggingface.co/docs/hub/security-tokens",
    ),
    Shape(
        "r8",
        _START + r"r8[_-][A-Za-z0-9_*\-]{8,}",
        "https://replicate.com/docs/topics/security/api-tokens",
    ),
    Shape(
        "pplx",
        _START + r"pplx[_-][A-Za-z0-9_*\-]{8,}",
        "https://docs.perplexity.ai/guides/chat-completions-guide",
    ),
    Shape(
        "nvapi",
        _START + r"nvapi[_-][A-Za-z0-9_*\-]{8,}",
        "https://docs.api.nvidia.com/nim/reference/llm-apis",
    ),
    Shape(
        "fw",
        _START + r"fw[_-][A-Za-z0-9_*\-]{8,}",
        "https://docs.fireworks.ai/tools-sdks/openai-compatibility",
    ),
    Shape(
        "csk",
        _START + r"csk[_-][A-Za-z0-9_*\-]{8,}",
        "https://inference-docs.cerebras.ai/resources/openai",
    ),
    Shape(
        "gh",
        _START + r"(?:gh[opusr]|github_pat)[_-][A-Za-z0-9_*\-]{8,}",
        "https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/"
        "about-authentication-to-github#githubs-token-formats",
    ),
    Shape(
        "aiza", r"AIza[A-Za-z0-9_*\-]{8,}", "https://cloud.google.com/docs/authentication/api-keys"
    ),
    Shape(
        "ya29.",
        _START + r"ya29\.[A-Za-z0-9_*.\-]{7,}[A-Za-z0-9_*\-]",
        "https://developers.google.com/identity/protocols/oauth2",
    ),
    Shape(
        "ia",
        _START + r"(?:AKIA|ASIA)[A-Z0-9]{12,}",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/"
        "reference_identifiers.html#identifiers-unique-ids",
    ),
    # a JSON web token begins with `{"` in base64url
    Shape(
        "eyj",
        _START + r"eyJ[A-Za-z0-9_\-]{8,}(?:\.[A-Za-z0-9_\-]+){0,2}",
        "https://www.rfc-editor.org/rfc/rfc7519#section-3.1",
    ),
    Shape(
        "bearer",
        r"(?i)\b(bearer(?:\s+|%20))" + _AFTER_SCHEME,
        "https://www.rfc-editor.org/rfc/rfc6750#section-2.1",
    ),
    Shape(
        "basic",
        r"(?i)\b(basic(?:\s+|%20))" + _AFTER_SCHEME,
        "https://www.rfc-editor.org/rfc/rfc7617#section-2",
    ),
    # Anthropic's header; Azure's and Google's `x-goog-api-key` end alike. Also in reprs
    Shape(
        "api-key",
        r"(?i)\b(api-key[\"'\\]*\s*[:=,]\s*b?[\"'\\]*)" + _VALUE + "{4,}",
        "https://platform.claude.com/docs/en/api/overview",
    ),
    # the parameter of the same name in SDKs
    Shape(
        "key",
        r"(?i)\b(api_?key[\"'\\]*\s*[:=]\s*b?[\"'\\]*)" + _VALUE + "{4,}",
        "https://github.com/openai/openai-python#usage",
    ),
    # Google's `?key=`, signatures and tokens of others
    Shape(
        "=",
        r"(?i)([?&](?:key|api[_-]?key|token|access_token|sig|signature)=)" + _VALUE + "+",
        "https://cloud.google.com/docs/authentication/api-keys-use",
    ),
    # user and password in a URL
    Shape(
        "://",
        r"(://)[^\s/@\"'\[]{1,200}(?=@)",
        "https://www.rfc-editor.org/rfc/rfc3986#section-3.2.1",
    ),
)
_COMPILED = tuple(
    (telltale, pattern.sub, rf"\1{MASK}" if pattern.groups else MASK)
    for telltale, pattern in [(shape.telltale, re.compile(shape.pattern)) for shape in CREDENTIALS]
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


def mask(text: str) -> str:
    """`text` without what has the shape of a credential."""
    lower = text.lower()
    for telltale, sub, replacement in _COMPILED:
        if telltale in lower:
            text = sub(replacement, text)
    return text


def scrub(text: str) -> str:
    """Mask what looks like a credential, user info in URLs, and hosts only the operator knows.

    Only the first 16 KiB are kept. Host names with a public form stay: providers link their docs.
    """
    text = mask(text[:_LONGEST])
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
