"""How much memory a process may still take."""

from __future__ import annotations

from pathlib import Path


def available_memory() -> int | None:
    """Return the bytes that are free by the kernel and by the cgroup (v2); None when unknown."""
    found = [n for n in (_of_kernel(), _of_cgroup()) if n is not None]
    return min(found) if found else None


def _of_kernel() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    told = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(told[0]) * 1024 if told else None


def _of_cgroup() -> int | None:
    try:
        most = int(Path("/sys/fs/cgroup/memory.max").read_text())
        return max(0, most - int(Path("/sys/fs/cgroup/memory.current").read_text()))
    except (OSError, ValueError):  # no cgroup v2 here, or "max": no limit
        return None
