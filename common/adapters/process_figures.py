"""What this process has cost: seconds since it was started, and its largest memory."""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path

_LOADED = time.monotonic()
_PROC = Path("/proc/self")


def age_s() -> float:
    """Seconds of life since the process was started; where the system does not tell, since this module was loaded."""
    try:
        # Field 22, counted after the name in brackets, which may hold spaces: ticks from the start of the machine.
        started = float((_PROC / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return time.monotonic() - _LOADED
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")


def peak_mb() -> float:
    """Largest resident memory so far, in MiB."""
    try:
        # getrusage would also count what the process was before it became this program.
        status = (_PROC / "status").read_text(encoding="ascii", errors="replace")
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)
