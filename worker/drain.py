"""Draining: SIGTERM to a worker makes its slots give their jobs back."""

from __future__ import annotations

import mmap

# one byte of shared memory and no lock: a slot that is killed while it looks can hold up nobody,
# and setting it from a signal handler cannot wait
_flag: mmap.mmap | None = None


def prepare() -> None:
    """Make the flag that the main process shares with the slots it forks."""
    global _flag  # noqa: PLW0603 - one flag a worker, inherited by fork
    _flag = mmap.mmap(-1, 1)


def begin() -> None:
    """Ask all slots to give their jobs back."""
    if _flag is not None:
        _flag[0] = 1


def draining() -> bool:
    """Tell whether this worker is shutting down."""
    return _flag is not None and _flag[0] == 1
