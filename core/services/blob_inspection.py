"""Reads all blobs once: which are there, how large, and whether their bytes are their name."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from core.storage.blobs import BlobStore, is_blob_name, sha256_of

READERS = 4
"""Threads; hashing releases the interpreter, and a volume answers several at once."""


@dataclass(frozen=True, slots=True)
class Blob:
    """One file; ``found`` is the hash of its bytes, or its name when nothing was hashed."""

    sha256: str
    size: int
    modified: float
    found: str

    @property
    def whole(self) -> bool:
        return self.found == self.sha256


class BlobInspection:
    """What was seen."""

    def __init__(self, store: BlobStore, *, hashing: bool) -> None:
        self._store = store
        self._hashing = hashing
        self.blobs: dict[str, Blob] = {}

    @property
    def bytes(self) -> int:
        return sum(blob.size for blob in self.blobs.values())

    def look(self) -> None:
        """Look at every blob."""
        names = (entry.name for entry in self._store.files() if is_blob_name(entry.name))
        with ThreadPoolExecutor(READERS, "hash") as pool:
            for blob in pool.map(self._read, names):
                if blob is not None:
                    self.blobs[blob.sha256] = blob

    def look_again(self, sha256: str) -> Blob | None:
        """Look at one that was published, or removed and published again, meanwhile."""
        blob = self._read(sha256) if is_blob_name(sha256) else None
        if blob is not None:
            self.blobs[sha256] = blob
        return blob

    def _read(self, sha256: str) -> Blob | None:
        path: Path = self._store.path(sha256)
        try:
            status = path.stat()
            found = sha256_of(path) if self._hashing else sha256
        except FileNotFoundError:
            return None
        return Blob(sha256, status.st_size, status.st_mtime, found)
