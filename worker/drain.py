"""Draining: SIGTERM to a worker makes its slots give their jobs back."""

from __future__ import annotations

import multiprocessing
from multiprocessing.synchronize import Event

_event: Event | None = None


def prepare() -> None:
    """Make the flag that the main process shares with the slots it forks."""
    global _event  # noqa: PLW0603 - one flag a worker, inherited by fork
    _event = multiprocessing.get_context("fork").Event()


def begin() -> None:
    """Ask all slots to give their jobs back."""
    if _event is not None:
        _event.set()


def draining() -> bool:
    """Tell whether this worker is shutting down."""
    return _event is not None and _event.is_set()
