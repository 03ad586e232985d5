"""`portico demo`: start a demo gateway on free ports, take the tour, stop."""

import os
import sys

import msgspec

from portico.admin.app import create_admin
from portico.admin.server import serve_admin
from portico.cli.runtime import new_worker, run
from portico.cli.serve import Operator
from portico.cli.service import InProcess
from portico.cli.source import Overrides, Source
from portico.config.settings import Address, LogSettings
from portico.demo.server import start_demo
from portico.demo.tour import tour


def visit(url: str | None) -> int:
    """Tour the gateway at `url`, or one of our own. Returns the exit code."""
    return run(_visit(url))


async def _visit(url: str | None) -> int:
    if url is not None:
        return 0 if await tour(url, None, sys.stdout) else 1
    demo = await start_demo()
    source = Source(kind="demo", demo_url=demo.url, overrides=Overrides(port=0))
    settings = msgspec.structs.replace(
        source.settings(os.environ), log=LogSettings(access=False), admin=Address(port=0)
    )
    worker = new_worker(settings, os.environ)
    await worker.listen()
    operator = Operator(InProcess(worker), source, settings)
    admin = await serve_admin(create_admin(operator), Address(port=0))
    try:
        happy = await tour(
            f"http://127.0.0.1:{worker.listeners[0].port}",
            f"http://127.0.0.1:{admin.port}/metrics",
            sys.stdout,
        )
    finally:
        await admin.stop()
        await worker.stop()
        await demo.stop()
    return 0 if happy else 1
