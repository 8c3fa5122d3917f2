"""A folder as a tar archive that is never written: same folder, same bytes, at any offset.

Names are sorted, owners and times are dropped, so an upload that stopped can go on after a restart.
"""

from __future__ import annotations

import os
import tarfile
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from api.client.failures import SourceRefused
from core.ingest.names import is_noise

_BLOCK = tarfile.BLOCKSIZE
_END = b"\0" * (2 * _BLOCK)


@dataclass(frozen=True, slots=True)
class Entry:
    """One regular file: its name in the archive, its path and its size when it was listed."""

    name: str
    path: Path
    size: int
    header: bytes
    start: int
    """Offset of the header in the archive."""

    @property
    def end(self) -> int:
        return self.start + len(self.header) + -(-self.size // _BLOCK) * _BLOCK


class FolderArchive:
    """The archive of a folder: hidden files, desktop leftovers, links and devices stay out.

    ``skipped`` counts what stayed out, by reason.
    """

    def __init__(self, root: Path) -> None:
        self.skipped: Counter[str] = Counter()
        self.entries: list[Entry] = []
        offset = 0
        for path, size in _regular_files(root, self.skipped):
            name = path.relative_to(root).as_posix()
            entry = Entry(name, path, size, _header(name, size), offset)
            self.entries.append(entry)
            offset = entry.end
        if not self.entries:
            raise SourceRefused(f"{root} holds no files.")
        self._starts = [entry.start for entry in self.entries]
        self._end_of_entries = offset
        self.length = offset + len(_END)
        self.filename = f"{root.resolve().name or 'folder'}.tar"

    @property
    def names(self) -> list[str]:
        return [entry.name for entry in self.entries]

    def read(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes from ``offset``; fewer only at the end.

        SourceRefused when a file changed its size, or went away, since it was listed.
        """
        wanted = min(size, self.length - offset)
        pieces: list[bytes] = []
        while wanted > 0:
            piece = self._piece(offset, wanted)
            pieces.append(piece)
            offset += len(piece)
            wanted -= len(piece)
        return b"".join(pieces)

    def _piece(self, offset: int, size: int) -> bytes:
        """Return at least one byte: out of one header, one file, its padding, or the end."""
        if offset >= self._end_of_entries:
            start = offset - self._end_of_entries
            return _END[start : start + size]
        entry = self.entries[bisect_right(self._starts, offset) - 1]
        inside = offset - entry.start
        if inside < len(entry.header):
            return entry.header[inside : inside + size]
        inside -= len(entry.header)
        if inside < entry.size:
            return _bytes_of(entry, inside, min(size, entry.size - inside))
        return b"\0" * min(size, entry.end - offset)


def _bytes_of(entry: Entry, offset: int, size: int) -> bytes:
    try:
        with entry.path.open("rb") as file:
            unchanged = os.fstat(file.fileno()).st_size == entry.size
            file.seek(offset)
            data = file.read(size)
    except OSError as error:
        raise SourceRefused(f"{entry.path} cannot be read: {error.strerror}") from error
    if not unchanged or len(data) != size:
        raise SourceRefused(f"{entry.path} changed while the folder was being sent.")
    return data


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o644
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _regular_files(root: Path, skipped: Counter[str]) -> Iterator[tuple[Path, int]]:
    """Yield files in the byte order of their names; links are not followed."""
    if not root.is_dir():
        raise SourceRefused(f"{root} is not a folder.")
    pending = [root]
    while pending:
        here = pending.pop()
        folders: list[Path] = []
        for path in _listing(here):
            reason, size = _look_at(path)
            if reason == "folder":
                folders.append(path)
            elif reason:
                skipped[reason] += 1
            else:
                yield path, size
        pending.extend(reversed(folders))


def _listing(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir(), key=lambda path: os.fsencode(path.name))
    except OSError as error:
        raise SourceRefused(f"{folder} cannot be listed: {error.strerror}") from error


def _look_at(path: Path) -> tuple[str, int]:
    """Return ("", size) for a file to be sent, else ("folder" or why it stays out, 0)."""
    if path.name.startswith(".") or is_noise(path.name):
        return "hidden", 0
    try:
        status = path.lstat()
    except OSError as error:
        raise SourceRefused(f"{path} cannot be read: {error.strerror}") from error
    if S_ISDIR(status.st_mode):
        return "folder", 0
    if S_ISREG(status.st_mode):
        return "", status.st_size
    return ("link" if path.is_symlink() else "special file"), 0
