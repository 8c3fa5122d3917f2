"""Keeps folders of things that can be made again from growing for ever."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ABANDONED_SECONDS = 24 * 3600.0
"""A hidden file that is being written is older than this only when its process died."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed, and the bytes that stay."""

    files: int
    bytes: int
    left_bytes: int


def prune(folder: Path, now: float, *, seconds: float = 0.0, size: int = 0) -> Pruned:
    """Remove files older than ``seconds``, then the oldest until ``size`` bytes are left; 0: any.

    Readers that have a file open keep it; those that find it gone make it again.
    """
    found = sorted(_files(folder))
    left = sum(length for _, length, _ in found)
    files = gone = 0
    for modified, length, path in found:
        hidden = path.name.startswith(".")
        old = bool(seconds) and modified < now - seconds
        abandoned = hidden and modified < now - ABANDONED_SECONDS
        if abandoned or old or (size and left > size and not hidden):
            with suppress(FileNotFoundError):
                path.unlink()
                files += 1
                gone += length
            left -= length
    return Pruned(files, gone, left)


def _files(folder: Path) -> Iterator[tuple[float, int, Path]]:
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent) / name
            with suppress(FileNotFoundError):
                status = path.stat()
                yield status.st_mtime, status.st_size, path
