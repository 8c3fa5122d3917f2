"""Class balance of a version: how many usable images each class has, and which classes are weak."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from core.jobs.context import ClassSummary
from core.learning.splits import SPLITS
from core.manifest import ImageRecord


def summarise(records: Iterable[ImageRecord]) -> tuple[ClassSummary, ...]:
    """Summarise the classes of a version, sorted by name.

    Counts are of usable (not quarantined) images; a class of which every image is quarantined is
    listed with count 0. ``target`` is the size of the largest class, ``weak`` is count < target,
    ``groups`` the number of distinct group ids.
    """
    counts: Counter[str] = Counter()
    splits: dict[str, Counter[str]] = defaultdict(Counter)
    groups: dict[str, set[str]] = defaultdict(set)
    for record in records:
        counts[record.label] += 0
        if record.quarantined:
            continue
        counts[record.label] += 1
        splits[record.label][record.split] += 1
        groups[record.label].update(record.group_ids)
    target = max(counts.values(), default=0)
    return tuple(
        ClassSummary(
            name=name,
            count=count,
            by_split={split: splits[name][split] for split in SPLITS},
            weak=count < target,
            target=target,
            groups=len(groups[name]),
        )
        for name, count in sorted(counts.items())
    )
