"""The other commands, and what importing the package costs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Run, clean_env

import portico


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--help"], "serve"),
        (["serve", "--help"], "--workers"),
        (["check", "--help"], "FILE"),
        (["schema", "--help"], "JSON Schema"),
        (["demo", "--help"], "--url"),
        (["--version"], portico.__version__),
    ],
)
async def test_help_helps(args: list[str], says: str, run: Run) -> None:
    command = await run(*args)
    assert await command.exit() == 0
    assert says in command.text


@pytest.mark.parametrize("args", [["srve"], ["serve", "--prot", "1"], ["serve", "--port", "x"]])
async def test_a_wrong_command_line_is_an_error(args: list[str], run: Run) -> None:
    command = await run(*args)
    assert await command.exit() != 0
    assert "Traceback" not in command.text + "\n".join(command.err)


async def test_the_tour_runs_to_its_end(run: Run) -> None:
    command = await run("demo")
    assert await command.exit(30) == 0
    assert command.text.count("status: completed") == 2
    assert "portico_gen_ai_client_token_usage_sum" in command.text


async def test_the_tour_visits_a_running_gateway(run: Run) -> None:
    gate = await run("serve", "--demo", "--port", "0", "--admin", "off")
    port = await gate.port()
    command = await run("demo", "--url", f"http://127.0.0.1:{port}/v1")
    assert await command.exit(30) == 0
    missing = await run("demo", "--url", "http://127.0.0.1:9")
    assert await missing.exit() == 1


async def test_check_and_schema_are_for_scripts(run: Run, tmp_path: Path) -> None:
    good = tmp_path / "good.yaml"
    good.write_text("llm: {models: [{name: m, provider: openAI, params: {apiKey: sk-CANARY-1}}]}\n")
    checked = await run("check", str(good))
    assert await checked.exit() == 0
    assert "# ok: 1 listener, 1 route, 1 model" in checked.text
    assert "CANARY" not in checked.text
    assert await (await run("check", str(tmp_path / "missing.yaml"))).exit() == 2
    schema = await run("schema")
    assert await schema.exit() == 0
    assert json.loads(schema.text)["$schema"].endswith("/schema")


def test_the_console_script_is_the_module() -> None:
    script = Path(sys.executable).with_name("portico")
    command = [str(script)] if script.exists() else [sys.executable, "-m", "portico"]
    done = subprocess.run(
        [*command, "--version"], capture_output=True, text=True, env=clean_env(), timeout=30
    )
    assert done.stdout.strip() == portico.__version__


HEAVY = {"asyncio", "uvloop", "starlette", "uvicorn", "yaml", "httptools", "msgspec", "cyclopts",
         "prometheus_client", "ssl"}  # fmt: skip


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("portico", HEAVY),
        ("portico.cli.main", {"uvloop", "starlette", "uvicorn", "httptools", "prometheus_client",
                              "yaml"}),
        ("portico.asgi", {"uvloop", "starlette", "uvicorn", "prometheus_client"}),
        ("portico.gateway.worker", {"starlette", "uvicorn", "prometheus_client", "yaml"}),
    ],
)  # fmt: skip
def test_importing_brings_in_nothing_heavy(module: str, absent: set[str]) -> None:
    code = f"import sys, {module}; print(' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True,
        env=clean_env(),
    )  # fmt: skip
    assert not absent & set(done.stdout.split())


def test_importing_opens_no_socket_starts_no_process_and_reads_no_home() -> None:
    code = """
import os, sys
bad = []
home = os.path.realpath(os.environ["HOME"])
def watch(event, args):
    if event.startswith(("socket.", "subprocess.", "os.system", "os.posix_spawn", "os.fork")):
        bad.append(event)
    if event == "open" and str(args[0]).startswith(home):
        bad.append(str(args[0]))
sys.addaudithook(watch)
import portico, portico.asgi, portico.cli.main
print(bad)
"""
    home = os.path.realpath("/nonexistent-home-of-nobody")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True,
        env=clean_env(HOME=home),
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
