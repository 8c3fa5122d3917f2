"""The manifest of a dataset version: one record an image, Parquet on disk, a hash that compares.

The Parquet file is the truth of a version; the ``images`` table is its index.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

Split = Literal["train", "val", "test"]
Source = Literal["real", "synthetic"]
Modality = Literal["rgb", "grey"]

_JSON_FIELDS = ("provenance", "metadata")
_LIST_FIELDS = ("group_ids", "parents", "parent_sha256")


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image of a version.

    sha256 is of the stored bytes, source_sha256 of the bytes as sent. pixel_sha256 is of the
    decoded pixels of a real image, and of the pixels of a synthetic one as they were made, before
    a JPEG's coding: so a generator that gives a real image back unchanged is found out by it.
    parents are image ids and parent_sha256 their stored bytes, in the same order.
    metadata holds what the dataset said (patient_id, lesion_id, age, sex, localization, ...).
    provenance says how a synthetic image was made, or what the import did to a real one.
    """

    image_id: str
    filename: str
    label: str
    sha256: str
    source_sha256: str
    pixel_sha256: str
    width: int
    height: int
    media_type: str
    modality: Modality
    split: Split
    source: Source
    group_ids: tuple[str, ...]
    parents: tuple[str, ...] = ()
    parent_sha256: tuple[str, ...] = ()
    quarantined: bool = False
    perceptual_hash: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)


_ENCODER = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)
_OF_THIS_MAKING = frozenset({"image_id", "parents"})
_IDENTITY = tuple(f.name for f in fields(ImageRecord) if f.name not in _OF_THIS_MAKING)


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, UTF-8, no NaN."""
    return _ENCODER.encode(value)


def manifest_sha256(records: Iterable[ImageRecord]) -> str:
    """Hash what the images are, not when and under which ids they were made.

    Over canonical JSON lines, sorted; ids and times are left out, parents stand by blob hash.
    """
    lines = sorted(canonical_json(_identity(record)) for record in records)
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()


def _identity(record: ImageRecord) -> dict[str, Any]:
    row = {name: getattr(record, name) for name in _IDENTITY}
    row["group_ids"] = sorted(record.group_ids)
    return row


def write_manifest(records: Sequence[ImageRecord], path: Path) -> None:
    """Write records as Parquet (zstd); nested dictionaries are JSON text columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, list[Any]] = {f.name: [] for f in fields(ImageRecord)}
    for record in records:
        for name, column in columns.items():
            value = getattr(record, name)
            if name in _JSON_FIELDS:
                value = canonical_json(value)
            elif name in _LIST_FIELDS:
                value = list(value)
            column.append(value)
    pq.write_table(pa.table(columns, schema=_schema()), path, compression="zstd")


def read_manifest(path: Path) -> list[ImageRecord]:
    """Read a manifest written by :func:`write_manifest`, in the order it was written."""
    import pyarrow.parquet as pq

    rows = pq.read_table(path).to_pylist()
    return [ImageRecord(**_decoded(row)) for row in rows]


def manifest_blobs(path: Path) -> set[str]:
    """Return the blobs that a manifest refers to: images and what is annotated on them."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=["sha256", "provenance"])
    annotated = table.filter(pc.match_substring(table["provenance"], '"annotations"'))
    found = set(table["sha256"].to_pylist())
    for provenance in annotated["provenance"].to_pylist():
        annotations = json.loads(provenance).get("annotations") or {}
        found.update(value for value in annotations.values() if isinstance(value, str))
    return found


def _decoded(row: dict[str, Any]) -> dict[str, Any]:
    for name in _JSON_FIELDS:
        row[name] = json.loads(row[name])
    for name in _LIST_FIELDS:
        row[name] = tuple(row[name])
    return row


def _schema() -> Any:
    import pyarrow as pa

    kinds = {int: pa.int32(), bool: pa.bool_()}
    numbers = {"width": int, "height": int, "quarantined": bool}
    return pa.schema(
        [
            (
                f.name,
                pa.list_(pa.string())
                if f.name in _LIST_FIELDS
                else kinds.get(numbers.get(f.name, str), pa.string()),
            )
            for f in fields(ImageRecord)
        ]
    )
