"""Files and text -> `Settings`: parse, check, compile; all problems of a stage at once."""

from pathlib import Path

import msgspec

from portico.config import compile as compiling
from portico.config.errors import ConfigError, Problem, Report
from portico.config.parse import Form, form_of, parse
from portico.config.references import Env, ReadFile, read_file
from portico.config.reload import ConfigFile
from portico.config.schema import Document
from portico.config.secret import Secret
from portico.config.settings import Settings
from portico.config.walk import check


def load(path: str | Path, env: Env) -> Settings:
    """The settings of a file: TOML or JSON by extension, else YAML.

    Raises `ConfigError` for what the file says, `OSError` if it cannot be read.
    """
    return loads(ConfigFile(path).read(), env, name=str(path), form=form_of(str(path)))


def loads(
    text: str, env: Env, *, name: str, form: Form = "yaml", read: ReadFile = read_file
) -> Settings:
    """The settings of a document. `name` is for messages; `read` answers `file:` references.

    Raises `ConfigError` with every problem found, and nothing else, whatever `text` is.
    """
    parsed = parse(text, name=name, form=form)
    shape = Report(parsed.lines)
    tree = check(parsed, Document, env, shape, read)
    meaning = Report(parsed.lines, after=shape)
    try:
        document = msgspec.convert(tree, Document, dec_hook=_secret)
    except msgspec.ValidationError:
        meaning.add((), "the document does not fit the schema")
        document = None
    settings = None if document is None else compiling.settings(document, env, meaning)
    problems = shape.problems + meaning.problems
    if problems or settings is None:
        raise ConfigError(sorted(problems, key=_line), name)
    return settings


def _line(problem: Problem) -> int:
    return problem.line or 0


def _secret(kind: type, value: object) -> Secret:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise NotImplementedError(kind)
