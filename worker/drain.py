"""Draining: SIGTERM to a worker makes its slots give their jobs back."""

from __future__ import annotations

import mmap

# one byte of shared memory and no lock: a slot that is killed while it looks can hold up nobody,
# and setting it from a signal handler cannot wait
_flag: mmap.mmap | None = None
_told = False


def prepare() -> None:
    """Make the flag that the main process shares with the slots it forks."""
    global _flag  # noqa: PLW0603 - one flag a worker, inherited by fork
    _flag = mmap.mmap(-1, 1)


def begin() -> None:
    """Ask all slots to give their jobs back."""
    if _flag is not None:
        _flag[0] = 1


def begin_in_slot() -> None:
    """Note that this slot itself was told to end."""
    global _told  # noqa: PLW0603 - one slot a process
    _told = True


def told_in_slot() -> bool:
    """Tell whether this slot itself was told to end."""
    return _told


def draining() -> bool:
    """Tell whether this worker, or this slot of it, is shutting down."""
    return _told or (_flag is not None and _flag[0] == 1)
