"""Keypoints: what of an image is found again after a crop, a free turn or another size.

SIFT (Lowe 2004; the patent ended in 2020) at one working size. An image becomes a record of fixed
size, the same in memory and between processes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from core.synthesis.contract import Pixels

SIDE = 128
"""Images are scaled to at most SIDE x SIDE pixels in all, whatever their aspect."""
MOST = 100
"""Keypoints of an image, the strongest."""
BINS = 128
"""Of a descriptor: 4 rows x 4 columns x 8 directions."""

RECORD = np.dtype(
    [
        ("count", "<u2"),
        ("height", "<u2"),
        ("width", "<u2"),
        ("points", "<f4", (MOST, 2)),
        ("descriptors", "u1", (MOST, BINS)),
        ("grey", "u1", (SIDE * SIDE,)),
    ]
)
Record = Any
"""One element of :data:`RECORD`: count keypoints at points (x, y), and height x width grey."""
Records = NDArray[np.void]

_SMALLEST = 16
_CONTRAST, _EDGE = 0.003, 20.0
"""Far below SIFT's usual thresholds: dermoscopy is soft, and the strongest are chosen anyway."""


def keypoints(pixels: Pixels) -> Record:
    """Return the record of decoded pixels; images without texture or below 16 pixels have none."""
    record = np.zeros((), RECORD)
    grey = _working_size(pixels)
    height, width = grey.shape
    record["height"], record["width"] = height, width
    record["grey"][: grey.size] = grey.ravel()
    if min(height, width) >= _SMALLEST:
        found, descriptors = _sift().detectAndCompute(grey, None)
        count = min(len(found), MOST)  # SIFT gives ties beyond the number asked for
        record["count"] = count
        if count:
            record["points"][:count] = [k.pt for k in found[:count]]
            record["descriptors"][:count] = np.clip(descriptors[:count], 0, 255)
    return record


def read_record(data: bytes) -> Record:
    """Read a record that another process made; ValueError when it contradicts itself."""
    record = np.frombuffer(data, RECORD)
    if len(record) != 1:
        raise ValueError("A keypoint record has the wrong length")
    one = record[0]
    area = int(one["height"]) * int(one["width"])
    if not 0 < area <= SIDE * SIDE or one["count"] > MOST or not np.isfinite(one["points"]).all():
        raise ValueError("A keypoint record makes no sense")
    return one


def grey_of(record: Record) -> NDArray[np.uint8]:
    """Return the grey image, height x width."""
    height, width = int(record["height"]), int(record["width"])
    return np.asarray(record["grey"][: height * width]).reshape(height, width)


def rooted(descriptors: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return RootSIFT (Arandjelovic and Zisserman 2012): N x 128 of norm 1."""
    values = descriptors.astype(np.float32)
    values /= np.maximum(values.sum(axis=-1, keepdims=True), 1.0)
    return np.sqrt(values)


@lru_cache(maxsize=1)
def mirrored_bins() -> NDArray[np.intp]:
    """Return which bin of a descriptor stands where in that of the mirrored image.

    A mirror reverses the rows across the keypoint's direction and turns all directions back.
    """
    places = np.arange(BINS).reshape(4, 4, 8)
    return np.asarray(places[::-1][:, :, -np.arange(8) % 8].ravel())


def _working_size(pixels: Pixels) -> NDArray[np.uint8]:
    import cv2

    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) if pixels.ndim == 3 else pixels
    height, width = grey.shape
    factor = SIDE / float(np.sqrt(height * width))
    tall = min(max(1, int(height * factor)), SIDE * SIDE)
    wide = min(max(1, int(width * factor)), SIDE * SIDE // tall)
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(grey, (wide, tall), interpolation=how), dtype=np.uint8)


def _sift() -> Any:
    import cv2

    return cv2.SIFT.create(
        nfeatures=MOST,
        contrastThreshold=_CONTRAST,
        edgeThreshold=_EDGE,
        enable_precise_upscale=True,
    )
