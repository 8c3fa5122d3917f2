"""The control of the privacy gate: near-copies of real images that are declared as new.

A distance between features calls them excellent. The gate has to keep them out before anything is
trained; what it lets pass is trained on by the arm ``control_copycat``, as it would be unawares.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from core.learning.cohort import Cohort, weak_classes
from core.manifest import ImageRecord

MOST = 500
"""Near-copies in all, in equal shares of each class's images."""

_SOURCE = "near_copy_of"


def chosen_sources(members: Cohort) -> list[ImageRecord]:
    """Return the real images to copy: of the weak classes, or of all when all are of one size."""
    weak = weak_classes(members.labels, len(members.classes))
    rows = [
        record
        for record, label in zip(members.records, members.labels.tolist(), strict=True)
        if weak[label] or not weak.any()
    ]
    by_class: dict[str, list[ImageRecord]] = {}
    for record in sorted(rows, key=lambda r: hashlib.sha256(r.sha256.encode()).digest()):
        by_class.setdefault(record.label, []).append(record)
    share = min(1.0, MOST / max(1, len(rows)))
    return [r for label in sorted(by_class) for r in _first(by_class[label], share)]


def _first(records: Sequence[ImageRecord], share: float) -> Sequence[ImageRecord]:
    return records[: max(1, int(share * len(records)))]


def declared_new(source: ImageRecord, pixel_sha256: str) -> ImageRecord:
    """Return the near-copy of an image as a liar hands it in: of no parent and of no group."""
    return replace(
        source,
        image_id=f"copy-of-{source.image_id}",
        filename=f"copy_{source.filename}",
        sha256=pixel_sha256,
        source_sha256=pixel_sha256,
        pixel_sha256=pixel_sha256,
        source="synthetic",
        split="train",
        group_ids=(),
        parents=(),
        parent_sha256=(),
        perceptual_hash="",
        metadata={},
        provenance={_SOURCE: source.sha256},
    )


def source_of(copy: ImageRecord) -> str:
    """Return the stored bytes, by hash, of the image that a near-copy is of."""
    return str(copy.provenance[_SOURCE])


def passed_rows(copies: Iterable[ImageRecord], caught: frozenset[str]) -> list[dict[str, str]]:
    """Return of each near-copy that the gate let pass what :func:`passed_copies` needs."""
    return [
        {"source": source_of(copy), "pixel_sha256": copy.pixel_sha256}
        for copy in copies
        if copy.image_id not in caught
    ]


def passed_copies(rows: Iterable[Mapping[str, Any]], members: Cohort) -> list[ImageRecord]:
    """Return the near-copies of :func:`passed_rows` as records."""
    sources = {record.sha256: record for record in members.records}
    return [declared_new(sources[row["source"]], row["pixel_sha256"]) for row in rows]
