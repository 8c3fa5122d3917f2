"""The exported archive: files in a fixed order with a fixed time, and their checksums, as one ZIP.

The same images and texts give the same bytes. Files are stored as they are (images are compressed
already) and streamed, so memory does not grow with them; ZIP64 is used where sizes or counts need
it.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from core.errors import JobFailed
from core.export.names import file_name, safe_component, unique
from core.manifest import ImageRecord

CHUNK = 1024 * 1024
_TIME = (1980, 1, 1, 0, 0, 0)
_MODE = 0o100644 << 16


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of the archive, its path there, and the licences of its version."""

    path: str
    record: ImageRecord
    licence: str = ""


def entries(records: Iterable[ImageRecord], *, by_class: bool) -> list[Entry]:
    """Return the images to write, sorted by path: each image once, quarantined ones left out.

    by_class: ``images/<label>/<name>``, else ``images/<name>``. Labels whose folders some file
    system would take for one get numbers, and so do images that would differ in their ending
    alone: files that belong to one are named after it.
    """
    kept = {r.image_id: r for r in records if not r.quarantined}
    ordered = sorted(
        kept.values(), key=lambda r: (r.label, r.source, r.filename, r.sha256, r.image_id)
    )
    folders = {"": "images"}
    if by_class:
        labels = sorted({r.label for r in ordered})
        names = unique([f"images/{safe_component(label, 'class')}" for label in labels])
        folders = dict(zip(labels, names, strict=True))
    names = [file_name(r.filename, r.media_type, r.sha256[:16]) for r in ordered]
    parts = [name.rpartition(".") for name in names]
    stems = unique(
        [
            f"{folders[r.label if by_class else '']}/{stem}"
            for r, (stem, _, _) in zip(ordered, parts, strict=True)
        ]
    )
    found = [
        Entry(f"{stem}.{ending}", r)
        for stem, (_, _, ending), r in zip(stems, parts, ordered, strict=True)
    ]
    return sorted(found, key=lambda entry: entry.path)


class Bundle:
    """A ZIP that is being written; leaving it without an error adds SHA256SUMS."""

    def __init__(self, target: Path) -> None:
        self.sums: dict[str, str] = {}
        self._archive = zipfile.ZipFile(target, "w", zipfile.ZIP_STORED, allowZip64=True)

    def __enter__(self) -> Bundle:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        with self._archive:
            if error is None:
                lines = "".join(f"{self.sums[path]}  {path}\n" for path in sorted(self.sums))
                self.text("SHA256SUMS", lines)

    def text(self, name: str, pieces: str | Iterable[str]) -> None:
        """Add a text file, compressed; in pieces it may be longer than memory."""
        info = _info(name, zipfile.ZIP_DEFLATED)
        digest = hashlib.sha256()
        with self._archive.open(info, "w", force_zip64=True) as target:
            for piece in [pieces] if isinstance(pieces, str) else pieces:
                data = piece.encode()
                digest.update(data)
                target.write(data)
        self.sums[name] = digest.hexdigest()

    def file(self, name: str, path: Path) -> str:
        """Add a file as it is; returns its sha256."""
        info = _info(name, zipfile.ZIP_STORED)
        info.file_size = path.stat().st_size
        digest = hashlib.sha256()
        with path.open("rb") as source, self._archive.open(info, "w") as target:
            while chunk := source.read(CHUNK):
                digest.update(chunk)
                target.write(chunk)
        self.sums[name] = digest.hexdigest()
        return self.sums[name]

    def image(self, entry: Entry, path: Path) -> None:
        """Add an image; JobFailed ``blob_corrupt`` when its bytes are not those of its name."""
        if self.file(entry.path, path) != entry.record.sha256:
            raise rotten(entry.record)

    def annotation(self, entry: Entry, name: str, sha256: str, path: Path) -> None:
        """Add what is annotated on an image under ``name``; JobFailed ``blob_corrupt``."""
        if self.file(name, path) != sha256:
            raise rotten(entry.record, "an annotation of image")


def rotten(record: ImageRecord, what: str = "image") -> JobFailed:
    """Return the error of an image whose stored bytes are not what its hash says."""
    return JobFailed(
        f"The stored bytes of {what} {record.image_id} are not those that were stored; "
        "restore the volume from its backup",
        code="blob_corrupt",
    )


def _info(name: str, method: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _TIME)
    info.compress_type = method
    info.create_system = 3
    info.external_attr = _MODE
    return info
