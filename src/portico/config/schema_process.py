"""Blocks about the process itself and HTTP towards callers: `config` and `frontendPolicies`."""

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from portico.config.blocks import Block, Text, about
from portico.config.secret import Secret
from portico.limits import Deadlines, Limits

Mode: TypeAlias = Literal["gateway", "provider", "off"]
Url: TypeAlias = Annotated[Secret, Meta(extra={"form": "url"})]

MODE = about("Who keeps responses: gateway, for every model; provider, where it can; off, nobody.")


class Database(Block, frozen=True):
    """Where things are stored."""

    url: Annotated[
        Url | None,
        about(
            "sqlite:///file, sqlite::memory: or postgresql://... Default: PORTICO_DATABASE_URL, or "
            "a file in the user's data directory."
        ),
    ] = None
    redis_url: Annotated[
        Url | None, about("(Portico) redis://, rediss:// or unix://, for what workers share.")
    ] = None


class State(Block, frozen=True):
    """Responses and conversations that requests refer to by id."""

    mode: Annotated[Mode, MODE] = "gateway"
    retention: Annotated[
        float,
        Meta(ge=60, le=3650 * 86400),
        about("How long a stored response is kept; seconds or a duration such as 30d."),
    ] = 30 * 86400.0


class Logging(Block, frozen=True):
    """What is logged."""

    level: Annotated[Literal["debug", "info", "warn", "error"], about("Least level.")] = "info"
    format: Annotated[Literal["json", "console"], about("Shape of a line.")] = "json"
    access: Annotated[bool, about("(Portico) One line per request.")] = True


class Process(Block, frozen=True):
    """The process itself."""

    host: Annotated[Text, about("(Portico) Address every port binds to.")] = "127.0.0.1"
    uds: Annotated[
        Text | None, about("(Portico) Unix socket to serve on in place of the one TCP port.")
    ] = None
    workers: Annotated[int, Meta(ge=1, le=256), about("(Portico) Worker processes.")] = 1
    admin_addr: Annotated[
        Text, about('Health, metrics, admin: "host:port", ":port" (all interfaces) or "off".')
    ] = "127.0.0.1:15000"
    limits: Annotated[Limits, about("(Portico) Bounds; bytes or sizes such as 32MiB.")] = Limits()
    deadlines: Annotated[Deadlines, about("(Portico) Times; seconds or durations such as 5m.")] = (
        Deadlines()
    )
    logging: Annotated[Logging, about("What is logged.")] = Logging()
    database: Annotated[Database, about("Where things are stored.")] = Database()
    state: Annotated[State, about("(Portico) Responses that requests refer to by id.")] = State()
    sealing_key: Annotated[
        Secret | None,
        about(
            "(Portico) Protects what callers carry between requests. 32 bytes in hex or base64, or "
            "32 characters. Default: PORTICO_SEALING_KEY, or one made at start."
        ),
    ] = None


class FrontendHttp(Block, frozen=True):
    """HTTP towards callers."""

    max_buffer_size: Annotated[
        Annotated[int, Meta(ge=1, extra={"form": "size"})] | None,
        about("Largest request body; the same as config.limits.bodyBytes."),
    ] = None


class FrontendPolicies(Block, frozen=True):
    """Rules towards callers."""

    http: Annotated[FrontendHttp, about("HTTP towards callers.")] = FrontendHttp()
