"""The thorough search for near-duplicates: crops and free turns too, each pair laid over.

The fast search compares small thumbnails as a whole. This one finds candidates by keypoints
(:mod:`core.ingest.retrieval`) beside those of the fast one, and believes only what aligns
(:mod:`core.ingest.alignment`); images with too few keypoints to align stay with the fast one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from core.errors import InvalidInput
from core.ingest.alignment import AlignThreshold, align
from core.ingest.duplicates import NearPair, NearThreshold, near_pairs
from core.ingest.fingerprints import Fingerprint
from core.ingest.keypoints import Records
from core.ingest.retrieval import likely_pairs

MOST_IMAGES = 20_000
"""Each takes 30 kB of memory while the search runs."""
AUTO_IMAGES = 5_000
"""Up to so many images are searched thoroughly when nobody says how: about 15 ms each."""
_FEW = 24
"""Fewer keypoints on a side cannot be trusted to align a copy."""
_BATCH = 256

Progress = Callable[[int, int], None]
Kept = Callable[[int, int], bool]


def check_size(images: int) -> None:
    """InvalidInput ``too_many_for_thorough`` when the search would not fit in memory."""
    if images > MOST_IMAGES:
        raise InvalidInput(
            f"The thorough search for near-duplicates takes up to {MOST_IMAGES} images, these are "
            f"{images}; use near_duplicates: fast",
            code="too_many_for_thorough",
        )


def thorough_pairs(
    prints: Sequence[Fingerprint],
    images: Records,
    near: NearThreshold | None = None,
    threshold: AlignThreshold | None = None,
    *,
    wanted: Kept = lambda _first, _second: True,
    threads: int = 1,
    progress: Progress = lambda _done, _all: None,
) -> list[NearPair]:
    """Return all near-duplicates among images, sorted; prints and images in the same order.

    ``wanted`` (of two positions) leaves out pairs that need no answer.
    """
    threshold = threshold or AlignThreshold()
    found = {(p.first, p.second): p for p in near_pairs(prints, near, threads=threads)}
    plain = {
        pair: p
        for pair, p in found.items()
        if images["count"][list(pair)].min() < _FEW and wanted(*pair)
    }
    likely = {(int(a), int(b)) for a, b in likely_pairs(images)}
    asked = sorted(pair for pair in likely | set(found) if pair not in plain and wanted(*pair))

    def look(pair: tuple[int, int]) -> NearPair | None:
        first, second = pair
        seen = align(images[first], images[second], threshold.inliers)
        if not seen.passes(threshold):
            return None
        return NearPair(first, second, round(seen.correlation, 4))

    kept = list(plain.values())
    with ThreadPoolExecutor(max(1, threads)) as pool:
        for start in range(0, len(asked), _BATCH):
            progress(start, len(asked))
            results = pool.map(look, asked[start : start + _BATCH])
            kept += [pair for pair in results if pair is not None]
    return sorted(kept, key=lambda pair: (pair.first, pair.second))


def records_of(prints: Sequence[Fingerprint]) -> Records:
    """Return the keypoint records of prints that were made with them."""
    from core.ingest.keypoints import RECORD

    found = np.zeros(len(prints), RECORD)
    for place, one in enumerate(prints):
        if one.keypoints is None:
            raise ValueError(f"Print {place} was made without keypoints")
        found[place] = one.keypoints
    return found
