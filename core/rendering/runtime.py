"""Starts Warp: where compiled kernels are kept, and which device they run on."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import warp as wp

from core.errors import OutOfMemory, StorageFull

CACHE_VARIABLE = "WARP_CACHE_PATH"
"""Warp's own variable; a worker may set it to a folder below its data folder."""
BODIES_VARIABLE = "DERMSYNTH_BODIES_PATH"
_FULL = ("failed to allocate", "out of memory")

T = TypeVar("T")


def start(cache: Path | None = None) -> None:
    """Let Warp compile into ``cache`` (else ``WARP_CACHE_PATH``, else a folder of the environment).

    Nothing is fetched. Repeated calls do nothing more. StorageFull: no folder can be written.
    """
    folder = Path(cache or os.environ.get(CACHE_VARIABLE) or _fallback())
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageFull(
            f"Compiled kernels cannot be kept in {folder}: {error}; set {CACHE_VARIABLE} to a "
            "folder that can be written"
        ) from error
    wp.config.kernel_cache_dir = str(folder)
    wp.config.log_level = wp.LOG_WARNING
    with wp.ScopedLogLevel(wp.LOG_ERROR):  # no GPU is no fault of a worker without one
        wp.init()


def _fallback() -> Path:
    return _kept() / "kernels"


def bodies_folder() -> Path:
    """Return where the prepared body is kept: ``DERMSYNTH_BODIES_PATH``, else with the kernels."""
    return Path(os.environ.get(BODIES_VARIABLE) or _kept() / "bodies")


def _kept() -> Path:
    return Path(sys.prefix) / "share" / "dermsynth3d"


def device_name(device: str) -> str:
    """Return Warp's name of ``cpu`` or ``cuda`` (the first GPU that this process sees)."""
    return "cuda:0" if device == "cuda" else "cpu"


@contextmanager
def typed_memory_errors() -> Iterator[None]:
    """Turn Warp's words for a full memory into OutOfMemory."""
    try:
        yield
    except MemoryError as error:
        raise _exhausted(error) from error
    except RuntimeError as error:
        if not any(words in str(error).lower() for words in _FULL):
            raise
        raise _exhausted(error) from error


def _exhausted(error: Exception) -> OutOfMemory:
    return OutOfMemory(
        f"The renderer's memory is full ({error}); ask for smaller images or run fewer jobs on "
        "this device"
    )


def in_tiles(first: int, last: int, smallest: int, render: Callable[[int, int], T]) -> list[T]:
    """Call ``render(first, last)`` for all rows at once, or for halves while memory is full.

    OutOfMemory when a tile of at most ``smallest`` rows does not fit either.
    """
    try:
        with typed_memory_errors():
            return [render(first, last)]
    except OutOfMemory:
        if last - first <= smallest:
            raise
    middle = (first + last) // 2
    return in_tiles(first, middle, smallest, render) + in_tiles(middle, last, smallest, render)


def array(values: Any, dtype: Any, device: str) -> Any:
    """Return values on the device."""
    return wp.array(values, dtype=dtype, device=device)
