"""What the figures were measured on."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.servers import ROOT, find


def facts() -> list[tuple[str, str]]:
    """Names and values for the report."""
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    packages = ", ".join(f"{name} {version(name)}" for name in ("uvloop", "httptools", "msgspec"))
    return [
        ("date", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
        ("commit", _commit()),
        ("CPU", f"{os.cpu_count()} x {_cpu_model()}"),
        ("kernel", f"{platform.system()} {platform.release()}"),
        ("load before the run", load),
        ("Python", f"{platform.python_version()}, {packages}"),
        ("nginx", _said([find("nginx") or "nginx", "-v"])),
        ("wrk", _said([find("wrk") or "wrk", "-v"]).split(" [")[0]),
    ]


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _commit() -> str:
    head = _said(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"])
    changed = _said(["git", "-C", str(ROOT), "status", "--porcelain", "--", "../src"])
    return f"{head} with uncommitted changes in src/" if changed else head


def _said(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except OSError:
        return "unknown"
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0] if lines else ""
