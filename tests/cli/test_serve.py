"""`portico serve`: one command, one process, signals, reloads, exit codes."""

import asyncio
import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest
from tests.cli.conftest import Run
from tests.support.asks import PATHS, ask
from tests.support.raw import RawClient

QUICK = ("--port", "0", "--admin", "127.0.0.1:0")


def write(path: Path, body: str) -> str:
    """Replace a file the way editors do."""
    fresh = path.with_suffix(".new")
    fresh.write_text(body)
    fresh.rename(path)
    return str(path)


def document(name: str, url: str, key: str = "gw-key") -> str:
    return f"""
llm:
  models:
  - name: {name}
    provider: openAI
    params: {{apiKey: sk-CANARY-operator, baseUrl: "{url}/v1"}}
  policies:
    apiKey:
      keys: [{{key: {key}, metadata: {{user: alice}}}}]
config:
  deadlines: {{drainDelay: 0s, drain: 5s}}
"""


async def test_the_demo_starts_without_key_or_config_and_answers(run: Run) -> None:
    gate = await run("serve", *QUICK)
    port = await gate.port()
    await gate.line("DEMO MODE")
    answer = await gate.ask("POST", PATHS["responses"], ask("responses"))
    assert answer.status == 200
    assert "demo model" in answer.body.decode()
    streamed = await gate.ask("POST", PATHS["chat"], ask("chat", stream=True))
    assert streamed.ended
    assert streamed.data_lines()[-1] == b"[DONE]"
    assert (await gate.page("/healthz/live")).status == 200
    assert (await gate.page("/healthz/ready")).status == 200
    assert (
        await gate.sample("portico_gen_ai_client_token_usage_count", gen_ai_token_type="input") == 2
    )
    start = time.perf_counter()
    gate.signal(signal.SIGINT)
    assert await gate.exit() == 0
    assert time.perf_counter() - start < 3
    lines = [json.loads(line) for line in gate.out if line.startswith("{")]
    assert [line["endpoint"] for line in lines] == [PATHS["responses"], PATHS["chat"]]
    assert all(line["status"] == 200 and line["tokens"]["output"] > 0 for line in lines)
    assert f"127.0.0.1:{port}" in gate.text
    assert not [line for line in gate.err if '"level":"info"' not in line]


async def test_sigterm_says_not_ready_drains_and_exits_0(run: Run, tmp_path: Path) -> None:
    file = write(tmp_path / "p.yaml", document("m", "http://127.0.0.1:9").replace("0s", "1.5s"))
    gate = await run("serve", "-c", file, *QUICK)
    await gate.admin_port()
    gate.signal(signal.SIGTERM)

    async def not_ready() -> bool:
        return (await gate.page("/healthz/ready")).status == 503

    await gate.until(not_ready, 1.2)
    still = await gate.ask("GET", "/v1/models", None, {"x-api-key": "gw-key"})
    assert still.status == 200, "load balancers need a moment to hear of it"
    assert await gate.exit(5) == 0


async def test_a_stream_in_flight_is_finished_before_the_exit(run: Run) -> None:
    gate = await run("serve", "--demo", *QUICK)
    async with await RawClient.connect(await gate.port()) as client:
        body = ask("chat", "[[demo tokens=20 delay=0.05]]", stream=True)
        await client.request("POST", PATHS["chat"], body)
        await asyncio.sleep(0.2)
        gate.signal(signal.SIGINT)
        answer = await client.response()
    assert answer.ended
    assert answer.data_lines()[-1] == b"[DONE]"
    assert await gate.exit() == 0


async def test_a_second_signal_cuts_what_still_runs(run: Run) -> None:
    gate = await run("serve", "--demo", *QUICK)
    async with await RawClient.connect(await gate.port()) as client:
        await client.request("POST", PATHS["chat"], ask("chat", model="demo:hang=2", stream=True))
        await asyncio.sleep(0.2)
        gate.signal(signal.SIGINT)
        await asyncio.sleep(0.2)
        assert gate.process.returncode is None
        gate.signal(signal.SIGINT)
        assert await gate.exit(5) == 0
        answer = await client.response()
    assert not answer.ended
    assert b"overloaded" in answer.body
    assert b"[DONE]" not in answer.body


async def test_sighup_and_edits_reload_and_a_bad_file_keeps_the_old(
    run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "portico.yaml"
    url = "http://127.0.0.1:9"
    gate = await run("serve", "--config", write(path, document("first", url)), *QUICK)

    async def names() -> list[str]:
        answer = await gate.ask("GET", "/v1/models", None, {"authorization": "Bearer gw-key"})
        return [each["id"] for each in answer.json()["data"]]

    assert await names() == ["first"]
    assert (await gate.ask("GET", "/v1/models")).status == 401
    write(path, document("second", url))
    gate.signal(signal.SIGHUP)
    await gate.line("reloaded")

    async def serves_third() -> bool:
        return await names() == ["third"]

    assert await names() == ["second"]
    write(path, document("third", url))  # and nobody says a word: the file is watched
    await gate.until(serves_third)
    assert await gate.sample("portico_config_last_reload_successful") == 1
    for bad in ("llm: [", "llm: {modls: []}", document("m", url).replace("policies", "polices")):
        gate.err.clear()
        write(path, bad)
        gate.signal(signal.SIGHUP)
        await gate.line("reload refused")
        assert await gate.sample("portico_config_last_reload_successful") == 0
        assert await names() == ["third"]
    gate.err.clear()
    write(path, document("open", url).replace("apiKey:\n", "apiKey:\n      mode: optional\n"))
    gate.signal(signal.SIGHUP)
    await gate.line("cannot take away the keys")
    assert (await gate.ask("GET", "/v1/models")).status == 401
    gate.err.clear()
    write(path, document("fourth", url))
    gate.signal(signal.SIGHUP)
    await gate.until(lambda: _is(gate.sample("portico_config_last_reload_successful"), 1))
    dump = (await gate.page("/config_dump")).body.decode()
    assert "fourth" in dump
    assert "sk-CANARY" not in dump
    assert "gw-key" not in dump
    path.unlink()
    gate.signal(signal.SIGHUP)
    await gate.line("reload refused")
    assert await gate.sample("portico_config_last_reload_successful") == 0
    assert await names() == ["fourth"]
    gate.signal(signal.SIGTERM)
    assert await gate.exit() == 0
    everything = "\n".join((*gate.out, *gate.err))
    assert "CANARY" not in everything
    assert "gw-key" not in everything


async def _is(value: object, wanted: float) -> bool:
    return await value == wanted  # type: ignore[misc]


async def test_the_environments_keys_are_enough(run: Run) -> None:
    env = {"OPENAI_API_KEY": "sk-CANARY-1", "ANTHROPIC_API_KEY": "sk-CANARY-2"}
    gate = await run("serve", *QUICK, env=env)
    models = (await gate.line(r"models\s+(.*)"))[1]
    for name in ("openai/*", "anthropic/*", "gpt-*", "claude-*"):
        assert name in models
    assert "DEMO" not in gate.text
    assert "CANARY" not in gate.text
    gate.signal(signal.SIGINT)
    assert await gate.exit() == 0


async def test_flags_are_environment_variables_too(run: Run, tmp_path: Path) -> None:
    file = write(tmp_path / "p.yaml", document("m", "http://127.0.0.1:9"))
    env = {"PORTICO_CONFIG": file, "PORTICO_PORT": "0", "PORTICO_ADMIN": "off"}
    gate = await run("serve", env=env)
    await gate.port()
    assert "admin" not in gate.text
    gate.signal(signal.SIGTERM)
    assert await gate.exit() == 0


async def test_a_unix_socket_will_do(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "portico.sock"
    gate = await run("serve", "--demo", "--uds", str(path), "--admin", "off")
    await gate.line(f"unix:{path}")
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(b"GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert b"demo-small" in await reader.read()
    writer.close()
    gate.signal(signal.SIGINT)
    assert await gate.exit() == 0
    assert not path.exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "portico.example"])
async def test_a_network_address_without_keys_is_refused(host: str, run: Run) -> None:
    gate = await run("serve", "--demo", "--host", host, "--port", "0")
    assert await gate.exit() == 1
    assert "--insecure" in "\n".join(gate.err)
    assert "Traceback" not in "\n".join(gate.err)


async def test_insecure_is_a_decision_one_can_make(run: Run) -> None:
    gate = await run("serve", "--demo", "--host", "0.0.0.0", *QUICK, "--insecure")
    assert (await gate.ask("GET", "/v1/models")).status == 200
    gate.signal(signal.SIGINT)
    assert await gate.exit() == 0


async def test_a_network_address_with_keys_is_fine(run: Run, tmp_path: Path) -> None:
    file = write(tmp_path / "p.yaml", document("m", "http://127.0.0.1:9"))
    gate = await run("serve", "-c", file, "--host", "0.0.0.0", *QUICK)
    assert (await gate.ask("GET", "/v1/models")).status == 401
    # What was guarded at start is not opened by a reload.
    write(
        tmp_path / "p.yaml",
        document("m", "http://127.0.0.1:9").replace("keys:", "mode: optional\n      keys:"),
    )
    gate.signal(signal.SIGHUP)
    await gate.line("reload refused")
    assert (await gate.ask("GET", "/v1/models")).status == 401
    gate.signal(signal.SIGTERM)
    assert await gate.exit() == 0


@pytest.mark.parametrize("flag", ["--port", "--admin"])
async def test_a_port_in_use_is_exit_3_and_named(flag: str, run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        args = ["--port", port] if flag == "--port" else ["--port", "0", flag, f"127.0.0.1:{port}"]
        gate = await run("serve", "--demo", *args)
        assert await gate.exit() == 3
    said = "\n".join(gate.err)
    assert port in said
    assert "in use" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        (None, 2, "cannot be read|No such file"),
        ("llm: {modls: []}", 1, 'did you mean "models"'),
        ("{", 1, ":1: "),
        (
            "llm: {models: [{name: m, provider: openAI, params: {apiKey: $NOPE_NOT_SET}}]}",
            1,
            "NOPE_NOT_SET",
        ),
    ],
)
async def test_a_file_that_cannot_be_used_says_what_and_where(
    body: str | None, code: int, says: str, run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "p.yaml"
    if body is not None:
        path.write_text(body)
    gate = await run("serve", "--config", str(path))
    assert await gate.exit() == code
    await gate.line(says, 0.1)
    assert "Traceback" not in "\n".join(gate.err)


async def test_demo_and_a_file_exclude_each_other(run: Run, tmp_path: Path) -> None:
    file = write(tmp_path / "p.yaml", document("m", "http://127.0.0.1:9"))
    gate = await run("serve", "--demo", "--config", file)
    assert await gate.exit() == 1
    await gate.line("--demo", 0.1)


async def test_idle_it_needs_little_memory(run: Run) -> None:
    gate = await run("serve", "--demo", *QUICK)
    await gate.port()
    assert resident(gate.process.pid) < 100 * 1024 * 1024


def resident(pid: int) -> int:
    """Bytes of memory a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
