"""What a version of real images says about itself: groups, duplicates, and what to look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.ingest.duplicates import NearPair, NearThreshold
from core.ingest.groups import group_basis, large_group_warning, largest_group
from core.manifest import ImageRecord

_LISTED = 1000


def describe(
    records: Sequence[ImageRecord],
    pairs: Sequence[NearPair],
    near: NearThreshold,
    group_column: str | None,
) -> dict[str, Any]:
    """Return group basis, number of groups, the largest one, and near-duplicates in conflict.

    ``pairs`` are near-duplicates by their positions in ``records``.
    """
    basis, _ = group_basis([r.metadata for r in records], group_column)
    largest = largest_group([r.group_ids[0] for r in records], [r.label for r in records])
    return {
        "group_basis": basis,
        "groups": len({r.group_ids[0] for r in records}),
        "largest_group": largest.as_dict() if largest else None,
        "near_threshold": near.as_dict(),
        "near_label_conflicts": [
            {
                "images": [records[p.first].image_id, records[p.second].image_id],
                "filenames": [records[p.first].filename, records[p.second].filename],
                "labels": [records[p.first].label, records[p.second].label],
                "correlation": p.correlation,
            }
            for p in _conflicts(records, pairs)[:_LISTED]
        ],
    }


def advice(
    records: Sequence[ImageRecord], pairs: Sequence[NearPair], group_column: str | None
) -> list[str]:
    """Return warnings, each ``code: text``."""
    found: list[str] = []
    labels = sorted({record.label for record in records})
    if len(labels) == 1:
        found.append(f"one_class: all images are of class {labels[0]!r}; nothing can be trained")
    basis, missing = group_basis([r.metadata for r in records], group_column)
    if missing:
        found.append(
            f"partial_groups: {missing} of {len(records)} images name no {basis}; their groups "
            "rest on pixels alone"
        )
    groups = [r.group_ids[0] for r in records]
    found += large_group_warning(largest_group(groups, [r.label for r in records]))
    conflicts = _conflicts(records, pairs)
    if conflicts:
        one, two = records[conflicts[0].first], records[conflicts[0].second]
        found.append(
            f"near_label_conflict: {len(conflicts)} pairs of near-duplicates have different "
            f"labels, first {one.filename} ({one.label}) and {two.filename} ({two.label})"
        )
    return found


def _conflicts(records: Sequence[ImageRecord], pairs: Sequence[NearPair]) -> list[NearPair]:
    return [p for p in pairs if records[p.first].label != records[p.second].label]
