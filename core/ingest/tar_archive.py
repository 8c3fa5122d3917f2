"""Tar archives, plain or gzip, read as a stream in both walks."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from tarfile import ReadError
from typing import BinaryIO, Self, cast

from core.errors import InvalidInput
from core.ingest.archive import (
    MIB,
    Archive,
    Meter,
    archive_bomb,
    corrupt_archive,
    is_table,
    read_bounded,
)
from core.ingest.names import is_noise, safe_name
from core.ingest.rejects import Rejected

_HEADER_BUDGET = 1 * MIB
"""Most bytes between two members: names and attributes, which the library holds in memory."""
_NO_HEADERS = (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError)  # type: ignore[attr-defined]
_BROKEN = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError)


class _Metered(io.RawIOBase):
    """A readable stream that counts; ``allowance`` bounds what the library reads for itself."""

    def __init__(self, stream: BinaryIO, meter: Meter) -> None:
        super().__init__()
        self._stream = stream
        self._meter = meter
        self.allowance = _HEADER_BUDGET

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._meter.add(len(data))
        self.allowance -= len(data)
        if self.allowance < 0:
            raise archive_bomb("its headers are larger than any real ones")
        return data


class _Header(tarfile.TarInfo):
    """A header that must be one: the library takes what is none, behind the first, for the end.

    So a wrong size in one header made all files behind it vanish without a word.
    """

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile)
        except _NO_HEADERS as error:
            if tarfile.offset == 0:  # then it is no archive
                raise
            raise ReadError(f"no header at byte {tarfile.offset}") from error


class TarArchive(Archive):
    """A tar or tar.gz archive; members are read in their order."""

    def scan(self) -> None:
        for tar, member in self._members():
            if member.isdir() or is_noise(member.name):
                continue
            name = self.listing.admit(member.name, self.limits)
            if name is None:
                continue
            try:
                _check_member(member)
            except Rejected as reason:
                self.listing.refuse(name, reason)
                continue
            if is_table(name):
                self.take_table(name, _Reader(tar, member))
            else:
                self.listing.files.append(name)

    def read(self, names: frozenset[str]) -> Iterator[tuple[str, bytes | Rejected]]:
        waiting = set(names)
        for tar, member in self._members():
            if not member.isreg() or is_noise(member.name):
                continue
            try:
                name = safe_name(member.name)
            except Rejected:
                continue
            if name not in waiting:
                continue
            waiting.discard(name)
            try:
                yield name, _Reader(tar, member)(self.limits.entry_bytes)
            except Rejected as reason:
                yield name, reason

    def _members(self) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
        """Yield members in order, each before its data is passed over."""
        meter = Meter(self.path.stat().st_size, self.limits)
        with ExitStack() as stack, _typed_errors():
            stream: BinaryIO = stack.enter_context(self.path.open("rb"))
            if _is_gzip(stream):
                stream = cast("BinaryIO", stack.enter_context(gzip.GzipFile(fileobj=stream)))
            metered = _Metered(stream, meter)
            tar = stack.enter_context(_first_header(cast("BinaryIO", metered)))
            while True:
                member = tar.next()
                if member is None:
                    return
                tar.members = []  # type: ignore[attr-defined] # else it keeps all of them
                if member.issparse():
                    raise InvalidInput(
                        "The archive holds sparse files; make it without --sparse",
                        code="unsupported_archive",
                    )
                metered.allowance = member.size + _HEADER_BUDGET
                yield tar, member


class _Reader:
    """Reads one member up to a limit."""

    def __init__(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        self._tar = tar
        self._member = member

    def __call__(self, limit: int) -> bytes:
        if self._member.size > limit:
            raise Rejected("file_too_large", f"The file is larger than {limit} bytes")
        with _typed_errors():
            stream = self._tar.extractfile(self._member)
            if stream is None:
                raise Rejected("special_file", "The entry is not a regular file")
            return read_bounded(cast("BinaryIO", stream), limit, lambda _size: None)


@contextmanager
def _typed_errors() -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        raise corrupt_archive(error) from error


def _check_member(member: tarfile.TarInfo) -> None:
    if member.issym() or member.islnk():
        raise Rejected("link", "The entry is a link")
    if not member.isreg():
        raise Rejected("special_file", "The entry is not a regular file")


def _is_gzip(stream: BinaryIO) -> bool:
    magic = stream.read(2)
    stream.seek(0)
    return magic == b"\x1f\x8b"


def _first_header(stream: BinaryIO) -> tarfile.TarFile:
    try:
        return tarfile.open(fileobj=stream, mode="r|", errorlevel=2, tarinfo=_Header)
    except (*_BROKEN, OSError) as error:
        raise InvalidInput(
            "The file is not a zip, tar or tar.gz archive", code="not_an_archive"
        ) from error
