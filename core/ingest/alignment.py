"""Whether two images show the same photograph: one is laid over the other, and compared there.

Keypoints that match both ways vote for a similarity transform (RANSAC; Fischler and Bolles 1981),
with and without a mirror. Dark lesions on light skin look alike when blurred, so what is correlated
is their fine texture only.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.ingest.keypoints import Record, grey_of, mirrored_bins, rooted

_ALIKE = 0.85
"""Smallest cosine of matching descriptors."""
_TOLERANCE = 3.0
"""Pixels at the working size that a keypoint may lie off."""
_ROUNDS = 500
_SCALES = (0.4, 2.5)
_OVERLAP = 0.2
"""Smallest share of the first image that the second must cover."""
_FINE, _COARSE = 1.0, 5.0
"""Standard deviations, in pixels at the working size, between which texture is compared."""
_EDGE = 4


@dataclass(frozen=True, slots=True)
class AlignThreshold:
    """When aligned images are near-duplicates; calibrated by tests/bench/duplicates.py."""

    inliers: int = 12
    correlation: float = 0.3

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Alignment:
    """Keypoints that agree on one transform, and Pearson's r of the texture under it."""

    inliers: int = 0
    correlation: float = 0.0

    def passes(self, threshold: AlignThreshold) -> bool:
        return self.inliers >= threshold.inliers and self.correlation >= threshold.correlation


def align(first: Record, second: Record, fewest: int = 3) -> Alignment:
    """Lay second over first, mirrored if that fits better; fewer than ``fewest`` agree: nothing."""
    best, fit = 0, None
    ours = rooted(first["descriptors"][: first["count"]])
    theirs = rooted(second["descriptors"][: second["count"]])
    if min(len(ours), len(theirs)) < max(fewest, 3):
        return Alignment()
    for mirrored in (False, True):
        turned = theirs[:, mirrored_bins()] if mirrored else theirs
        here, there = _matches(ours, turned)
        if len(here) < max(fewest, 3):
            continue
        points = np.array(second["points"][there])
        if mirrored:
            points[:, 0] = int(second["width"]) - 1 - points[:, 0]
        transform, inliers = _transform(points, first["points"][here])
        if inliers > best and transform is not None:
            best, fit = inliers, (transform, mirrored)
    if fit is None or best < fewest:
        return Alignment(best)
    transform, mirrored = fit
    laid = grey_of(second)[:, ::-1] if mirrored else grey_of(second)
    return Alignment(best, _texture_correlation(grey_of(first), laid, transform))


def _matches(
    ours: NDArray[np.float32], theirs: NDArray[np.float32]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return pairs of descriptors that are each other's nearest, and near."""
    likeness = ours @ theirs.T
    rows = np.arange(len(ours))
    nearest = likeness.argmax(axis=1)
    mutual = likeness.argmax(axis=0)[nearest] == rows
    kept = mutual & (likeness[rows, nearest] > _ALIKE)
    return rows[kept], nearest[kept]


def _transform(
    source: NDArray[np.float32], target: NDArray[np.float32]
) -> tuple[NDArray[np.float64] | None, int]:
    """Return the similarity (2 x 3) that most points agree on, and how many do."""
    import cv2

    transform, agree = cv2.estimateAffinePartial2D(
        source,
        np.ascontiguousarray(target),
        method=cv2.RANSAC,
        ransacReprojThreshold=_TOLERANCE,
        maxIters=_ROUNDS,
    )
    if transform is None:
        return None, 0
    scale = float(np.hypot(transform[0, 0], transform[1, 0]))
    if not _SCALES[0] <= scale <= _SCALES[1]:
        return None, 0
    return np.asarray(transform), int(agree.sum())


def _texture_correlation(
    first: NDArray[np.uint8], second: NDArray[np.uint8], transform: NDArray[np.float64]
) -> float:
    """Return r of the band-passed images where both are; 0 where too little or nothing is."""
    import cv2

    size = (first.shape[1], first.shape[0])
    laid = np.asarray(cv2.warpAffine(second.astype(np.float32), transform, size), np.float32)
    covered = cv2.warpAffine(np.ones(second.shape, np.float32), transform, size) > 1 - 1e-3
    kernel = np.ones((2 * _EDGE + 1, 2 * _EDGE + 1), np.uint8)
    inside = cv2.erode(covered.astype(np.uint8), kernel) > 0
    if inside.mean() < _OVERLAP:
        return 0.0
    weight = covered.astype(np.float32)
    left = _texture(first.astype(np.float32), weight)[inside]
    right = _texture(laid, weight)[inside]
    left, right = left - left.mean(), right - right.mean()
    norm = float(np.sqrt((left @ left) * (right @ right)))
    return float(left @ right) / norm if norm > 0 else 0.0


def _texture(image: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the image without its coarse shading and without its grain."""
    import cv2

    around = np.maximum(cv2.GaussianBlur(weight, (0, 0), _COARSE), 1e-3)
    shading = cv2.GaussianBlur(image * weight, (0, 0), _COARSE) / around
    return np.asarray(cv2.GaussianBlur(image, (0, 0), _FINE) - shading, dtype=np.float32)
