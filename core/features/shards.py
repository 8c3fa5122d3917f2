"""How images are divided among jobs that compute features."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from core.features.extract import FeatureItem
from core.manifest import ImageRecord

SHARD_IMAGES = 256
"""So many missing images make a shard; a job with no more than that needs no shards."""


def usable(records: Iterable[ImageRecord]) -> list[ImageRecord]:
    """Return the images that are not quarantined."""
    return [record for record in records if not record.quarantined]


def unique_items(records: Iterable[ImageRecord], views: Sequence[int] = (0,)) -> list[FeatureItem]:
    """Return each image once in each view, in the order of the records."""
    blobs = dict.fromkeys(record.sha256 for record in records)
    return [FeatureItem(sha256, view) for view in sorted(set(views)) for sha256 in blobs]


def plan_shards(
    items: Sequence[FeatureItem],
    missing: Collection[FeatureItem],
    size: int = SHARD_IMAGES,
) -> list[tuple[int, int]]:
    """Return ranges (start, stop) of ``items`` with at most ``size`` missing ones each.

    Ranges refer to all items, so that they mean the same when some have been computed since.
    """
    absent = set(missing)
    places = [place for place, item in enumerate(items) if item in absent]
    return [
        (places[first], places[min(first + size, len(places)) - 1] + 1)
        for first in range(0, len(places), size)
    ]
