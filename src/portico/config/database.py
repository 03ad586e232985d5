"""`config.database`: where the gateway keeps what it stores, as URLs that may hold a password.

| URL | |
|---|---|
| `sqlite:///state.db`, `sqlite:////var/lib/portico/state.db` | a file, relative or absolute |
| `sqlite::memory:` | lost at the end, for one worker |
| `postgresql://user:password@host/name`, `postgres://` | as libpq reads it |
| `redis://`, `rediss://`, `unix:///run/redis.sock` | as redis-cli and its libraries read it |
"""

import re
from urllib.parse import parse_qsl, unquote, urlsplit

from portico.config.errors import Path, Report
from portico.config.references import Env
from portico.config.schema_process import Database
from portico.config.secret import Secret
from portico.config.settings import DatabaseSettings

MEMORY = "sqlite::memory:"
VARIABLE = "PORTICO_DATABASE_URL"

_FILE = "sqlite:///"
_POSTGRES = ("postgresql", "postgres")
_REDIS = ("redis", "rediss", "unix")
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_PORT = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\[\]:]*)(?::\d{1,5})?", re.ASCII)
_PASSWORDS = ("password", "sslpassword")
"""Parameters of a URL that hold one, in libpq and in the libraries of Redis."""


def settings(
    written: Database, env: Env, path: Path, report: Report, *, workers: int = 1
) -> DatabaseSettings | None:
    """What `written`, else the environment, else the user's own data directory says.

    None, which is a database in memory, only where there is no such directory either. Problems go
    to `report`, at `path` and below; the settings are then not to be used.
    """
    url = written.url
    at: Path = path if url is None else (*path, "url")
    named = ""
    if url is None and env.get(VARIABLE):
        url, named = Secret(env[VARIABLE]), f"the environment variable {VARIABLE}: "
    try:
        found = database_url(url.reveal()) if url is not None else default_url(env)
    except ValueError as error:
        report.add(at, f"{named}{error}")
        return None
    if workers > 1 and (why := not_shared(found)):
        report.add(at, f"{named}{why}")
    redis = written.redis_url
    if redis is not None:
        try:
            redis = Secret(redis_url(redis.reveal()))
        except ValueError as error:
            report.add((*path, "redisUrl"), str(error))
    if found is None:
        if redis is not None:
            report.add(at, f"redisUrl needs a database beside it: write url, or set {VARIABLE}")
        return None
    return DatabaseSettings(url=Secret(found), redis_url=redis)


def not_shared(url: str | None) -> str:
    """Why several workers cannot have this database (None: none was found); empty if they can."""
    if url is None:
        return f"several workers share a database: write its url, or set {VARIABLE} or HOME"
    if url == MEMORY:
        return "a database in memory is seen by one worker only; write the URL of a file"
    return ""


def default_url(env: Env) -> str | None:
    """`portico/portico.db` in the user's data directory; None if the environment names neither.

    https://specifications.freedesktop.org/basedir-spec/latest/: a relative path there is invalid.
    """
    data = env.get("XDG_DATA_HOME", "")
    if not data.startswith("/"):
        home = env.get("HOME", "")
        if not home.startswith("/"):
            return None
        data = f"{home.rstrip('/')}/.local/share"
    return f"{_FILE}{data.rstrip('/')}/portico/portico.db"


def database_url(text: str) -> str:
    """A URL of a database this gateway can use, of a relative file as `sqlite:file`. Raises
    `ValueError`, without the value."""
    if text in (MEMORY, _FILE + ":memory:"):
        return MEMORY
    if text.startswith("sqlite:"):
        path = _file(text)
        # Some read three slashes as the beginning of an absolute path: leave no doubt.
        return f"{_FILE}{path}" if path.startswith("/") else f"sqlite:{path}"
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in _POSTGRES:
        raise ValueError("expected sqlite:///path, sqlite::memory: or postgresql://...")
    _check_authority(rest, text)
    return text


def redis_url(text: str) -> str:
    """A URL of a Redis server. Raises `ValueError`, without the value."""
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in _REDIS:
        raise ValueError("expected redis://, rediss:// or unix://")
    _check_authority(rest, text)
    host, _, path = rest.partition("/")
    if scheme == "unix" and (host.rpartition("@")[2] or not path):
        raise ValueError("expected the path of a socket: unix:///run/redis.sock")
    if scheme != "unix" and not host.rpartition("@")[2]:
        raise ValueError("the URL names no host")
    return text


def _file(text: str) -> str:
    path = text.removeprefix(_FILE)
    if path == text:
        raise ValueError("expected sqlite:///path (four slashes for an absolute one)")
    if "?" in path or "#" in path:
        raise ValueError("an SQLite URL takes no parameters")
    if not path.strip("/") or path.endswith("/"):
        raise ValueError("the URL names no file")
    if path.startswith("~"):
        raise ValueError("a ~ is not expanded here; write sqlite:///$HOME/...")
    return path


def _check_authority(rest: str, text: str) -> None:
    """`user:password@host:port,...`, then path and parameters. What `shown` would take for
    something else than a password must not be a part of one."""
    if not _VISIBLE.fullmatch(text):
        raise ValueError("a URL holds visible ASCII characters only")
    authority = re.split(r"[/?]", rest, maxsplit=1)[0]
    if "#" in rest or rest.count("@") > 1 or rest.count("@") > authority.count("@"):
        raise ValueError("percent-encode @, /, ? and # in a user name or password")
    hosts = authority.rpartition("@")[2]
    if not all(_PORT.fullmatch(host) for host in hosts.split(",")):
        raise ValueError("not a valid host and port")


def shown(url: Secret) -> str:
    """A checked URL for people: without password and parameters."""
    text = url.reveal()
    scheme, separator, rest = text.partition("://")
    if not separator or scheme == "sqlite":
        return text
    rest, question, _ = rest.partition("?")
    user, at, place = rest.rpartition("@")
    name, colon, _ = user.partition(":")
    return f"{scheme}://{name}{colon and ':***'}{at}{place}{question and '?***'}"


def secrets_of(database: DatabaseSettings | None) -> list[Secret]:
    """What must not be written anywhere: whole URLs with a password in them, and the passwords
    themselves, as drivers quote them. One that is a user, host or database name as well is only
    kept out as part of its URL: masking it would mask these names everywhere."""
    urls = () if database is None else (database.url, database.redis_url)
    out: list[Secret] = []
    for url in urls:
        if url is None:
            continue
        text = url.reveal()
        found = _passwords(text)
        if found:
            out.append(url)
        names = shown(url)
        out += [Secret(word) for word in found if word not in names]
    return out


def _passwords(text: str) -> list[str]:
    """As written, and as meant."""
    if text.startswith("sqlite:"):
        return []
    parts = urlsplit(text)
    written = parts.netloc.rpartition("@")[0].partition(":")[2]
    given = [v for k, v in parse_qsl(parts.query) if k.lower() in _PASSWORDS]
    return [word for word in dict.fromkeys((written, unquote(written), *given)) if word]
