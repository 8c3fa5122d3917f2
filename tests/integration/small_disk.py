"""A real small volume: a tmpfs in a mount namespace of its own, so that a plain user can have one.

A process holds the namespace. Others reach the volume through ``/proc/<pid>/root``, or run inside.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """``path`` is the volume as processes inside see it, ``outside`` as all others do."""

    path: Path
    outside: Path
    inside: tuple[str, ...]

    def fill(self, leave: int = 0) -> Path:
        """Write until ``leave`` bytes are free; removing the returned file makes room again."""
        filler = self.outside / "filler"
        with filler.open("wb") as file:
            state = os.statvfs(self.outside)
            free = state.f_bavail * state.f_frsize
            os.posix_fallocate(file.fileno(), 0, max(1, free - leave))
        return filler


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[SmallDisk]:
    """Yield an empty volume of a size (``64m``) at a folder; it vanishes with its namespace."""
    folder.mkdir(parents=True, exist_ok=True)
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    script = 'mount -t tmpfs -o size="$1" tmpfs "$2" && echo ready && exec sleep infinity'
    holder = subprocess.Popen(
        ["unshare", *user, "--mount", "sh", "-c", script, "sh", size, str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"ready\n", "this host allows no tmpfs to its users"
        target = ("nsenter", "--target", str(holder.pid), "--mount")
        inside = (*target, "--user", "--preserve-credentials") if user else target
        yield SmallDisk(
            folder, Path(f"/proc/{holder.pid}/root{folder}"), (*inside, f"--wd={Path.cwd()}")
        )
    finally:
        holder.kill()
        holder.wait()
        if holder.stdout is not None:
            holder.stdout.close()
