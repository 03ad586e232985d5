"""What the operating system says about this process; scrape time only."""

import asyncio
import os
import sys
import time
from pathlib import Path

_STATM = Path("/proc/self/statm")
_FDS = Path("/proc/self/fd")


def cpu_seconds() -> float:
    """User and system CPU time of this process, in seconds."""
    return time.process_time()


def resident_bytes() -> int:
    """Resident memory in bytes; on systems without `/proc` the peak, which is what they offer."""
    try:
        return int(_STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def tasks() -> int:
    """Tasks of the running event loop, 0 where none runs."""
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        return 0


def open_fds() -> int:
    """Open file descriptors, 0 where the system does not tell."""
    for folder in (_FDS, Path("/dev/fd")):
        try:
            return sum(1 for _ in folder.iterdir())
        except OSError:
            continue
    return 0
