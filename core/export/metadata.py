"""metadata.csv of an exported archive: one row an image, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence

from core.export.bundle import Entry
from core.ingest.csv_safety import safe_cell

COLUMNS = (
    "filename",
    "label",
    "split",
    "source",
    "group_ids",
    "width",
    "height",
    "modality",
    "mask",
    "sha256",
    "pixel_sha256",
    "original_filename",
    "image_uid",
    "parent_sha256",
    "provenance",
)


def metadata_csv(images: Sequence[Entry], mask: Callable[[Entry], str]) -> Iterator[str]:
    """Yield a header and one line an image: standard columns, then what the dataset said about it.

    ``mask`` gives the path of an image's mask, or none. Cells that a spreadsheet would run as
    formulas are neutralised.
    """
    known = set(COLUMNS)
    more = sorted({key for e in images for key in e.record.metadata} - known)
    yield _line([*COLUMNS, *(safe_cell(key) for key in more)])
    for entry in images:
        cells = (*_cells(entry, mask(entry)), *_more(entry, more))
        yield _line([safe_cell(value) for value in cells])


def _line(cells: Sequence[object]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()


def _cells(entry: Entry, mask: str) -> tuple[object, ...]:
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
        mask or None,
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
