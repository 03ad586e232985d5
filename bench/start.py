"""Measure 4: how long importing takes, and how long until a started gateway answers."""

import subprocess
import sys
import time
from dataclasses import dataclass, field

from bench.servers import Rig, free_port


@dataclass
class Start:
    """Milliseconds, one value per round; an import's are above those of a bare interpreter."""

    package: list[float] = field(default_factory=list)
    command: list[float] = field(default_factory=list)
    serving: list[float] = field(default_factory=list)
    admin: list[float] = field(default_factory=list)


def measure(rig: Rig, rounds: int) -> Start:
    """Interleaved rounds, after one that fills caches."""
    result = Start()
    nowhere = free_port()
    _python(rig, "import portico.cli.serve")
    print(f"\nstart, {rounds} rounds")
    for number in range(1, rounds + 1):
        bare = _python(rig, "pass")
        result.package.append(_python(rig, "import portico") - bare)
        result.command.append(_python(rig, "import portico.cli.serve") - bare)
        gateway = rig.gateway(nowhere, nowhere, "gateway-start")
        result.serving.append(gateway.ready() * 1000)
        result.admin.append(gateway.live() * 1000)
        rig.stop(gateway.child)
        print(
            f"  round {number}  import portico {result.package[-1]:.1f} ms   "
            f"import portico.cli.serve {result.command[-1]:.0f} ms   "
            f"first answer {result.serving[-1]:.0f} ms   admin {result.admin[-1]:.0f} ms",
            flush=True,
        )
    return result


def _python(rig: Rig, code: str) -> float:
    """Milliseconds a fresh interpreter takes for `code`."""
    cpus = ",".join(map(str, sorted(rig.cpus.tested)))
    begin = time.perf_counter()
    subprocess.run(["taskset", "-c", cpus, sys.executable, "-c", code], check=True)
    return (time.perf_counter() - begin) * 1000
