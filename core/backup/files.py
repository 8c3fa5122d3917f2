"""Files of a backup: copied with their hash, listed as ``sha256sum --check`` reads it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from core.backup.errors import BackupFailure
from core.storage.blobs import disk_errors, sha256_of

SUMS = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")
_BLOB = re.compile(r"[0-9a-f]{64}")
CHUNK = 1 << 20


@dataclass(slots=True)
class Sums:
    """The sha256 of every file of a backup, by its path within."""

    known: dict[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> str:
        """Write the list and return its own sha256."""
        lines = [f"{sha256}  {name}\n" for name, sha256 in sorted(self.known.items())]
        data = "".join(lines).encode()
        with disk_errors():
            (folder / SUMS).write_bytes(data)
        return hashlib.sha256(data).hexdigest()


def read_sums(folder: Path) -> Sums:
    """Return the list of a backup; BackupFailure when it is damaged or points out of it."""
    known: dict[str, str] = {}
    for line in (folder / SUMS).read_text().splitlines():
        match = _LINE.fullmatch(line)
        if match is None or ".." in PurePosixPath(match[2]).parts or match[2].startswith("/"):
            raise BackupFailure(
                f"{folder / SUMS} is damaged: {line[:200]!r}", code="backup_damaged"
            )
        known[match[2]] = match[1]
    return Sums(known)


def copy(source: Path, target: Path, mode: int = 0o600) -> str:
    """Copy a file and return the sha256 of what was written."""
    digest = hashlib.sha256()
    with disk_errors():
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with source.open("rb") as reader, os.fdopen(descriptor, "wb") as writer:
            while data := reader.read(CHUNK):
                digest.update(data)
                writer.write(data)
    return digest.hexdigest()


def copy_tree(source: Path, target: Path, sums: Sums, seen: dict[Path, tuple[int, int]]) -> None:
    """Copy a folder of files that others write: again what has changed since ``seen``.

    Files that vanish meanwhile are left out; one that grows is copied as far as it was.
    """
    for path in files_below(source):
        try:
            status = path.stat()
            if seen.get(path) == (status.st_size, status.st_mtime_ns):
                continue
            name = path.relative_to(source)
            sums.known[f"{target.name}/{name.as_posix()}"] = copy(path, target / name)
        except FileNotFoundError:
            continue
        seen[path] = (status.st_size, status.st_mtime_ns)


def blobs_below(folder: Path) -> Iterator[Path]:
    """Yield the blobs of a store, in order."""
    for path in files_below(folder):
        if _BLOB.fullmatch(path.name):
            yield path


def files_below(folder: Path) -> Iterator[Path]:
    """Yield plain files, in order; links are not followed, folders may vanish."""
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from files_below(Path(entry.path))
        elif entry.is_file(follow_symlinks=False):
            yield Path(entry.path)


def is_intact(path: Path, sha256: str | None = None) -> bool:
    """Tell whether a file's bytes hash to this, by default to its name; reads them all."""
    try:
        return sha256_of(path) == (sha256 or path.name)
    except OSError:
        return False


def link_or_copy(earlier: Path | None, source: Path, target: Path) -> bool:
    """Put a blob into a backup: a link to an intact one of another, else a copy of the volume's.

    False when the bytes on the volume are not those of the blob's name; then there is no file.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if earlier is not None:
        try:
            os.link(earlier, target)
        except OSError:  # no links on this file system, or too many to one file
            pass
        else:
            return True
    if copy(source, target) == source.name:
        return True
    target.unlink()
    return False
