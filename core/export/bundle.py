"""The exported archive: images, metadata.csv, dataset card and checksums, as one ZIP.

The same images and texts give the same bytes: entries in a fixed order with a fixed time. Images
are stored as they are (they are compressed already) and streamed, so memory does not grow with
them; ZIP64 is used where sizes or counts need it.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.errors import JobFailed
from core.export.names import file_name, safe_component, unique
from core.ingest.csv_safety import safe_cell
from core.manifest import ImageRecord

Format = Literal["imagefolder", "csv"]

CHUNK = 1024 * 1024
_TIME = (1980, 1, 1, 0, 0, 0)
_MODE = 0o100644 << 16

_COLUMNS = (
    "filename",
    "label",
    "split",
    "source",
    "group_ids",
    "width",
    "height",
    "modality",
    "sha256",
    "pixel_sha256",
    "original_filename",
    "image_uid",
    "parent_sha256",
    "provenance",
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of the archive and its path there."""

    path: str
    record: ImageRecord


def entries(records: Iterable[ImageRecord], layout: Format) -> list[Entry]:
    """Return the images to write, sorted by path: each image once, quarantined ones left out.

    imagefolder: ``images/<label>/<name>``; csv: ``images/<name>``. Labels whose folders some file
    system would take for one get numbers.
    """
    kept = {r.image_id: r for r in records if not r.quarantined}
    ordered = sorted(
        kept.values(), key=lambda r: (r.label, r.source, r.filename, r.sha256, r.image_id)
    )
    folders = {"": "images"}
    if layout == "imagefolder":
        labels = sorted({r.label for r in ordered})
        names = unique([f"images/{safe_component(label, 'class')}" for label in labels])
        folders = dict(zip(labels, names, strict=True))
    wanted = [
        f"{folders[r.label if layout == 'imagefolder' else '']}/"
        f"{file_name(r.filename, r.media_type, r.sha256[:16])}"
        for r in ordered
    ]
    found = [Entry(path, r) for path, r in zip(unique(wanted), ordered, strict=True)]
    return sorted(found, key=lambda entry: entry.path)


def write_bundle(
    target: Path,
    images: Sequence[Entry],
    card: str,
    find: Callable[[str], Path],
    progress: Callable[[int], None],
) -> None:
    """Write the archive; ``find`` returns the file of a blob, ``progress`` gets images done.

    A blob whose bytes are not those of its name fails the export: ``blob_corrupt``.
    """
    sums: dict[str, str] = {}
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        _write_text(archive, sums, "README.md", card)
        for done, entry in enumerate(images, start=1):
            _copy(archive, entry, find(entry.record.sha256))
            sums[entry.path] = entry.record.sha256
            progress(done)
        _write_text(archive, sums, "metadata.csv", metadata_csv(images))
        lines = "".join(f"{sums[path]}  {path}\n" for path in sorted(sums))
        _write_text(archive, {}, "SHA256SUMS", lines)


def _copy(archive: zipfile.ZipFile, entry: Entry, path: Path) -> None:
    info = _info(entry.path, zipfile.ZIP_STORED)
    info.file_size = path.stat().st_size
    digest = hashlib.sha256()
    with path.open("rb") as source, archive.open(info, "w") as target:
        while chunk := source.read(CHUNK):
            digest.update(chunk)
            target.write(chunk)
    if digest.hexdigest() != entry.record.sha256:
        raise JobFailed(
            f"The stored bytes of image {entry.record.image_id} are not those that were imported; "
            "restore the volume from its backup",
            code="blob_corrupt",
        )


def _write_text(archive: zipfile.ZipFile, sums: dict[str, str], name: str, text: str) -> None:
    data = text.encode()
    sums[name] = hashlib.sha256(data).hexdigest()
    archive.writestr(_info(name, zipfile.ZIP_DEFLATED), data, compresslevel=6)


def _info(name: str, method: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _TIME)
    info.compress_type = method
    info.create_system = 3
    info.external_attr = _MODE
    return info


def metadata_csv(images: Sequence[Entry]) -> str:
    """Return one row an image: standard columns, then what the dataset said about the image.

    Cells that a spreadsheet would run as formulas are neutralised.
    """
    known = set(_COLUMNS)
    more = sorted({key for e in images for key in e.record.metadata} - known)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([*_COLUMNS, *(safe_cell(key) for key in more)])
    for entry in images:
        writer.writerow([safe_cell(value) for value in (*_cells(entry), *_more(entry, more))])
    return buffer.getvalue()


def _cells(entry: Entry) -> tuple[object, ...]:
    record = entry.record
    return (
        entry.path,
        record.label,
        record.split,
        record.source,
        ";".join(record.group_ids),
        record.width,
        record.height,
        record.modality,
        record.sha256,
        record.pixel_sha256,
        record.filename,
        record.image_id,
        ";".join(record.parent_sha256),
        _json(record.provenance) if record.provenance else None,
    )


def _more(entry: Entry, names: Sequence[str]) -> list[object]:
    values = [entry.record.metadata.get(name) for name in names]
    return [_json(v) if isinstance(v, (dict, list)) else v for v in values]


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
