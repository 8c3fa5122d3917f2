"""Content-addressed storage: a blob's name is the sha256 of its bytes; written once, never changed.

Layout on the shared volume::

    blobs/ab/cd/<sha256>                 what the database may refer to
    staging/<job>/<attempt>/blobs/<sha>  what an attempt has made and nobody sees yet
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from core.errors import BlobVanished, NotFound, StorageFull
from core.ids import new_id

_MANY = 32
"""From this many files on, one syncfs is cheaper than an fsync each."""
_NAME = re.compile(r"[0-9a-f]{64}")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turn a full disk into StorageFull; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull(f"The disk is full: {error.strerror}") from error
        raise


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file, read in chunks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_blob_name(name: str) -> bool:
    """Tell whether a file name is a sha256 as this store writes it."""
    return _NAME.fullmatch(name) is not None


class BlobStore:
    """Blobs of one shared volume."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, sha256: str) -> Path:
        """Return where a blob is or would be."""
        return self.root / "blobs" / sha256[:2] / sha256[2:4] / sha256

    def find(self, sha256: str) -> Path:
        """Return the path of an existing blob; NotFound otherwise."""
        path = self.path(sha256)
        if not path.is_file():
            raise NotFound(f"There is no blob {sha256}", code="blob_not_found")
        return path

    def size(self, blobs: Iterable[str]) -> int:
        """Return the bytes of the different blobs together; NotFound when one is missing."""
        return sum(self.find(sha256).stat().st_size for sha256 in set(blobs))

    def hold(self, blobs: Iterable[str]) -> None:
        """Make blobs young, so that nobody takes them for garbage; BlobVanished without one."""
        for sha256 in blobs:
            try:
                os.utime(self.path(sha256))
            except FileNotFoundError:
                raise BlobVanished(f"Blob {sha256} is gone; do it again", retry_after=1) from None

    def files(self) -> Iterator[os.DirEntry[str]]:
        """Yield every file below ``blobs/``, whatever its name."""
        folders = [str(self.root / "blobs")]
        while folders:
            try:
                entries = sorted(os.scandir(folders.pop()), key=lambda entry: entry.name)
            except FileNotFoundError:
                continue
            folders += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
            yield from (entry for entry in entries if not entry.is_dir(follow_symlinks=False))

    def thumbnail(self, sha256: str, size: int) -> Path:
        """Return where the thumbnail of a blob is or would be."""
        return self.root / "thumbnails" / sha256[:2] / f"{sha256}_{size}.webp"

    def thumbnails(self, sha256: str) -> list[Path]:
        """Return the thumbnails that were made of a blob, also those that are being written."""
        folder = self.root / "thumbnails" / sha256[:2]
        return [path for name in (sha256, f".{sha256}") for path in folder.glob(f"{name}_*")]

    def now(self) -> float:
        """Return the time by the clock of the volume, with which times of files are compared."""
        self.root.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=".clock.", dir=self.root)
        try:
            return os.fstat(descriptor).st_mtime
        finally:
            os.close(descriptor)
            Path(name).unlink()

    def damaged(self, sha256: str) -> Path:
        """Return where a blob lies that was set aside, or would lie."""
        return self.root / "damaged" / sha256

    def set_aside(self, sha256: str) -> Path | None:
        """Move a blob whose bytes are not its name to where no reader looks; returns where.

        None when it was whole after all: somebody has published it anew.
        """
        target = self.damaged(sha256)
        target.parent.mkdir(exist_ok=True)
        self.path(sha256).replace(target)
        if sha256_of(target) != sha256:
            return target
        target.replace(self.path(sha256))
        return None

    def staging(self, job_id: str, attempt: int) -> Path:
        """Return the private folder of an attempt."""
        return self.root / "staging" / job_id / str(attempt)

    def log(self, job_id: str) -> Path:
        """Return the log file of a job, all attempts in one."""
        return self.root / "logs" / job_id[-2:] / f"{job_id}.log"

    def add(self, data: bytes) -> str:
        """Store bytes at once, for the API; returns the sha256."""
        folder = self.root / "staging" / "direct" / new_id("req")
        try:
            sha256 = stage(data, folder)
            self.publish(folder, [sha256])
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return sha256

    def publish(self, folder: Path, blobs: Iterable[str]) -> None:
        """Move staged blobs of ``folder`` into the store, durably; existing ones are done.

        All of them are young afterwards, also those that were there: nobody takes them for garbage.
        Bytes are on the disk before a blob gets its name, and names are on the disk before this
        returns, so that whatever the database refers to survives a power cut.
        """
        moves = [(folder / sha256, self.path(sha256)) for sha256 in blobs]
        with disk_errors():
            present = [source.exists() for source, _ in moves]
            self._flush({s for (s, _), here in zip(moves, present, strict=True) if here})
            for (source, target), here in zip(moves, present, strict=True):
                if here:
                    os.utime(source)  # before the rename: no moment at which it looks old
                    _move(source, target)
                else:
                    os.utime(self.find(target.name))
            self._flush({target.parents[above] for _, target in moves for above in range(3)})

    def _flush(self, paths: Collection[Path]) -> None:
        """Put files or folders on the disk: one by one, or many with one call for the volume."""
        if len(paths) > _MANY:
            _flush_volume(self.root)
        else:
            for path in paths:
                flush(path)


def stage(data: bytes | Path, folder: Path) -> str:
    """Put bytes, or a file that is moved, into ``folder`` under its sha256, which is returned."""
    with disk_errors():
        if isinstance(data, Path):
            sha256 = sha256_of(data)
            folder.mkdir(parents=True, exist_ok=True)
            data.replace(folder / sha256)
            return sha256
        sha256 = hashlib.sha256(data).hexdigest()
        target = os.path.join(folder, sha256)  # noqa: PTH118 - tens of thousands a job: strings
        if not os.path.exists(target):  # noqa: PTH110
            _write(data, target)
        return sha256


def _write(data: bytes, target: str) -> None:
    """Write a file under a name of this thread's own first: nobody may find a part of it."""
    partial = f"{target}.{threading.get_native_id()}"
    try:
        descriptor = os.open(partial, _NEW, 0o666)
    except FileNotFoundError:
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(partial, _NEW, 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    finally:
        os.close(descriptor)
    os.rename(partial, target)  # noqa: PTH104


def _move(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except FileNotFoundError:
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)


def _flush_volume(root: Path) -> None:
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _libc().syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)


def flush(path: Path) -> None:
    """Put the bytes of a file, or the names in a folder, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@lru_cache(maxsize=1)
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
