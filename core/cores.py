"""How many cores this process may use, and how they are shared."""

from __future__ import annotations

import os
from pathlib import Path


def available_cores() -> int:
    """Return the cores that this process may use: affinity, and the quota of its cgroup (v2)."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):  # no cgroup v2 here, or "max": no quota
        return cores


def threads_of_a_slot(slots: int) -> int:
    """Return the threads of each of ``slots`` jobs that run at once: at least one."""
    return max(1, available_cores() // max(1, slots))
