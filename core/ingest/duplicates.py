"""Near-duplicates: images that show the same photograph, whatever its form, size or compression.

Two images are near-duplicates when their hashes differ in at most ``hash_bits`` of 63 bits in one
of the eight flips and quarter turns, and their thumbnails in that form correlate at least
``correlation``. The hash finds candidates quickly, the thumbnail decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.ingest.fingerprints import FORMS, SIDE, Fingerprint, apply_form, forms

_ROWS, _COLUMNS = 64, 4096
"""Hashes compared at a time: 2 MB of differences a thread, whatever the number of images."""
_PAIRS = 256
"""Candidate pairs whose thumbnails are compared at a time: 2 MB, so as a core's cache holds."""
_FLAT = 1.0
"""Grey levels of standard deviation below which a thumbnail shows nothing to compare."""


@dataclass(frozen=True, slots=True)
class NearThreshold:
    """When two images are near-duplicates; reported with every dataset version."""

    hash_bits: int = 10
    correlation: float = 0.98

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class NearPair:
    """Two near-duplicates by their positions, first < second."""

    first: int
    second: int
    correlation: float


Candidates = NDArray[np.int64]
"""M x 3: first, second, form."""


def near_pairs(
    prints: Sequence[Fingerprint],
    threshold: NearThreshold | None = None,
    *,
    threads: int = 1,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> list[NearPair]:
    """Return all near-duplicate pairs, sorted; each pair once, at its best form.

    Quadratic in time at about 10^9 comparisons of hashes a second and thread, constant in memory.
    """
    threshold = threshold or NearThreshold()
    bits = np.array([p.bits for p in prints], dtype=np.uint64)
    shades = normalised([p.thumbnail for p in prints])
    best: dict[tuple[int, int], float] = {}
    for found in candidates(bits, bits, threshold.hash_bits, threads=threads, progress=progress):
        ordered = found[found[:, 0] < found[:, 1]]
        for pairs in _chunks(ordered):
            values = correlations(shades[pairs[:, 0]], shades[pairs[:, 1]], pairs[:, 2])
            for (first, second, _), value in zip(pairs.tolist(), values.tolist(), strict=True):
                if value >= threshold.correlation:
                    best[first, second] = max(value, best.get((first, second), -1.0))
    return [NearPair(a, b, round(value, 4)) for (a, b), value in sorted(best.items())]


def candidates(
    left: NDArray[np.uint64],
    right: NDArray[np.uint64],
    hash_bits: int,
    *,
    threads: int = 1,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Iterator[Candidates]:
    """Yield (i, j, form) whose hashes are near, block by block; form applies to the right image.

    When left is right, pairs below the diagonal are left out.
    """
    same = left is right
    turned = forms(right)
    starts = range(0, len(left), _ROWS)

    def block(start: int) -> Candidates:
        rows = left[start : start + _ROWS, None]
        parts = [np.empty((0, 3), np.int64)]
        for column in range(start if same else 0, len(right), _COLUMNS):
            for form in range(FORMS):
                differ = np.bitwise_count(rows ^ turned[form, column : column + _COLUMNS])
                hits = np.flatnonzero(differ <= hash_bits)  # much faster than in two dimensions
                if len(hits):
                    row, place = np.divmod(hits, differ.shape[1])
                    applied = np.full(len(hits), form)
                    parts.append(np.column_stack((row + start, place + column, applied)))
        return np.concatenate(parts)

    with ThreadPoolExecutor(max(1, threads)) as pool:
        for group in range(0, len(starts), threads):
            yield from pool.map(block, starts[group : group + threads])
            progress(min(len(left), starts[group] + _ROWS * threads), len(left))


def correlations(
    left: NDArray[np.float32], right: NDArray[np.float32], applied: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return Pearson's r of pairs of normalised thumbnails, the right one in its form.

    Flat thumbnails correlate with nothing (0).
    """
    values = np.zeros(len(left), np.float32)
    for form in np.unique(applied).tolist():
        at = np.flatnonzero(applied == form)
        turned = apply_form(right[at], form)
        values[at] = np.einsum("nij,nij->n", left[at], turned)
    return values


def normalised(thumbnails: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Return thumbnails N x SIDE x SIDE with mean 0 and norm 1; flat ones are all 0."""
    if not thumbnails:
        return np.zeros((0, SIDE, SIDE), np.float32)
    shades = np.stack(thumbnails).astype(np.float32)
    shades -= shades.mean(axis=(1, 2), keepdims=True)
    norms = np.sqrt((shades**2).sum(axis=(1, 2), keepdims=True))
    norms[norms < _FLAT * SIDE] = np.inf
    return np.asarray(shades / norms, dtype=np.float32)


def _chunks(found: Candidates) -> Iterator[Candidates]:
    for start in range(0, len(found), _PAIRS):
        yield found[start : start + _PAIRS]
