"""What this machine gives: cores, and the most memory that was used."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pixlab.codecs.foreign_process import foreign_pids

__all__ = ["cores", "forget_peak", "on_one_core", "peak_memory"]

_MEMORY = 700 << 20  # bytes that a process may need


def cores() -> int:
    """How many processes make sense here: cores of this process, limits of a hub, memory."""
    allowed = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
    most = [len(allowed)]
    with suppress(ValueError):  # what JupyterHub and Binder tell their guests
        most.append(int(float(os.environ.get("CPU_LIMIT") or len(allowed))))
        most.append(int(os.environ.get("MEM_LIMIT") or sys.maxsize) // _MEMORY)
    return max(1, min(most))


@contextmanager
def on_one_core() -> Iterator[None]:
    """Keep this process, its foreign processes and the threads that they start on one core.

    Where the system has no such setting (macOS), nothing happens.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)

    def keep(cores: set[int]) -> None:
        for pid in (0, *foreign_pids()):
            os.sched_setaffinity(pid, cores)

    keep({max(allowed)})
    try:
        yield
    finally:
        keep(allowed)


def forget_peak() -> None:
    """Let the peak of memory begin anew, where the system can (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int:
    """Most memory of this process since `forget_peak`, bytes."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    import resource

    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
