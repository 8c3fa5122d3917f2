"""Perceptual fingerprints: a 64-bit hash that flips and quarter turns permute, and a thumbnail."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from core.synthesis.contract import Pixels

SIDE = 32
"""Side of the thumbnail, pixels."""
BASIS = 8
"""Side of the block of low-frequency cosine coefficients."""
FORMS = 8
"""Flips and quarter turns of a rectangle: form = 4 * transposed + 2 * flipped rows + columns."""

Thumbnail = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """``bits`` are the signs of the cosine coefficients, thumbnail is SIDE x SIDE grey.

    keypoints is the record of :mod:`core.ingest.keypoints`, for the thorough search only.
    """

    bits: int
    thumbnail: Thumbnail
    keypoints: Any = None

    @property
    def text(self) -> str:
        """The hash as 16 hexadecimal digits."""
        return f"{self.bits:016x}"


def fingerprint(pixels: Pixels) -> Fingerprint:
    """Return the fingerprint of decoded pixels.

    The hash holds the signs of the 8 x 8 lowest coefficients of the orthogonal DCT-II of the
    thumbnail, row by row; the bit of the mean is 0. Mirroring an axis only changes the signs of its
    odd coefficients and transposing swaps them, so the hashes of all eight forms of an image follow
    from the hash of one (:func:`forms`).
    """
    import cv2

    while min(pixels.shape[:2]) < SIDE:  # only shrinking is an average
        pixels = pixels.repeat(2, axis=0).repeat(2, axis=1)
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) if pixels.ndim == 3 else pixels
    thumbnail = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    basis = _cosines()
    signs = basis @ (thumbnail - np.float64(thumbnail.mean())) @ basis.T > _NOISE
    signs[0, 0] = False
    bits = int.from_bytes(np.packbits(signs).tobytes(), "big")
    return Fingerprint(bits, np.asarray(thumbnail, dtype=np.uint8))


def forms(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the hashes of the eight forms of each image: N hashes to FORMS x N."""
    rows, columns = _flip_masks()
    plain = [bits, bits ^ columns, bits ^ rows, bits ^ rows ^ columns]
    return np.stack(plain + [_transposed(b) for b in plain])


def apply_form(thumbnails: NDArray[np.float32], form: int) -> NDArray[np.float32]:
    """Apply one form to thumbnails N x SIDE x SIDE, as :func:`forms` does to their hashes."""
    if form & 2:
        thumbnails = thumbnails[:, ::-1]
    if form & 1:
        thumbnails = thumbnails[:, :, ::-1]
    return thumbnails.swapaxes(1, 2) if form & 4 else thumbnails


_NOISE = 1e-6  # of a coefficient that symmetry makes 0: its sign must not depend on rounding


@lru_cache(maxsize=1)
def _cosines() -> NDArray[np.float64]:
    frequency = np.arange(BASIS)[:, None]
    position = (np.arange(SIDE)[None, :] + 0.5) * np.pi / SIDE
    return np.asarray(np.cos(frequency * position))


@lru_cache(maxsize=1)
def _flip_masks() -> tuple[np.uint64, np.uint64]:
    """Return the bits of odd row and of odd column frequencies, without the mean's."""
    odd = np.arange(BASIS) % 2 == 1
    rows = np.repeat(odd[:, None], BASIS, axis=1)
    return _as_word(rows), _as_word(rows.T)


def _as_word(signs: NDArray[np.bool_]) -> np.uint64:
    return np.uint64(int.from_bytes(np.packbits(signs).tobytes(), "big"))


def _transposed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    swapped = bits.astype(">u8").view(np.uint8).reshape(-1, BASIS)
    signs = np.unpackbits(swapped, axis=1).reshape(-1, BASIS, BASIS).swapaxes(1, 2)
    packed = np.packbits(signs.reshape(-1, BASIS * BASIS), axis=1)
    return packed.reshape(-1).view(">u8").astype(np.uint64)
