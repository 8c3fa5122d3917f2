"""How far a predicted mask and a true one lie over each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.features.preprocess import placement

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SCORED = 2048
"""Longest side in pixels that masks are compared at; larger ones are scaled down to it."""
THRESHOLD = 0.5
"""Probability from which a pixel counts as lesion."""
INSIDE = 128


@dataclass(frozen=True, slots=True)
class Overlap:
    """Pixels of an image by what was predicted and what is true."""

    true_positive: int
    false_positive: int
    false_negative: int
    pixels: int

    @property
    def dice(self) -> float:
        """2 TP / (2 TP + FP + FN) (Dice 1945); 1 for two empty masks."""
        total = 2 * self.true_positive + self.false_positive + self.false_negative
        return 2 * self.true_positive / total if total else 1.0

    @property
    def iou(self) -> float:
        """TP / (TP + FP + FN) (Jaccard 1912); 1 for two empty masks."""
        total = self.true_positive + self.false_positive + self.false_negative
        return self.true_positive / total if total else 1.0


def overlap(predicted: NDArray[Any], truth: NDArray[Any]) -> Overlap:
    """Count two boolean masks of one shape."""
    both = int((predicted & truth).sum())
    return Overlap(both, int(predicted.sum()) - both, int(truth.sum()) - both, truth.size)


def compare(chances: NDArray[np.float32], mask: NDArray[np.uint8]) -> Overlap:
    """Compare a square of probabilities with an image's own mask, at the mask's own size.

    chances: s x s, as the network saw the image; mask: H x W, at least 128 inside. The part of the
    square in which the image stands is scaled (linear) to H x W, at most SCORED pixels a side.
    """
    import cv2
    import numpy as np

    height, width = mask.shape
    scale = min(1.0, SCORED / max(height, width))
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        mask = np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA), np.uint8)
    rows, columns = placement(height, width, len(chances))
    shown = np.ascontiguousarray(chances[rows, columns])
    large = cv2.resize(shown, mask.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return overlap(np.asarray(large) >= THRESHOLD, mask >= INSIDE)
