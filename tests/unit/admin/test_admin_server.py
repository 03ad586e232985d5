"""The admin listener starts, says where, and stops cleanly."""

import asyncio
import json
import signal
import socket
import stat
import sys
from pathlib import Path

import pytest
from tests.unit.admin.test_admin_pages import Port

from portico.admin.app import create_admin
from portico.admin.server import serve_admin
from portico.config.settings import Address


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> bytes:
    """One GET on a fresh connection; the whole answer."""
    writer.write(f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_port_zero_tells_the_port_that_was_bound() -> None:
    admin = await serve_admin(create_admin(Port()), Address("127.0.0.1", 0))
    assert admin.port > 0
    assert admin.address == Address("127.0.0.1", admin.port)
    answer = await ask(*await asyncio.open_connection("127.0.0.1", admin.port), "/")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"server:" not in head.lower()
    assert json.loads(body)["name"] == "portico"
    await admin.stop()


async def test_after_stop_nothing_listens_and_the_port_is_free() -> None:
    admin = await serve_admin(create_admin(Port()), Address("127.0.0.1", 0))
    await admin.stop()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", admin.port)
    again = await serve_admin(create_admin(Port()), admin.address)
    assert again.port == admin.port
    await again.stop()


async def test_stop_does_not_wait_for_idle_connections() -> None:
    admin = await serve_admin(create_admin(Port()), Address("127.0.0.1", 0))
    _, writer = await asyncio.open_connection("127.0.0.1", admin.port)
    async with asyncio.timeout(4):
        await admin.stop()
    writer.close()


async def test_signal_handlers_stay_the_gateways() -> None:
    before = (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT))
    admin = await serve_admin(create_admin(Port()), Address("127.0.0.1", 0))
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    await admin.stop()
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


async def test_a_taken_port_is_an_os_error_not_an_exit() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError):
        await serve_admin(create_admin(Port()), Address("127.0.0.1", taken.getsockname()[1]))


@pytest.mark.skipif(sys.platform == "win32", reason="unix sockets")
async def test_a_unix_socket_is_private_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    admin = await serve_admin(create_admin(Port()), Address(path=str(path)))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    answer = await ask(*await asyncio.open_unix_connection(str(path)), "/healthz/live")
    assert b'{"status":"ok"}' in answer
    await admin.stop()
    assert not path.exists()


async def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(OSError):
        await serve_admin(create_admin(Port()), Address(path=str(path)))
    assert path.read_text() == "data"
