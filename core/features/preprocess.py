"""From stored pixels to the square that a backbone sees."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from core.synthesis.contract import Pixels

VERSION = "1"
"""Enters the cache key: raise it when the pixels that a network sees change."""

NOISE = 8
"""The view of an image that shows nothing of it."""
COPY = 9
"""The view of an image that shows nothing else: a copy with changes that nobody sees."""

_GAIN = 0.02
"""Largest change of a channel's brightness in a near-copy, as a share."""
_GRAIN = 1.5
"""Standard deviation of the noise on a near-copy, grey levels."""


def square(pixels: Pixels, size: int) -> NDArray[np.uint8]:
    """Return ``size`` x ``size`` x 3: aspect kept, antialiased, padded with the border's median.

    ``pixels`` is H x W x 3 or H x W (repeated to three channels). Shrinking averages over the area
    of each new pixel, enlarging interpolates linearly.
    """
    import cv2

    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, np.newaxis], 3, axis=2)
    height, width = pixels.shape[:2]
    if (height, width) == (size, size):
        return np.ascontiguousarray(pixels)
    rows, columns = placement(height, width, size)
    new_height, new_width = rows.stop - rows.start, columns.stop - columns.start
    method = cv2.INTER_AREA if size < max(height, width) else cv2.INTER_LINEAR
    pixels = np.ascontiguousarray(pixels)
    scaled = cv2.resize(pixels, (new_width, new_height), interpolation=method)
    resized: NDArray[np.uint8] = np.asarray(scaled, dtype=np.uint8)
    if (new_height, new_width) == (size, size):
        return resized
    canvas = np.empty((size, size, 3), dtype=np.uint8)
    canvas[:] = border_median(resized)
    canvas[rows, columns] = resized
    return canvas


def placement(height: int, width: int, size: int) -> tuple[slice, slice]:
    """Return the rows and columns of a square in which an image of this size stands."""
    scale = size / max(height, width)
    new_height, new_width = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (size - new_height) // 2, (size - new_width) // 2
    return slice(top, top + new_height), slice(left, left + new_width)


def border_median(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the median colour of the outermost pixels, one value a channel."""
    edges = (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])
    return np.asarray(np.median(np.concatenate(edges), axis=0), dtype=np.uint8)


def view(pixels: Pixels, number: int, seed: bytes) -> Pixels:
    """Return a view of an image: 0..7 see :func:`dihedral`, NOISE is uniform noise of its size.

    COPY is the image with each channel up to 2 % brighter or darker and a grain of 1.5 grey levels.
    ``seed`` (any bytes; the image's hash) fixes noise and copy.
    """
    if number not in (NOISE, COPY):
        return dihedral(pixels, number)
    rng = np.random.default_rng(np.frombuffer(hashlib.sha256(seed).digest(), np.uint32).tolist())
    if number == NOISE:
        return rng.integers(0, 256, pixels.shape, dtype=np.uint8)
    gain = rng.uniform(1 - _GAIN, 1 + _GAIN, pixels.shape[2:])
    copied = pixels * gain + rng.normal(0, _GRAIN, pixels.shape)
    return np.clip(np.rint(copied), 0, 255).astype(np.uint8)


def dihedral(pixels: Pixels, view: int) -> Pixels:
    """Return one of the 8 flips and quarter turns: ``view % 4`` turns, mirrored first from 4 on."""
    if not 0 <= view < 8:
        raise ValueError(f"view must be 0..7, not {view}")
    mirrored = pixels[:, ::-1] if view >= 4 else pixels
    return np.rot90(mirrored, view % 4)
