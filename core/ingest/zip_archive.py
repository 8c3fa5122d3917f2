"""Zip archives: the directory is checked before anything is believed."""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from core.errors import InvalidInput
from core.ingest.archive import (
    MIB,
    Archive,
    ArchiveLimits,
    Meter,
    archive_bomb,
    corrupt_archive,
    is_table,
    read_bounded,
)
from core.ingest.names import is_noise
from core.ingest.rejects import Rejected

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")
_LOCAL_HEADER = 30
_DIRECTORY_ENTRY = struct.Struct("<28x3H12x")  # lengths of name, extra field, comment
_MAX_COMMENT = 0xFFFF
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_ENTRY_FLOOR = 1 * MIB
"""Below this size no single entry is called a bomb."""
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, struct.error, ValueError)


def is_zip(path: Path) -> bool:
    """Tell whether a file is a zip archive, an empty one included."""
    with path.open("rb") as file:
        if file.read(4) in (b"PK\x03\x04", b"PK\x05\x06"):
            return True
        return not _is_other(file) and zipfile.is_zipfile(file)


class ZipArchive(Archive):
    """A zip archive; entries are read in the order of the directory."""

    def __init__(self, path: Path, limits: ArchiveLimits) -> None:
        super().__init__(path, limits)
        self._infos: dict[str, zipfile.ZipInfo] = {}
        self._meter = Meter(path.stat().st_size, limits)

    def scan(self) -> None:
        with self.path.open("rb") as file:
            _check_directory(file, self.limits)
        with self._opened() as archive:
            infos = archive.infolist()
            _check_overlap(infos)
            for info in infos:
                if info.is_dir() or is_noise(info.filename):
                    continue
                self._list(archive, info)

    def read(self, names: frozenset[str]) -> Iterator[tuple[str, bytes | Rejected]]:
        with self._opened() as archive:
            for name, info in self._infos.items():
                if name not in names:
                    continue
                try:
                    yield name, self._bytes(archive, info, self.limits.entry_bytes)
                except Rejected as reason:
                    yield name, reason

    def _opened(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.path)
        except _BROKEN as error:
            raise corrupt_archive(error) from error

    def _list(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
        name = self.listing.admit(info.orig_filename, self.limits)
        if name is None:
            return
        try:
            _check_entry(info)
        except Rejected as reason:
            self.listing.refuse(name, reason)
            return
        if is_table(name):
            self.take_table(name, lambda limit: self._bytes(archive, info, limit))
            return
        self._infos[name] = info
        self.listing.files.append(name)

    def _bytes(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int) -> bytes:
        seen = 0
        bound = max(_ENTRY_FLOOR, info.compress_size * self.limits.ratio)

        def count(size: int) -> None:
            nonlocal seen
            seen += size
            self._meter.add(size)
            if seen > bound:
                raise Rejected(
                    "compression_bomb",
                    f"The file unpacks to more than {self.limits.ratio:g} times its packed size",
                )

        try:
            with archive.open(info) as stream:
                data = read_bounded(cast("BinaryIO", stream), limit, count)
        except InvalidInput:
            raise
        except (*_BROKEN, RuntimeError) as error:
            raise Rejected("corrupt_entry", f"The packed file is damaged: {error}") from error
        if len(data) != info.file_size:
            raise Rejected("corrupt_entry", "The packed file is not as long as the archive says")
        return data


def _check_entry(info: zipfile.ZipInfo) -> None:
    if info.flag_bits & _ENCRYPTED:
        raise Rejected("encrypted", "The file is encrypted")
    mode = info.external_attr >> 16
    if stat.S_ISLNK(mode):
        raise Rejected("link", "The entry is a symbolic link")
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise Rejected("special_file", "The entry is not a regular file")
    if info.compress_type not in _METHODS:
        raise Rejected("unsupported_compression", "Only stored and deflated entries are read")


def _check_overlap(infos: list[zipfile.ZipInfo]) -> None:
    """Refuse archives whose entries share packed bytes (Fifield, "A better zip bomb", 2019)."""
    end = 0
    for info in sorted(infos, key=lambda i: i.header_offset):
        if info.header_offset < end:
            raise archive_bomb("entries overlap")
        end = info.header_offset + _LOCAL_HEADER + info.compress_size


def _check_directory(file: BinaryIO, limits: ArchiveLimits) -> None:
    """Count the entries of the directory one by one before the library reads all of it."""
    size, end = _directory_bounds(file)
    position = end - size
    if position < 0:
        raise corrupt_archive("its directory lies outside the file")
    file.seek(position)
    count = 0
    while position < end:
        head = file.read(46)
        if len(head) < 46 or not head.startswith(b"PK\x01\x02"):
            raise corrupt_archive("its directory cannot be read")
        count += 1
        # directories count too: each costs memory, and twice the files is more than any real tree
        if count > 2 * limits.files + 1000:
            raise InvalidInput(
                f"The archive holds more than {limits.files} files", code="too_many_files"
            )
        lengths = _DIRECTORY_ENTRY.unpack(head)
        position += 46 + sum(lengths)
        file.seek(sum(lengths), 1)


def _directory_bounds(file: BinaryIO) -> tuple[int, int]:
    """Return size and end offset of the central directory (APPNOTE 4.3.14 to 4.3.16)."""
    file.seek(0, 2)
    length = file.tell()
    start = max(0, length - _MAX_COMMENT - _END.size)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        raise corrupt_archive("it has no directory; was the upload cut short?")
    end = start + at
    size = _END.unpack_from(tail, at)[5]
    if end < _LOCATOR64.size + _END64.size:
        return size, end
    file.seek(end - _LOCATOR64.size)
    if file.read(4) != b"PK\x06\x07":
        return size, end
    file.seek(end - _LOCATOR64.size - _END64.size)
    record = _END64.unpack(file.read(_END64.size))
    if record[0] != b"PK\x06\x06":
        raise corrupt_archive("its 64-bit directory record cannot be read")
    return record[8], end - _LOCATOR64.size - _END64.size


def _is_other(file: BinaryIO) -> bool:
    """A tar that ends in a stored zip would pass the library's search from the end."""
    file.seek(0)
    head = file.read(262)
    return head.startswith(b"\x1f\x8b") or head[257:] == b"ustar"
