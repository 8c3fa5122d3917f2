"""Features kept on the shared volume: immutable packs, so that nothing is computed twice.

A pack is one file of two arrays in npy format: the keys with a checksum each, then the float32
matrix. It is written under a temporary name, flushed and renamed, so other processes see a whole
pack or none, and no lock is needed. Each row carries the CRC-32 of its key and its features: a row
that does not match, like a file that cannot be read, counts as absent.
"""

from __future__ import annotations

import fcntl
import os
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from core.ids import new_id
from core.storage.blobs import disk_errors

KEY = np.dtype([("sha256", "u1", (32,)), ("dihedral", "u1"), ("crc", "<u4")])
SUFFIX = ".pack"
MERGE_COUNT = 128
"""So many packs below MERGE_ROWS rows are merged into one."""
MERGE_ROWS = 2048

Key = bytes
"""32 bytes of sha256 and one of the dihedral view."""
Log = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the features of a key lie."""

    pack: Path
    row: int


def key_of(sha256: str, dihedral: int) -> Key:
    """Return the key of an image (64 hexadecimal digits) in one of its views."""
    return bytes.fromhex(sha256) + bytes([dihedral])


class FeatureCache:
    """The packs of one backbone with one preprocessing: one folder."""

    def __init__(self, folder: Path, dimension: int, log: Log) -> None:
        self.folder = folder
        self.dimension = dimension
        self._log = log
        self._bad: set[Path] = set()

    def load(self, wanted: Iterable[Key]) -> Iterator[tuple[Key, NDArray[np.float32]]]:
        """Yield the features of each wanted key that is there and whole, in no special order."""
        left = set(wanted)
        while places := self.find(left):
            before = len(left)
            for key, features in self.read(places):
                left.discard(key)
                yield key, features
            if before - len(left) == len(places):
                return
            # A pack was refused or has gone: its rows may lie in another one.

    def find(self, wanted: Iterable[Key]) -> dict[Key, Place]:
        """Return where wanted keys lie; absent ones are left out. Contents are not read yet."""
        left = set(wanted)
        found: dict[Key, Place] = {}
        for pack in self._packs():
            if not left:
                break
            keys = self._keys(pack)
            if keys is None:
                continue
            for row, key in enumerate(_key_bytes(keys)):
                if key in left:
                    left.discard(key)
                    found[key] = Place(pack, row)
        return found

    def read(self, places: Mapping[Key, Place]) -> Iterator[tuple[Key, NDArray[np.float32]]]:
        """Yield the features of each key that is whole; the others are logged and left out."""
        by_pack: dict[Path, list[tuple[int, Key]]] = {}
        for key, place in places.items():
            by_pack.setdefault(place.pack, []).append((place.row, key))
        for pack, rows in by_pack.items():
            yield from self._rows(pack, sorted(rows))

    def write(self, keys: Sequence[Key], matrix: NDArray[np.float32]) -> None:
        """Add a pack; StorageFull when the disk is full, and then nothing is left behind."""
        if not keys:
            return
        rows = np.ascontiguousarray(matrix, dtype="<f4")
        index = np.empty(len(keys), dtype=KEY)
        whole = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(len(keys), 33)
        index["sha256"], index["dihedral"] = whole[:, :32], whole[:, 32]
        index["crc"] = [_crc(key, row) for key, row in zip(keys, rows, strict=True)]
        name = new_id("req")
        partial = self.folder / f".{name}.{os.getpid()}.tmp"
        with disk_errors():
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                with partial.open("xb") as file:
                    npy.write_array(file, index, version=(1, 0), allow_pickle=False)
                    npy.write_array(file, rows, version=(1, 0), allow_pickle=False)
                    file.flush()
                    os.fsync(file.fileno())
                partial.rename(self.folder / f"{name}{SUFFIX}")
            finally:
                partial.unlink(missing_ok=True)

    def merge_small(self) -> None:
        """Join small packs once there are many of them.

        A reader that finds a pack gone treats its rows as absent.
        """
        if len(self._packs()) < MERGE_COUNT:
            return
        with self._alone():
            self._merge()

    def _merge(self) -> None:
        sizes = {p: len(keys) for p in self._packs() if (keys := self._keys(p)) is not None}
        small = [pack for pack, size in sizes.items() if size < MERGE_ROWS]
        if len(small) < MERGE_COUNT:
            return
        chosen = sorted(small, key=lambda pack: sizes[pack])[:MERGE_COUNT]
        rows: dict[Key, NDArray[np.float32]] = {}
        for pack in chosen:
            keys = self._keys(pack)
            if keys is not None:
                rows.update(self._rows(pack, list(enumerate(_key_bytes(keys)))))
        if rows:
            self.write(list(rows), np.stack(list(rows.values())))
        for pack in chosen:
            pack.unlink(missing_ok=True)

    def forget(self, images: Collection[bytes]) -> int:
        """Remove the rows of images, by their 32 bytes of sha256; returns how many there were."""
        found = 0
        with self._alone():
            for pack in self._packs():
                keys = self._keys(pack)
                left = [] if keys is None else _without(_key_bytes(keys), images)
                if keys is None or len(left) == len(keys):
                    continue
                found += len(keys) - len(left)
                rows = dict(self._rows(pack, left))
                if rows:
                    self.write(list(rows), np.stack(list(rows.values())))
                pack.unlink(missing_ok=True)
        return found

    def count(self, images: Collection[bytes]) -> int:
        """Return how many rows of images there are, by their 32 bytes of sha256."""
        whole = [keys for pack in self._packs() if (keys := self._keys(pack)) is not None]
        return sum(len(keys) - len(_without(_key_bytes(keys), images)) for keys in whole)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the folder against others that rewrite packs: a merge must not bring back rows."""
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.folder / ".rewriting", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _packs(self) -> list[Path]:
        return sorted(p for p in self.folder.glob(f"*{SUFFIX}") if p not in self._bad)

    def _keys(self, pack: Path) -> NDArray[np.void] | None:
        """Return the index of a pack; None when it is gone, torn or not a pack."""
        try:
            with pack.open("rb") as file:
                keys = npy.read_array(file, allow_pickle=False)
                self._check(file.tell(), keys, pack)
        except FileNotFoundError:
            self._bad.add(pack)
            return None
        except Exception as error:  # whatever a torn file makes numpy raise
            self._refuse(pack, str(error))
            return None
        return keys

    def _check(self, offset: int, keys: NDArray[np.void], pack: Path) -> None:
        if keys.dtype != KEY or keys.ndim != 1:
            raise ValueError("its index has another form")
        with pack.open("rb") as file:
            file.seek(offset)
            shape, start = _matrix_header(file)
        expected = (len(keys), self.dimension)
        if shape != expected:
            raise ValueError(f"its matrix is {shape}, not {expected}")
        if pack.stat().st_size != start + 4 * len(keys) * self.dimension:
            raise ValueError("its length is wrong")

    def _rows(
        self, pack: Path, rows: Sequence[tuple[int, Key]]
    ) -> Iterator[tuple[Key, NDArray[np.float32]]]:
        try:
            with pack.open("rb") as file:
                index = npy.read_array(file, allow_pickle=False)
                shape, start = _matrix_header(file)
            matrix = np.memmap(pack, dtype="<f4", mode="r", offset=start, shape=shape)
        except FileNotFoundError:
            self._bad.add(pack)
            return
        except Exception as error:  # whatever a torn file makes numpy raise
            self._refuse(pack, str(error))
            return
        for row, key in rows:
            features = np.array(matrix[row], dtype=np.float32)
            if _crc(key, features) == index["crc"][row]:
                yield key, features
            else:
                self._refuse(pack, f"row {row} does not match its checksum")

    def _refuse(self, pack: Path, reason: str) -> None:
        if pack not in self._bad:
            self._bad.add(pack)
            self._log(f"Feature pack {pack.name} is not used: {reason}")


def _matrix_header(file: object) -> tuple[tuple[int, ...], int]:
    """Read the header of the second array; return its shape and where its values begin."""
    if npy.read_magic(file) != (1, 0):  # type: ignore[arg-type]
        raise ValueError("its matrix has another format")
    shape, fortran, dtype = npy.read_array_header_1_0(file)  # type: ignore[arg-type]
    if fortran or dtype != np.dtype("<f4"):
        raise ValueError("its matrix is not float32 in C order")
    return shape, file.tell()  # type: ignore[attr-defined]


def dimension_of(pack: Path) -> int | None:
    """Return how long the features of a pack are; None when it is no whole pack."""
    try:
        with pack.open("rb") as file:
            keys = npy.read_array(file, allow_pickle=False)
            shape, start = _matrix_header(file)
        rows, dimension = shape
        whole = keys.dtype == KEY and rows == len(keys)
        if whole and pack.stat().st_size == start + 4 * rows * dimension:
            return int(dimension)
    except Exception:  # whatever a torn file makes numpy raise
        return None
    return None


def _without(keys: Sequence[Key], images: Collection[bytes]) -> list[tuple[int, Key]]:
    """Return (row, key) of the keys that are not of one of the images."""
    return [(row, key) for row, key in enumerate(keys) if key[:32] not in images]


def _key_bytes(index: NDArray[np.void]) -> list[Key]:
    raw = np.concatenate([index["sha256"], index["dihedral"][:, np.newaxis]], axis=1).tobytes()
    return [raw[start : start + 33] for start in range(0, len(raw), 33)]


def _crc(key: Key, features: NDArray[np.float32]) -> int:
    return zlib.crc32(features.tobytes(), zlib.crc32(key))
