"""`portico check`: is this configuration usable, and what does it come to?"""

import os
import sys
from collections.abc import Mapping

import yaml

from portico.config.dump import effective
from portico.config.errors import ConfigError
from portico.config.load import load
from portico.config.settings import Settings

OK, INVALID, UNREADABLE = 0, 1, 2


def check(path: str, env: Mapping[str, str] | None = None) -> int:
    """Print the effective configuration of `path` as YAML, secrets masked, and a summary.

    Returns the exit code: 0 usable; 1 not, with one line `file:line: $.path: message` per problem
    on stderr; 2 the file cannot be read. `env` is the process environment unless given.
    """
    try:
        settings = load(path, os.environ if env is None else env)
    except ConfigError as error:
        for line in error.lines():
            print(line, file=sys.stderr)
        return INVALID
    except OSError as error:
        print(f"{path}: cannot be read: {error.strerror or 'unknown reason'}", file=sys.stderr)
        return UNREADABLE
    print(yaml.safe_dump(effective(settings), sort_keys=False, allow_unicode=True), end="")
    print(f"# ok: {summary(settings)}")
    return OK


def summary(settings: Settings) -> str:
    """`1 listener, 1 route, 2 models, 3 caller keys`."""
    routes = [route for listener in settings.listeners for route in listener.routes]
    counts = {
        "listener": len(settings.listeners),
        "route": len(routes),
        "model": sum(len(route.models) for route in routes),
        "caller key": sum(len(route.api_key.keys) for route in routes if route.api_key),
    }
    return ", ".join(f"{n} {noun}{'' if n == 1 else 's'}" for noun, n in counts.items())
