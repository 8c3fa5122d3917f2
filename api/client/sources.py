"""What can be uploaded: an archive as it is, or a folder as a tar; and how many files it sends."""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from api.client.failures import SourceRefused
from api.client.folder import FolderArchive
from core.ingest.archive import is_noise, is_table

READ_BYTES = 4 * 1024**2


class Source(Protocol):
    """Bytes of known length, readable from any offset."""

    filename: str
    length: int
    skipped: Counter[str]

    @property
    def names(self) -> list[str] | None:
        """Names of the entries that are no folders; None when they cannot be told."""

    def read(self, offset: int, size: int) -> bytes: ...


class ArchiveFile:
    """A zip, tar or tar.gz on disk."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise SourceRefused(f"{path} is not a file.")
        self.path = path
        self.filename = path.name
        self.length = path.stat().st_size
        self.skipped: Counter[str] = Counter()
        if self.length == 0:
            raise SourceRefused(f"{path} is empty.")

    @property
    def names(self) -> list[str] | None:
        """Read the list of files; None for what is no archive: the server says what is wrong."""
        try:
            if zipfile.is_zipfile(self.path):
                with zipfile.ZipFile(self.path) as archive:
                    return [i.filename for i in archive.infolist() if not i.is_dir()]
            with tarfile.open(self.path) as tar:
                return [member.name for member in tar if not member.isdir()]
        except (tarfile.TarError, zipfile.BadZipFile, OSError, EOFError, ValueError):
            return None

    def read(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes; SourceRefused when the file became shorter."""
        try:
            with self.path.open("rb") as file:
                file.seek(offset)
                data = file.read(size)
        except OSError as error:
            raise SourceRefused(f"{self.path} cannot be read: {error.strerror}") from error
        if len(data) != min(size, self.length - offset):
            raise SourceRefused(f"{self.path} changed while it was being sent.")
        return data


def open_source(path: Path) -> Source:
    """Return the source at ``path``: a folder is packed on the way, anything else goes as it is."""
    if path.is_dir():
        return FolderArchive(path)
    return ArchiveFile(path)


def sha256_of(source: Source, tell: Callable[[int], None] | None = None) -> str:
    """Return the hash of all bytes; ``tell`` gets the number of bytes read so far."""
    digest = hashlib.sha256()
    for offset in range(0, source.length, READ_BYTES):
        digest.update(source.read(offset, READ_BYTES))
        if tell is not None:
            tell(min(offset + READ_BYTES, source.length))
    return digest.hexdigest()


def counted_files(source: Source) -> int | None:
    """Return how many files an import must accept or reject; None when that cannot be told.

    Everything but folders, tables about the images, and leftovers of desktop systems.
    """
    names = source.names
    if names is None:
        return None
    return sum(not is_noise(name) and not is_table(name) for name in names)
