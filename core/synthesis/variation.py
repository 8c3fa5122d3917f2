"""How a transplanted lesion differs from its donor, and the skin from its target.

Everything is drawn as numbers first, so that provenance replays it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from core.synthesis.segmentation import Floats

_MELANIN = np.array([0.62, 0.98, 1.40], np.float32)
"""Absorption of melanin in the red, green and blue of a camera, an effective slope near
wavelength^-2 as in vivo, mean 1."""
_BLOOD = np.array([0.10, 1.55, 1.35], np.float32)
"""Absorption of haemoglobin in the same channels, mean 1."""


def shift_tone(log: Floats, melanin: float, blood: float) -> Floats:
    """Return skin with more (positive) or less melanin and blood; optical densities."""
    return np.asarray(log - melanin * _MELANIN - blood * _BLOOD, np.float32)


def relight(log: Floats, step: Mapping[str, Any]) -> Floats:
    """Return the photograph under another light: exposure, white balance, a slope across it.

    ``exposure`` and ``balance`` are natural logs; ``slope`` is the change from edge to edge. The
    exposure is lower where more than 1 % of a channel would be white: a camera would see to that.
    """
    height, width = log.shape[:2]
    x = np.linspace(-0.5, 0.5, width, dtype=np.float32)[None, :]
    y = np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None]
    slope = step["slope"][0] * x + step["slope"][1] * y
    lit = log + np.array(step["balance"], np.float32) + slope[..., None].astype(np.float32)
    brightest = float(np.percentile(lit[::2, ::2], 99, axis=(0, 1)).max())
    return np.asarray(lit + np.float32(min(step["exposure"], -brightest)), np.float32)


def bend(shape: tuple[int, int], strength: float, seed: int) -> tuple[Floats, Floats]:
    """Return smooth random shifts in x and y, pixels, of standard deviation ``strength``.

    The border of a lesion follows them; a bump is about a fifth of the shape wide.
    """
    rng = np.random.default_rng(seed)
    height, width = shape
    grids = rng.standard_normal((2, 6, 6)).astype(np.float32)
    x, y = (
        np.asarray(cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)
        for grid in grids
    )
    return strength * x, strength * y


def warp(
    images: tuple[Floats, ...],
    matrix: NDArray[np.float64],
    size: tuple[int, int],
    edge: tuple[Floats, Floats],
) -> list[Floats]:
    """Map images into a frame of (width, height); beyond their edge they are zero.

    ``matrix`` (2 x 3) maps donor to target coordinates; ``edge`` are shifts in the target's frame.
    """
    width, height = size
    back = cv2.invertAffineTransform(matrix)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = x + edge[0], y + edge[1]
    from_x = np.asarray(back[0, 0] * x + back[0, 1] * y + back[0, 2], np.float32)
    from_y = np.asarray(back[1, 0] * x + back[1, 1] * y + back[1, 2], np.float32)
    shrink = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    blur = 0.5 * (1 / shrink - 1) if shrink < 0.9 else 0.0
    found = []
    for image in images:
        smooth = cv2.GaussianBlur(image, (0, 0), blur) if blur > 0.2 else image
        found.append(
            np.asarray(
                cv2.remap(smooth, from_x, from_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT),
                np.float32,
            )
        )
    return found


def placement(
    donor: tuple[float, float],
    target: tuple[float, float],
    scale: float,
    degrees: float,
    flip: bool,
) -> NDArray[np.float64]:
    """Return the 2 x 3 matrix that turns and scales about ``donor`` and moves it to ``target``."""
    angle = np.radians(degrees)
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    if flip:
        turn = turn @ np.diag([-1.0, 1.0])
    shift = np.array(target) - turn @ np.array(donor)
    return np.concatenate([turn, shift[:, None]], axis=1)
