"""A small disk of one's own: a tmpfs in a private mount namespace, seen through /proc."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MIB = 1024**2


class NoTmpfs(RuntimeError):
    """This host lets nobody mount a tmpfs."""


@dataclass(frozen=True, slots=True)
class Disk:
    """``folder`` for processes that start with ``prefix``; the same, as everybody else sees it."""

    folder: Path
    outside: Path
    prefix: tuple[str, ...]


@contextmanager
def tmpfs(place: Path, mib: int) -> Iterator[Disk]:
    """Yield a disk of ``mib`` MiB over the folder ``place``; it goes with the one who holds it."""
    place.mkdir(parents=True)
    script = 'mount -t tmpfs -o "size=$1m,mode=0700" tmpfs "$2" && echo ready && exec cat'
    spaces = ["--mount"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--mount"]
    holder = subprocess.Popen(
        ["unshare", *spaces, "sh", "-c", script, "sh", str(mib), str(place)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        assert holder.stdout is not None
        said = holder.stdout.readline()
        if said != b"ready\n":
            raise NoTmpfs(said.decode() + holder.stdout.read().decode())
        enter = ["nsenter", f"--target={holder.pid}", "--mount", "--wd=."]
        if os.geteuid() != 0:
            enter += ["--user", "--preserve-credentials"]
        yield Disk(place, Path(f"/proc/{holder.pid}/root{place}"), tuple(enter))
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
