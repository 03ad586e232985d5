"""The small languages inside the document: durations, sizes, addresses, URLs, model patterns.

Every function is pure, raises `ValueError` with a message for the operator, and never puts the
value itself into that message.
"""

import re
from ipaddress import AddressValueError, IPv6Address
from urllib.parse import urlsplit

from portico.config.settings import Address

# https://pkg.go.dev/time#ParseDuration - what agentgateway documents use.
# `d` is an addition: who says 30 days should not have to say 720 hours.
_DURATION = re.compile(r"(?:\d{1,12}(?:\.\d{1,9})?(?:ns|us|µs|ms|s|m|h|d))+", re.ASCII)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d)", re.ASCII)
_SECONDS = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3,
    "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0,
}  # fmt: skip

_SIZE = re.compile(r"(\d{1,15}) ?([A-Za-z]{0,3})", re.ASCII)
_UNITS = {
    "": 1,
    "b": 1,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
    "ki": 1024,
    "kib": 1024,
    "mi": 1024**2,
    "mib": 1024**2,
    "gi": 1024**3,
    "gib": 1024**3,
}

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,252}[A-Za-z0-9])?\.?", re.ASCII)
_HOSTNAME = re.compile(r"(\*\.)?[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII)
_URL_PATH = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*", re.ASCII)
MIN_SEALING_KEY = 32

_VISIBLE = re.compile(r"[\x21-\x7e]+")


def duration(text: str) -> float:
    """Seconds of a Go duration, days added: `300s`, `5m`, `250ms`, `1h30m`, `30d`."""
    if not _DURATION.fullmatch(text):
        raise ValueError(
            "expected seconds as a number, or a duration such as 250ms, 30s, 5m, 1h, 30d"
        )
    return sum(float(n) * _SECONDS[unit] for n, unit in _DURATION_PART.findall(text))


def size(text: str) -> int:
    """Bytes of `32MiB`, `64KiB`, `1GiB`, `10MB` (10^6) or plain digits."""
    match = _SIZE.fullmatch(text)
    unit = _UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise ValueError("expected bytes as an integer, or a size such as 64KiB, 32MiB, 1GiB")
    return int(match[1]) * unit


def port(text: str) -> int:
    """A TCP port, 0 (any free one) to 65535."""
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535):
        raise ValueError("the port must be a number from 0 to 65535")
    return int(text)


def host(text: str) -> str:
    """A host name or IP address to bind or reach; IPv6 with or without brackets."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if ":" in bare:
        try:
            IPv6Address(bare)
        except AddressValueError:
            raise ValueError("not an IPv6 address") from None
    elif not _HOST.fullmatch(bare):
        raise ValueError("not a host name or IP address")
    return bare


def listen_address(text: str) -> Address | None:
    """`host:port`; `:port` is every IPv4 interface, as in Go; `off` is None.

    `localhost` is 127.0.0.1.
    """
    if text == "off":
        return None
    name, colon, digits = text.rpartition(":")
    if not colon:
        raise ValueError('expected "host:port", ":port" or "off"')
    if name == "":
        return Address("0.0.0.0", port(digits))  # noqa: S104 - the operator wrote it
    return Address("127.0.0.1" if name == "localhost" else host(name), port(digits))


def base_url(text: str) -> str:
    """An absolute http(s) URL without credentials, query, fragment or trailing slash."""
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        raise ValueError("expected an http:// or https:// URL")
    if not _VISIBLE.fullmatch(text) or "\\" in text:
        raise ValueError("a URL holds visible ASCII characters only")
    if "@" in rest.partition("/")[0]:
        raise ValueError("credentials do not belong into a URL; use apiKey")
    if "?" in rest or "#" in rest:
        raise ValueError("a base URL has no query and no fragment")
    return f"{scheme.lower()}://{_authority(rest.partition('/')[0])}{_url_path(text)}"


def _authority(text: str) -> str:
    if text.startswith("["):
        name, bracket, after = text.partition("]")
        name += bracket
    else:
        name, colon, digits = text.partition(":")
        after = colon + digits
    bare = host(name)
    if after and not (after.startswith(":") and len(after) > 1):
        raise ValueError("not a valid host and port")
    number = f":{port(after[1:])}" if after else ""
    return (f"[{bare}]" if ":" in bare else bare.lower()) + number


def _url_path(text: str) -> str:
    return url_path(urlsplit(text).path).rstrip("/")


def url_path(text: str) -> str:
    """A path that starts with `/` (or is empty) and holds no dot segments."""
    if not _URL_PATH.fullmatch(text) or (text and text[0] != "/"):
        raise ValueError("not a URL path")
    if any(part in (".", "..") for part in text.lower().replace("%2e", ".").split("/")):
        raise ValueError("a URL path has no . or .. segments")
    return text


def host_port(text: str) -> tuple[str, int | None]:
    """`api.example.com:443` -> its authority and port."""
    if "/" in text or "@" in text:
        raise ValueError('expected "host:port"')
    authority = _authority(text)
    _, colon, digits = authority.rpartition(":")
    return authority, int(digits) if colon and digits.isdigit() else None


def hostname(text: str) -> str:
    """A host name to match requests by, lower case; `*.example.com` matches what is below it."""
    lowered = text.lower()
    if not _HOSTNAME.fullmatch(lowered) or ".." in lowered:
        raise ValueError("expected a host name, or *.host for everything below it")
    return lowered


def model_pattern(text: str) -> str:
    """A model name: exact, `prefix*`, `*suffix` or `*`."""
    stars = text.count("*")
    if stars > 1 or (stars and not (text.startswith("*") or text.endswith("*"))):
        raise ValueError("a model name has at most one *, at its start or end")
    return text


def upstream_model(text: str) -> str:
    """A model id as the provider knows it."""
    if "*" in text:
        raise ValueError("the provider's model id cannot hold a *")
    return text


def credential(text: str) -> str:
    """A key that can travel in an HTTP header."""
    if not _VISIBLE.fullmatch(text):
        raise ValueError("a key holds visible ASCII characters only, without spaces or line ends")
    return text


def sealing_key(text: str) -> str:
    """Text to derive a key from: 32 characters at least, so that nobody can guess it."""
    if len(credential(text)) < MIN_SEALING_KEY:
        raise ValueError(
            f"a sealing key has at least {MIN_SEALING_KEY} characters, "
            "for instance those that openssl rand -hex 32 prints"
        )
    return text
