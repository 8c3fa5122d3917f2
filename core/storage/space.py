"""Free space of the volume: what is asked before anything large is written."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from core.errors import StorageFull

RETRY_SECONDS = 60
_FULL_BYTES = 256 * 1024
"""With less than this no file of any size can be expected to be written."""


class Reserve(BaseModel):
    """Free space that nothing new may take: bytes, or a share of the volume if that is more."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bytes: int = Field(0, ge=0)
    percent: float = Field(0.0, ge=0, lt=100)


def require_space(folder: Path, reserve: Reserve, size: int = 0) -> None:
    """StorageFull unless ``size`` more bytes below ``folder`` leave the reserve untouched."""
    volume = _volume(folder)
    free = volume.f_bavail * volume.f_frsize
    kept = max(reserve.bytes, int(volume.f_blocks * volume.f_frsize * reserve.percent / 100))
    if free - size >= kept:
        return
    wanted = f"{size} bytes do not fit: " if size else ""
    raise StorageFull(
        f"{wanted}{free} bytes are free on the volume and {kept} stay in reserve; "
        "free space, then try again",
        retry_after=RETRY_SECONDS,
        extra={"free_bytes": free, "reserve_bytes": kept, "needed_bytes": size},
    )


def is_full(folder: Path) -> bool:
    """Tell whether the volume is full, whatever the error of a library says."""
    volume = _volume(folder)
    return volume.f_bavail * volume.f_frsize < _FULL_BYTES


def _volume(folder: Path) -> os.statvfs_result:
    """Return the state of the volume; a folder that is not made yet is on that of its parent."""
    while True:
        try:
            return os.statvfs(folder)
        except FileNotFoundError:
            if folder == folder.parent:
                raise
            folder = folder.absolute().parent
