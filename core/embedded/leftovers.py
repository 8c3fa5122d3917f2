"""Processes that outlived the one that started them: found for certain, and ended."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

MARK = "DERMSYNTH_STACK"
"""Environment variable that every process of a stack carries: the stack's data folder."""

_PROC = Path("/proc")


def servers_in(folder: Path, programs: Iterable[str]) -> list[int]:
    """Return the processes named one of ``programs`` that work in ``folder``.

    PostgreSQL (every backend too) and Valkey change into their data folder, and a name alone or a
    pid file alone may be another's: pids are used again.
    """
    names = set(programs)
    here = folder.resolve()

    def matches(process: Path) -> bool:
        name = (process / "comm").read_text().strip()
        return name in names and (process / "cwd").resolve() == here

    return _processes(matches)


def marked(home: Path) -> list[int]:
    """Return the processes, this one excepted, whose environment names this stack."""
    entry = f"{MARK}={home.resolve()}".encode()

    def matches(process: Path) -> bool:
        return entry in (process / "environ").read_bytes().split(b"\0")

    return [pid for pid in _processes(matches) if pid != os.getpid()]


def end(find: Callable[[], list[int]], first: signal.Signals, grace: float) -> int:
    """Signal what ``find`` returns, and kill what is left after ``grace`` seconds.

    Returns how many processes there were at first.
    """
    count = len(found := find())
    _send(found, first)
    deadline = time.monotonic() + grace
    while (found := find()) and time.monotonic() < deadline:
        time.sleep(0.05)
    while found:
        _send(found, signal.SIGKILL)
        time.sleep(0.05)
        found = find() if time.monotonic() < deadline + 10 else []
    return count


def alive(pid: int) -> bool:
    """Tell whether a process with this pid exists and is no zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(_PROC / str(pid))


def _processes(matches: Callable[[Path], bool]) -> list[int]:
    found = []
    for process in _PROC.glob("[0-9]*"):
        # Processes end while we look, and other users' are closed to us: neither is ours.
        with contextlib.suppress(OSError):
            if matches(process) and not _is_zombie(process):
                found.append(int(process.name))
    return found


def _is_zombie(process: Path) -> bool:
    try:
        state = (process / "stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state in "ZX"


def _send(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
