"""Where things are stored: which URLs are taken, where they are from; and no password shows."""

import os
from pathlib import Path

import pytest

from portico.cli.source import Overrides, Source, Stored
from portico.config import database
from portico.config.dump import effective
from portico.config.environment import from_environment
from portico.config.errors import ConfigError
from portico.config.load import loads
from portico.config.secret import Secret
from portico.config.settings import DatabaseSettings, Settings
from portico.observe.metrics import Metrics
from portico.observe.recorder import Recorder
from portico.observe.redact import Redactor
from portico.store import opening

MODELS = "llm: {models: [{name: m, provider: ollama}]}\n"
CANARY = "hunter2-CANARY"
POSTGRES = f"postgresql://portico:{CANARY}@db.internal:5432/state?sslmode=require"
REDIS = f"rediss://:{CANARY}-too@cache:6380/0"


def settings(config: str = "", env: dict[str, str] | None = None) -> Settings:
    return loads(MODELS + (f"config: {config}" if config else ""), env or {}, name="f")


def url_of(found: Settings | None) -> str:
    assert found is not None
    assert found.database is not None
    return found.database.url.reveal()


def problem(config: str, env: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        settings(config, env)
    (line,) = caught.value.lines()
    assert CANARY not in line
    return line


# --- which one ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "wanted"),
    [
        ({"HOME": "/home/p"}, "sqlite:////home/p/.local/share/portico/portico.db"),
        ({"HOME": "/"}, "sqlite:////.local/share/portico/portico.db"),
        ({"HOME": "/home/p", "XDG_DATA_HOME": "/data/"}, "sqlite:////data/portico/portico.db"),
        ({"HOME": "/h", "XDG_DATA_HOME": "data"}, "sqlite:////h/.local/share/portico/portico.db"),
        ({"HOME": "/h", "PORTICO_DATABASE_URL": "sqlite::memory:"}, "sqlite::memory:"),
        ({"PORTICO_DATABASE_URL": POSTGRES}, POSTGRES),
    ],
)
def test_without_a_word_it_is_the_variables_or_a_file_of_the_user(
    env: dict[str, str], wanted: str
) -> None:
    assert url_of(settings(env=env)) == wanted
    assert url_of(from_environment({**env, "OPENAI_API_KEY": "k"})) == wanted


def test_what_the_document_says_comes_first() -> None:
    env = {"HOME": "/h", "PORTICO_DATABASE_URL": POSTGRES}
    assert url_of(settings("{database: {url: 'sqlite:///a.db'}}", env)) == "sqlite:a.db"


def test_where_there_is_no_home_it_is_in_memory() -> None:
    assert settings().database is None
    assert Settings(listeners=()).database is None


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("sqlite:///state.db", "sqlite:state.db"),
        ("sqlite:////var/lib/my state/ä.db", "sqlite:////var/lib/my state/ä.db"),
        ("sqlite::memory:", "sqlite::memory:"),
        ("sqlite:///:memory:", "sqlite::memory:"),
        ("postgres://h/d", "postgres://h/d"),
        ("postgresql:///d?host=/run/postgresql", "postgresql:///d?host=/run/postgresql"),
        ("postgresql://u:p%40ss@h1:1,[::1]:2/d", "postgresql://u:p%40ss@h1:1,[::1]:2/d"),
        ("postgresql://", "postgresql://"),
    ],
)
def test_a_url_of_a_database_we_have_is_taken(written: str, meant: str) -> None:
    assert url_of(settings(f"{{database: {{url: '{written}'}}}}")) == meant


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("/var/lib/x.db", "expected sqlite:///path"),
        ("mysql://h/d", "expected sqlite:///path"),
        ("sqlite://x.db", "four slashes"),
        ("sqlite:x.db", "four slashes"),
        ("sqlite:///", "names no file"),
        ("sqlite:////var/lib/", "names no file"),
        ("sqlite:///~/x.db", "not expanded"),
        ("sqlite:///x.db?mode=ro", "no parameters"),
        ("postgresql://h:x/d", "host and port"),
        (f"postgresql://u:{CANARY}@x@h/d", "percent-encode"),
        (f"postgresql://u:1/{CANARY}@h/d", "percent-encode"),
        (f"postgresql://u:1?{CANARY}@h/d", "percent-encode"),
        (f"postgresql://u:1#{CANARY}@h/d", "percent-encode"),
        ("postgresql://h/a b", "visible ASCII"),
    ],
)
def test_what_is_no_such_url_is_refused_without_being_repeated(written: str, message: str) -> None:
    line = problem(f"{{database: {{url: '{written}'}}}}")
    assert line.startswith("f:2: $.config.database.url: ")
    assert message in line
    named = problem("{database: {}}", {"PORTICO_DATABASE_URL": written})
    assert "the environment variable PORTICO_DATABASE_URL: " in named
    with pytest.raises(ConfigError, match="PORTICO_DATABASE_URL"):
        from_environment({"OPENAI_API_KEY": "k", "PORTICO_DATABASE_URL": written})


@pytest.mark.parametrize(
    "written", ["redis://h", "redis://u:p@h:6379/1", "unix:///run/r.sock?db=1", REDIS]
)
def test_a_url_of_redis_is_taken(written: str) -> None:
    text = f"{{database: {{url: 'sqlite:///a', redisUrl: '{written}'}}}}"
    found = settings(text).database
    assert found == DatabaseSettings(url=Secret("sqlite:a"), redis_url=Secret(written))


@pytest.mark.parametrize(
    "written", ["h:6379", "http://h", "redis://", "unix://run/r.sock", "unix://", "redis://h:x"]
)
def test_what_is_no_redis_url_is_refused(written: str) -> None:
    line = problem(f"{{database: {{url: 'sqlite:///a', redisUrl: '{written}'}}}}")
    assert line.startswith("f:2: $.config.database.redisUrl: ")


def test_a_url_may_be_a_reference_or_hold_one(tmp_path: Path) -> None:
    (tmp_path / "url").write_text(POSTGRES + "\n")
    for written in ("$DB", f"file:{tmp_path}/url", f"{{file: {tmp_path}/url}}"):
        quoted = written if written.startswith("{") else f'"{written}"'
        assert url_of(settings(f"{{database: {{url: {quoted}}}}}", {"DB": POSTGRES})) == POSTGRES
    found = settings("{database: {url: 'postgresql://u:${PW}@h/d'}}", {"PW": CANARY})
    assert url_of(found) == f"postgresql://u:{CANARY}@h/d"
    assert "not set" in problem("{database: {url: $NONE}}")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{database: {uri: x}}", 'database.uri: unknown key, did you mean "url"?'),
        ("{database: {redis_url: x}}", 'unknown key, did you mean "redisUrl"?'),
        ("{database: {maxConnections: 5}}", "known from agentgateway"),
        ("{database: sqlite}", "$.config.database: expected a mapping, got a string"),
        ("{database: {url: 5}}", "$.config.database.url: expected a string, got a number"),
        ("{database: {url: ''}}", "$.config.database.url: must not be empty"),
        ('{database: {url: "sqlite:///a\\nb"}}', "line ends or control characters"),
        ("{workers: 2, database: {url: 'sqlite::memory:'}}", "seen by one worker only"),
        ("{workers: 2}", "several workers share a database"),
        ("{database: {redisUrl: 'redis://h'}}", "redisUrl needs a database beside it"),
    ],
)
def test_what_makes_no_sense_is_refused(config: str, message: str) -> None:
    assert message in problem(config)


# --- no password is shown -----------------------------------------------------------------------


def test_passwords_are_neither_dumped_nor_printed() -> None:
    found = settings(f"{{database: {{url: '{POSTGRES}', redisUrl: '{REDIS}'}}}}")
    assert effective(found)["database"] == {
        "url": "postgresql://portico:***@db.internal:5432/state?***",
        "redisUrl": "rediss://:***@cache:6380/0",
    }
    assert CANARY not in repr(found)


def test_a_file_is_dumped_as_it_is() -> None:
    shown = effective(settings("{database: {url: 'sqlite:////var/lib/x.db'}}"))["database"]
    assert shown == {"url": "sqlite:////var/lib/x.db"}
    assert effective(settings("{database: {url: 'sqlite::memory:'}}"))["database"] == {
        "url": "sqlite::memory:"
    }


@pytest.mark.parametrize(
    "url",
    [
        POSTGRES,
        f"postgresql://h/d?user=u&password={CANARY}",
        f"postgres://u:{CANARY.replace('-', '%2D')}@h/d",
    ],
)
def test_passwords_are_masked_in_every_line_of_the_log(url: str) -> None:
    redactor = Redactor()
    stored = DatabaseSettings(url=Secret(url), redis_url=Secret(REDIS))
    recorder = Recorder(Metrics(), None, redactor)
    recorder.learn_secrets(Settings(listeners=(), database=stored))
    for said in (url, CANARY, REDIS, f"could not connect to {url}", f'password "{CANARY}" wrong'):
        assert CANARY not in redactor.text(said)
        assert CANARY.replace("-", "%2D") not in redactor.text(said)


def test_names_that_are_a_password_too_do_not_vanish_from_the_log() -> None:
    url = "postgresql://portico:portico@localhost/portico"
    found = database.secrets_of(DatabaseSettings(url=Secret(url)))
    redactor = Redactor(found)
    assert redactor.text("portico serves") == "portico serves"
    assert url not in redactor.text(f"cannot reach {url}")
    assert database.secrets_of(DatabaseSettings(url=Secret("sqlite:////a/b"))) == []
    assert database.secrets_of(None) == []


def test_the_store_opens_the_file_that_was_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for written, file in (
        ("sqlite:///rel.db", "rel.db"),
        (f"sqlite:///{tmp_path}/abs.db", str(tmp_path / "abs.db")),
        ("sqlite::memory:", ":memory:"),
    ):
        assert opening._path(database.database_url(written).partition(":")[2]) == file


# --- what the command line makes of it ----------------------------------------------------------

FILE = Source(kind="file", path="f.yaml", text=MODELS)


def test_more_workers_than_a_database_can_have_are_refused() -> None:
    with pytest.raises(ConfigError, match="several workers share a database"):
        Source(kind="file", path="f", text=MODELS, overrides=Overrides(workers=2)).settings({})
    with pytest.raises(ConfigError, match="seen by one worker only"):
        Source(kind="demo", demo_url="http://x", overrides=Overrides(workers=2)).settings({})


def test_the_demo_keeps_nothing_whatever_the_environment_says() -> None:
    env = {"HOME": "/h", "PORTICO_DATABASE_URL": POSTGRES}
    assert url_of(Source(kind="demo", demo_url="http://x").settings(env)) == "sqlite::memory:"


def test_a_database_handed_over_is_the_one_in_use_whatever_the_text_says() -> None:
    first = settings(f"{{database: {{url: '{POSTGRES}', redisUrl: '{REDIS}'}}}}")
    source = FILE.keeping(first)
    assert source.stored == Stored(POSTGRES, REDIS)
    assert source.settings({"HOME": "/h"}).database == first.database
    assert url_of(source.as_written().settings({"HOME": "/h"})).startswith("sqlite:////h/")
    assert FILE.keeping(settings()).stored is None


def test_reading_a_configuration_creates_no_file(tmp_path: Path) -> None:
    settings(env={"HOME": str(tmp_path)})
    assert os.listdir(tmp_path) == []  # noqa: PTH208
