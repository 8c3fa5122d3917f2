"""Hostile-safe reading of uploaded archives: zip, tar and tar.gz.

Nothing is ever extracted to disk. An archive is walked twice: once for the names and the small
tables that say what the images are, once for the bytes, one entry at a time. What is really
decompressed is counted; sizes that headers claim are never trusted.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from core.errors import InvalidInput
from core.ingest.names import collision_key, extension, is_noise, safe_name, shown_name
from core.ingest.rejects import Reject, Rejected

GIB = 1024**3
MIB = 1024**2
CHUNK = 256 * 1024
RATIO_FLOOR = 16 * MIB
"""Below this many bytes a high compression ratio is harmless and common (plain images, padding)."""

TABLE_EXTENSIONS = frozenset({".csv", ".tsv"})
_TABLE_NAMES = frozenset({"ham10000_metadata"})  # the name under which HAM10000 is published


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """What an archive may cost; beyond ``entry_bytes`` one file is rejected, else the archive."""

    files: int = 200_000
    total_bytes: int = 50 * GIB
    ratio: float = 100.0
    entry_bytes: int = 256 * MIB
    table_bytes: int = 64 * MIB


@dataclass(slots=True)
class Listing:
    """What the first walk found: files in archive order, tables by name, and rejects."""

    files: list[str] = field(default_factory=list)
    tables: dict[str, bytes] = field(default_factory=dict)
    rejects: list[Reject] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)

    def admit(self, raw_name: str, limits: ArchiveLimits) -> str | None:
        """Return the safe name of a regular entry, or list the reject and return None."""
        self.check_count(limits)
        try:
            name = safe_name(raw_name)
            key = collision_key(name)
            if key in self.keys:
                raise Rejected(
                    "name_collision", "Another file has this name but for case or Unicode form"
                )
        except Rejected as reason:
            self.refuse(raw_name, reason)
            return None
        self.keys.add(key)
        return name

    def refuse(self, raw_name: str, reason: Rejected) -> None:
        self.rejects.append(reason.of(shown_name(raw_name)))

    def check_count(self, limits: ArchiveLimits) -> None:
        """Refuse the archive when no further file may be listed."""
        if len(self.files) + len(self.rejects) + len(self.tables) >= limits.files:
            raise InvalidInput(
                f"The archive holds more than {limits.files} files", code="too_many_files"
            )


class Meter:
    """Counts the bytes really decompressed against the limits of the whole archive."""

    def __init__(self, archive_bytes: int, limits: ArchiveLimits) -> None:
        self._limits = limits
        self._bound = max(RATIO_FLOOR, archive_bytes * limits.ratio)
        self.total = 0

    def add(self, count: int) -> None:
        self.total += count
        if self.total > self._limits.total_bytes:
            raise InvalidInput(
                f"The archive unpacks to more than {self._limits.total_bytes} bytes",
                code="archive_too_large",
            )
        if self.total > self._bound:
            raise archive_bomb(f"it unpacks to more than {self._limits.ratio:g} times its size")


def archive_bomb(reason: str) -> InvalidInput:
    return InvalidInput(f"The archive is built like a bomb: {reason}", code="archive_bomb")


def corrupt_archive(reason: object) -> InvalidInput:
    return InvalidInput(f"The archive is damaged: {reason}", code="corrupt_archive")


def is_table(name: str) -> bool:
    """Tell whether an entry is a table about images rather than an image."""
    return extension(name) in TABLE_EXTENSIONS or name.rsplit("/", 1)[-1].lower() in _TABLE_NAMES


def read_bounded(stream: BinaryIO, limit: int, count: Callable[[int], None]) -> bytes:
    """Read a stream to its end, telling ``count`` of every chunk.

    Rejected ``file_too_large`` above ``limit`` bytes; whatever ``count`` raises passes.
    """
    parts: list[bytes] = []
    size = 0
    while chunk := stream.read(CHUNK):
        size += len(chunk)
        count(len(chunk))
        if size > limit:
            raise Rejected("file_too_large", f"The file is larger than {limit} bytes")
        parts.append(chunk)
    return b"".join(parts)


class Archive(ABC):
    """An opened archive. ``listing`` is the first walk; ``read`` is the second."""

    def __init__(self, path: Path, limits: ArchiveLimits) -> None:
        self.path = path
        self.limits = limits
        self.listing = Listing()

    @abstractmethod
    def scan(self) -> None:
        """Walk the archive for the first time and fill ``listing``."""

    @abstractmethod
    def read(self, names: frozenset[str]) -> Iterator[tuple[str, bytes | Rejected]]:
        """Yield name and bytes, or why there are none, of each named file in archive order."""

    def take_table(self, name: str, read: Callable[[int], bytes]) -> None:
        """Keep a table's bytes; one that is too large is an error of the archive."""
        used = sum(map(len, self.listing.tables.values()))
        try:
            self.listing.tables[name] = read(self.limits.table_bytes - used)
        except Rejected as reason:
            if reason.code == "file_too_large":
                raise InvalidInput(
                    f"The tables of the archive exceed {self.limits.table_bytes} bytes",
                    code="table_too_large",
                ) from reason
            self.listing.refuse(name, reason)


def open_archive(path: Path, limits: ArchiveLimits | None = None) -> Archive:
    """Open an archive by its content and list it.

    InvalidInput: ``not_an_archive``, ``empty_archive``, ``corrupt_archive``, ``archive_bomb``,
    ``archive_too_large``, ``too_many_files``, ``table_too_large``, ``unsupported_archive``.
    """
    from core.ingest.tar_archive import TarArchive
    from core.ingest.zip_archive import ZipArchive, is_zip

    limits = limits or ArchiveLimits()
    kind = ZipArchive if is_zip(path) else TarArchive
    archive: Archive = kind(path, limits)
    archive.scan()
    listing = archive.listing
    if not (listing.files or listing.tables or listing.rejects):
        raise InvalidInput("The archive holds no files", code="empty_archive")
    return archive


__all__ = [
    "Archive",
    "ArchiveLimits",
    "Listing",
    "Meter",
    "archive_bomb",
    "corrupt_archive",
    "is_noise",
    "is_table",
    "open_archive",
    "read_bounded",
]
