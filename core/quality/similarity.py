"""Structural similarity of two images of one size: SSIM and MS-SSIM, Wang et al. 2003 and 2004.

Gaussian window of 11 x 11 pixels (sigma 1.5), population covariance, range 255, colour channels
averaged; the same settings of scikit-image (SSIM) agree within 1e-6, those of
pytorch-msssim (MS-SSIM, its window is float32) within 5e-6.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.synthesis.contract import Pixels

Mask = NDArray[np.bool_]
Plane = NDArray[np.float64]
RADIUS = 5
SIGMA = 1.5
LONGEST = 1024
"""Larger images are compared at this many pixels on the longer side, averaged over areas."""
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales, finest first."""


def ssim(first: Pixels, second: Pixels, valid: Mask | None = None) -> float | None:
    """Return the mean SSIM, -1..1, over the windows that lie in the image and in ``valid``.

    Both images have one size (a grey one is repeated for a colour one). None when no whole window
    is left.
    """
    a, b, inside = prepared(first, second, valid, LONGEST)
    whole = _whole_windows(inside)
    if not whole.any():
        return None
    luminance, structure = _maps(a.astype(np.float64), b.astype(np.float64))
    return float((luminance * structure)[whole].mean())


def ms_ssim(first: Pixels, second: Pixels, valid: Mask | None = None) -> float | None:
    """Return the MS-SSIM, 0..1: the structure at five scales, the luminance at the coarsest.

    Each scale halves the last one (mean of 2 x 2 pixels). None when a scale has no whole window:
    always below 176 pixels on the shorter side. Structure below zero counts as zero.
    Channels are averaged last.
    """
    a, b, inside = prepared(first, second, valid, LONGEST)
    x, y = a.astype(np.float64), b.astype(np.float64)
    values: Plane = np.ones(x.shape[2:])
    for scale, weight in enumerate(SCALE_WEIGHTS):
        if scale:
            x, y, inside = _halved(x), _halved(y), _halved(inside.astype(np.float64)) == 1
        whole = _whole_windows(inside)
        if not whole.any():
            return None
        luminance, structure = _maps(x, y)
        last = scale == len(SCALE_WEIGHTS) - 1
        part = (luminance * structure if last else structure)[whole].mean(axis=0)
        values = values * np.maximum(part, 0) ** weight
    return float(values.mean())


def prepared(
    first: Pixels, second: Pixels, valid: Mask | None, longest: int
) -> tuple[Pixels, Pixels, Mask]:
    """Return both images with the same channels, and the mask, at most ``longest`` pixels long.

    ValueError when they differ in size.
    """
    a, b = _alike(first, second)
    if a.shape != b.shape:
        raise ValueError(f"images of unlike size: {first.shape} and {second.shape}")
    inside = np.ones(a.shape[:2], dtype=bool) if valid is None else valid
    if max(inside.shape) > longest:
        scale = longest / max(inside.shape)
        inside = shrunk(255 * inside.astype(np.uint8), scale) == 255
        a, b = shrunk(a, scale), shrunk(b, scale)
    return a, b, inside


def shrunk(pixels: Pixels, scale: float) -> Pixels:
    """Return the image at ``scale`` (below 1) of its size, each pixel the mean over its area."""
    import cv2

    height, width = pixels.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _alike(first: Pixels, second: Pixels) -> tuple[Pixels, Pixels]:
    """Give a grey image three channels when the other one has them."""
    if first.ndim == second.ndim:
        return first, second
    grey, colour = (first, second) if first.ndim == 2 else (second, first)
    grey = np.repeat(grey[:, :, np.newaxis], 3, axis=2)
    return (grey, colour) if first.ndim == 2 else (colour, grey)


def _whole_windows(inside: Mask) -> Mask:
    """Return where a whole window lies in the image and in the mask."""
    import cv2

    window = np.ones((2 * RADIUS + 1, 2 * RADIUS + 1), dtype=np.uint8)
    whole = cv2.erode(
        inside.astype(np.uint8), window, borderType=cv2.BORDER_CONSTANT, borderValue=0
    )
    return np.asarray(whole).astype(bool)


def _maps(a: Plane, b: Plane) -> tuple[Plane, Plane]:
    """Return luminance and structure (contrast included) per pixel and channel.

    SSIM is their product; borders are not meaningful.
    """
    mean_a, mean_b = _blurred(a), _blurred(b)
    var_a = _blurred(a * a) - mean_a**2
    var_b = _blurred(b * b) - mean_b**2
    both = _blurred(a * b) - mean_a * mean_b
    luminance: Plane = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    structure: Plane = (2 * both + C2) / (var_a + var_b + C2)
    return luminance, structure


def _blurred(values: Plane) -> Plane:
    import cv2

    side = 2 * RADIUS + 1
    return np.asarray(cv2.GaussianBlur(values, (side, side), SIGMA), dtype=np.float64)


def _halved(values: Plane) -> Plane:
    """Return the means of 2 x 2 pixels; an odd last row or column is left out."""
    height, width = values.shape[0] // 2, values.shape[1] // 2
    even = values[: 2 * height, : 2 * width]
    shape = (height, 2, width, 2, *values.shape[2:])
    result: Plane = even.reshape(shape).mean(axis=(1, 3))
    return result
