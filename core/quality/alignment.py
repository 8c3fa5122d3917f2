"""Two images brought to one size, so that they can be compared pixel by pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.quality.similarity import shrunk
from core.synthesis.contract import Pixels


@dataclass(frozen=True, slots=True)
class Aligned:
    """Two images of one size; ``valid`` is where both have pixels."""

    first: Pixels
    second: Pixels
    valid: NDArray[np.bool_]


def aligned(image: Pixels, source: Pixels, transform: NDArray[np.float64]) -> Aligned:
    """Return an image and its source moved by the recorded 3 x 3 transform.

    The transform maps source to image coordinates (x, y, 1), pixel centres at integers. Both are
    brought to the coarser of the two resolutions first, averaged over areas: otherwise the one that
    has lost detail would be compared with detail, or with aliases of it.
    """
    import cv2

    scale = _scale(transform, source)
    if scale < 1:
        source, step = _coarser(source, scale)
        transform = transform @ np.linalg.inv(step)
    elif scale > 1:
        image, step = _coarser(image, 1 / scale)
        transform = step @ transform
    height, width = image.shape[:2]
    moved = cv2.warpPerspective(source, transform, (width, height), flags=cv2.INTER_LINEAR)
    present = np.ones(source.shape[:2], dtype=np.float32)
    cover = cv2.warpPerspective(present, transform, (width, height), flags=cv2.INTER_LINEAR)
    return Aligned(image, np.asarray(moved, dtype=np.uint8), np.asarray(cover) > 0.999)


def padded(first: Pixels, second: Pixels) -> Aligned:
    """Return two images as they are, both padded with black to one size, centred."""
    height = max(first.shape[0], second.shape[0])
    width = max(first.shape[1], second.shape[1])
    everywhere = np.ones((height, width), dtype=bool)
    return Aligned(_framed(first, height, width), _framed(second, height, width), everywhere)


def _scale(transform: NDArray[np.float64], source: Pixels) -> float:
    """Return how many image pixels one source pixel becomes, a side, at the source's centre.

    1 where that is not defined, and within a thousandth of it.
    """
    x, y = (source.shape[1] - 1) / 2, (source.shape[0] - 1) / 2
    u, v, w = transform @ np.array([x, y, 1.0])
    if abs(w) < 1e-9:
        return 1.0
    rows = transform[:2, :2] / w - np.outer([u, v], transform[2, :2]) / w**2
    scale = float(np.sqrt(abs(np.linalg.det(rows))))
    return scale if scale > 1e-6 and abs(scale - 1) > 1e-3 else 1.0


def _coarser(pixels: Pixels, scale: float) -> tuple[Pixels, NDArray[np.float64]]:
    """Return the shrunk image and the matrix that maps old pixel coordinates to its own."""
    small = shrunk(pixels, scale)
    x, y = small.shape[1] / pixels.shape[1], small.shape[0] / pixels.shape[0]
    return small, np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1.0]])


def _framed(pixels: Pixels, height: int, width: int) -> Pixels:
    top, left = (height - pixels.shape[0]) // 2, (width - pixels.shape[1]) // 2
    canvas = np.zeros((height, width, *pixels.shape[2:]), dtype=np.uint8)
    canvas[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return canvas
