"""Hairs over skin: thin dark lines that are longer than they are wide.

A lesion that is lifted from under hairs, or laid over hairs, shows where they are cut.
"""

from __future__ import annotations

import cv2
import numpy as np

from core.synthesis.contract import Pixels
from core.synthesis.segmentation import Inside

_SIDE = 256
"""Pixels a side of the copy that is looked at."""
_WIDTH = 9
"""More pixels of the copy than a hair is wide."""
_DARKER = 12
"""Least that a hair is darker than what is beside it, grey levels."""
_LENGTH = 16.0
_SLENDER = 2.0
"""Most mean distance of a hair's pixels from its edge, pixels of the copy; hairs may cross."""


def hair_share(pixels: Pixels, where: Inside) -> float:
    """Return the share of ``where`` that lies under hairs, 0..1; 0 where there is nothing.

    Above 0.005 hairs are plainly seen (looked at on 48 images of HAM10000).
    """
    return float(hairs(pixels)[where].mean()) if where.any() else 0.0


def hairs(pixels: Pixels) -> Inside:
    """Return where an RGB image shows hairs, by the black top hat of a small copy of it."""
    height, width = pixels.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    grey = cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), (0, 0), 0.7)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_WIDTH, _WIDTH))
    lines = (cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, disc) > _DARKER).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(lines)
    deep = cv2.distanceTransform(np.pad(lines, 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    depth = np.bincount(labels.ravel(), deep.ravel()) / stats[:, cv2.CC_STAT_AREA]
    length = np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
    long = (length >= _LENGTH) & (depth <= _SLENDER)
    long[0] = False
    found = cv2.resize(
        long[labels].astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST
    )
    return np.asarray(found > 0)
