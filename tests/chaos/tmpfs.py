"""A small disk of one's own: a tmpfs in a private mount namespace, seen through /proc."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MIB = 1024**2


class NoTmpfs(RuntimeError):
    """This host lets nobody mount a tmpfs."""


@contextmanager
def tmpfs(mib: int) -> Iterator[Path]:
    """Yield a folder on a disk of ``mib`` MiB; it goes with the process that holds it."""
    script = f"mount -t tmpfs -o size={mib}m,mode=0700 tmpfs /mnt && echo ready && exec cat"
    spaces = ["--mount"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--mount"]
    holder = subprocess.Popen(
        ["unshare", *spaces, "sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        assert holder.stdout is not None
        said = holder.stdout.readline()
        if said != b"ready\n":
            raise NoTmpfs(said.decode() + holder.stdout.read().decode())
        yield Path(f"/proc/{holder.pid}/root/mnt")
    finally:
        holder.kill()
        holder.wait()
        for pipe in (holder.stdin, holder.stdout):
            if pipe is not None:
                pipe.close()


def fill(folder: Path, keep: int) -> Path:
    """Fill the disk with one file, up to ``keep`` free bytes; remove the file to free it."""
    filler = folder / "filler"
    with filler.open("ab") as file:
        while (free := _free(folder) - keep) > 0:
            file.write(b"x" * min(free, MIB))
            file.flush()
            if free < 4096:
                break
    return filler


def _free(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
