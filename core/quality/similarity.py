"""Structural similarity (SSIM) of an image and its source, Wang et al. 2004.

Gaussian window of 11 x 11 pixels (sigma 1.5), population covariance, range 255, colour channels
averaged; the same settings of scikit-image agree within 1e-6.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.synthesis.contract import Pixels

RADIUS = 5
SIGMA = 1.5
LONGEST = 1024
"""Larger images are compared at this many pixels on the longer side, averaged over areas."""
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def ssim(first: Pixels, second: Pixels, valid: NDArray[np.bool_] | None = None) -> float | None:
    """Return the mean SSIM, -1..1, over the windows that lie in the image and in ``valid``.

    Both images have one size (a grey one is repeated for a colour one). None when no whole window
    is left.
    """
    import cv2

    a, b = _alike(first, second)
    if a.shape != b.shape:
        raise ValueError(f"images of unlike size: {first.shape} and {second.shape}")
    inside = np.ones(a.shape[:2], dtype=np.uint8)
    if valid is not None:
        inside &= valid.astype(np.uint8)
    if max(inside.shape) > LONGEST:
        a, b, inside = _shrunk(a), _shrunk(b), (_shrunk(255 * inside) == 255).astype(np.uint8)
    window = np.ones((2 * RADIUS + 1, 2 * RADIUS + 1), dtype=np.uint8)
    whole = cv2.erode(inside, window, borderType=cv2.BORDER_CONSTANT, borderValue=0).astype(bool)
    if not whole.any():
        return None
    return float(_ssim_map(a.astype(np.float64), b.astype(np.float64))[whole].mean())


def aligned_ssim(image: Pixels, source: Pixels, transform: NDArray[np.float64]) -> float | None:
    """Return the SSIM of an image and its source moved by the recorded 3 x 3 transform.

    The transform maps source to image coordinates (x, y, 1), pixel centres at integers. Only where
    the source has pixels counts; None when nowhere a whole window of it lies in the image.
    """
    import cv2

    height, width = image.shape[:2]
    moved = cv2.warpPerspective(source, transform, (width, height), flags=cv2.INTER_LINEAR)
    present = np.ones(source.shape[:2], dtype=np.float32)
    cover = cv2.warpPerspective(present, transform, (width, height), flags=cv2.INTER_LINEAR)
    return ssim(image, np.asarray(moved, dtype=np.uint8), cover > 0.999)


def raw_ssim(first: Pixels, second: Pixels) -> float | None:
    """Return the SSIM of two images as they are, both padded with black to one size, centred."""
    height = max(first.shape[0], second.shape[0])
    width = max(first.shape[1], second.shape[1])
    return ssim(_padded(first, height, width), _padded(second, height, width))


def _padded(pixels: Pixels, height: int, width: int) -> Pixels:
    top, left = (height - pixels.shape[0]) // 2, (width - pixels.shape[1]) // 2
    canvas = np.zeros((height, width, *pixels.shape[2:]), dtype=np.uint8)
    canvas[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return canvas


def _shrunk(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    scale = LONGEST / max(pixels.shape[:2])
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _alike(first: Pixels, second: Pixels) -> tuple[Pixels, Pixels]:
    """Give a grey image three channels when the other one has them."""
    if first.ndim == second.ndim:
        return first, second
    grey, colour = (first, second) if first.ndim == 2 else (second, first)
    grey = np.repeat(grey[:, :, np.newaxis], 3, axis=2)
    return (grey, colour) if first.ndim == 2 else (colour, grey)


def _ssim_map(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return SSIM per pixel and channel; borders are not meaningful."""
    mean_a, mean_b = _blurred(a), _blurred(b)
    var_a = _blurred(a * a) - mean_a**2
    var_b = _blurred(b * b) - mean_b**2
    both = _blurred(a * b) - mean_a * mean_b
    top = (2 * mean_a * mean_b + C1) * (2 * both + C2)
    result: NDArray[np.float64] = top / ((mean_a**2 + mean_b**2 + C1) * (var_a + var_b + C2))
    return result


def _blurred(values: NDArray[np.float64]) -> NDArray[np.float64]:
    import cv2

    side = 2 * RADIUS + 1
    return np.asarray(cv2.GaussianBlur(values, (side, side), SIGMA), dtype=np.float64)
