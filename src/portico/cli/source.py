"""Where a configuration comes from, in a form that can be sent to another process."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from portico.config import database
from portico.config.environment import from_environment
from portico.config.errors import ConfigError, Problem
from portico.config.load import loads
from portico.config.parse import form_of
from portico.config.secret import Secret
from portico.config.settings import Address, DatabaseSettings, ServerTls, Settings
from portico.demo.settings import demo_settings


class Overrides(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the command line (or `PORTICO_*`) says over the file. None means: as configured."""

    host: str | None = None
    port: int | None = None
    uds: str | None = None
    workers: int | None = None
    admin: str | None = None
    log_level: Literal["debug", "info", "warn", "error"] | None = None
    log_format: Literal["json", "console"] | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None


class Stored(Struct, frozen=True, omit_defaults=True):
    """The database that is in use, in a form that can be sent."""

    url: str
    redis_url: str | None = None


class Source(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`file` has the path and the text that was read from it; `demo` the provider's address.

    `stored` is the database from the start, which stays the one in use whatever a later text says:
    workers that are started again have to find what the others write.
    """

    kind: Literal["file", "environment", "demo"]
    path: str = ""
    text: str = ""
    demo_url: str = ""
    overrides: Overrides = Overrides()
    stored: Stored | None = None

    def settings(self, env: Mapping[str, str]) -> Settings:
        """The effective settings. Raises `ConfigError`."""
        if self.kind == "file":
            settings = loads(self.text, env, name=self.path, form=form_of(self.path))
        elif self.kind == "demo":
            settings = msgspec.structs.replace(
                demo_settings(self.demo_url, clouds=True),
                database=DatabaseSettings(url=Secret(database.MEMORY)),
            )
        else:
            found = from_environment(env)
            if found is None:
                raise _error("environment", "no provider key is set any more")
            settings = found
        if self.stored is not None:
            kept = _settings_of(self.stored)
            settings = msgspec.structs.replace(settings, database=kept)
        return apply(settings, self.overrides)

    def keeping(self, settings: Settings) -> "Source":
        """This source with the database of `settings`, which were made from it."""
        used = settings.database
        if used is None:
            return self
        redis = used.redis_url.reveal() if used.redis_url is not None else None
        return msgspec.structs.replace(self, stored=Stored(used.url.reveal(), redis))

    def as_written(self) -> "Source":
        """This source with the database that it names itself."""
        return msgspec.structs.replace(self, stored=None)


def _settings_of(stored: Stored) -> DatabaseSettings:
    redis = Secret(stored.redis_url) if stored.redis_url is not None else None
    return DatabaseSettings(url=Secret(stored.url), redis_url=redis)


def apply(settings: Settings, overrides: Overrides) -> Settings:
    """`settings` with the command line's word over it. Raises `ConfigError`."""
    o = overrides
    listeners = list(settings.listeners)
    first = listeners[0]
    address = first.address
    if o.port is not None and not 0 <= o.port <= 65535:
        raise _error("--port", "must be from 0 to 65535")
    if o.uds is not None:
        address = Address(path=o.uds)
    elif o.host is not None or o.port is not None:
        address = Address(
            o.host if o.host is not None else address.host,
            o.port if o.port is not None else address.port,
        )
    tls = first.tls
    if o.ssl_certfile is not None or o.ssl_keyfile is not None:
        if o.ssl_certfile is None or o.ssl_keyfile is None:
            raise _error("--ssl-certfile", "a certificate and its key go together")
        tls = ServerTls(cert=o.ssl_certfile, key=o.ssl_keyfile)
    listeners[0] = msgspec.structs.replace(first, address=address, tls=tls)
    changes: dict[str, object] = {"listeners": tuple(listeners)}
    if o.workers is not None:
        changes["workers"] = o.workers
    if o.admin is not None:
        changes["admin"] = parse_admin(o.admin)
    log = settings.log
    if o.log_level is not None:
        log = msgspec.structs.replace(log, level=o.log_level)
    if o.log_format is not None:
        log = msgspec.structs.replace(log, format=o.log_format)
    changed = msgspec.structs.replace(settings, log=log, **changes)
    if changed.workers < 1:
        raise _error("--workers", "at least one worker is needed")
    if changed.workers > 1 and any(x.address.path for x in changed.listeners):
        raise _error("--workers", "a unix socket is served by one worker only")
    url = changed.database.url.reveal() if changed.database is not None else None
    if changed.workers > 1 and (why := database.not_shared(url)):
        raise _error("--workers", why)
    return changed


def parse_admin(value: str) -> Address | None:
    """`host:port`, `:port`, a bare port, or `off`. Raises `ConfigError`."""
    if value == "off":
        return None
    host, _, port = value.rpartition(":")
    if not port.isdigit() or int(port) > 65535:
        raise _error("--admin", f"{value!r} is neither host:port nor 'off'")
    return Address(host.strip("[]") or "127.0.0.1", int(port))


def read_file(path: str) -> str:
    """The text of a configuration file. Raises OSError."""
    return Path(path).read_text(encoding="utf-8", errors="surrogateescape")


def _error(where: str, message: str) -> ConfigError:
    return ConfigError([Problem(path=where, message=message)], "command line")
