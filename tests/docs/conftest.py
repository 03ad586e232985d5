"""A demo gateway in a process of its own, as the README starts it, on free ports."""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.cli.conftest import clean_env

SERVE = ("portico", "serve", "--demo", "--port", "0", "--admin", "127.0.0.1:0")


@dataclass
class DemoGateway:
    """Base URLs without a trailing slash."""

    url: str
    admin_url: str


@pytest.fixture(scope="session")
def demo_gateway() -> Iterator[DemoGateway]:
    """`portico serve --demo`, stopped at the end."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            *["portico", "serve", "--demo", "--port", "0", "--admin", "127.0.0.1:0"],
        ],
        stdout=subprocess.PIPE,
        text=True,
        env=clean_env(),
    )
    assert process.stdout is not None
    said = ""
    while "admin  " not in said:
        line = process.stdout.readline()
        assert line, f"the gateway ended: {said}"
        said += line
    urls = re.findall(r"http://[0-9.:]+", said)
    yield DemoGateway(urls[0], urls[1])
    process.terminate()
    process.send_signal(2)
    process.communicate(timeout=20)
