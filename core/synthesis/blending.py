"""Lays a lesion over other skin: by optical density, by Poisson's equation, or as it is.

Images are log of linear light, H x W x 3. A matte is 0..1, 1 on the lesion.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from core.synthesis.segmentation import Floats, Inside

Blend = Literal["density", "poisson", "paste"]

_THROUGH = 0.05
"""Share of the light that comes back whatever the lesion absorbs: the surface's reflection."""
_GLARE = 0.35
"""Most that a lesion may be brighter than its skin, in log light."""


def optical_density(log: Floats, healthy: Floats) -> Floats:
    """Return what a lesion absorbs beyond the skin it lies on (Beer-Lambert), natural log.

    Glare is negative density, compressed to -0.35 at most.
    """
    density = healthy - log
    glare = -_GLARE * (1 - np.exp(np.minimum(density, 0) / _GLARE))
    return np.asarray(np.where(density < 0, glare, density), np.float32)


def matte(inside: Inside, softness: float) -> Floats:
    """Return a matte whose border is ``softness`` pixels wide, centred a little outside."""
    drawn = inside.astype(np.uint8)
    outward = cv2.distanceTransform(1 - drawn, cv2.DIST_L2, 3)
    inward = cv2.distanceTransform(np.pad(drawn, 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    t = np.clip(0.7 + (inward - outward) / max(softness, 1.0), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def lay(skin: Floats, density: Floats, over: Floats) -> Floats:
    """Lay density over skin: light x (0.05 + 0.95 exp(-density))."""
    return np.asarray(skin - absorbed(density * over[..., None]), np.float32)


def absorbed(density: Floats) -> Floats:
    """Return by how much log light falls below a density: some comes back from above it."""
    return np.asarray(-np.log(_THROUGH + (1 - _THROUGH) * np.exp(-density)), np.float32)


def paste(skin: Floats, lesion: Floats, over: Floats) -> Floats:
    """Show the donor's own pixels where the matte is 1."""
    weight = over[..., None]
    return np.asarray(skin * (1 - weight) + lesion * weight, np.float32)


def poisson(skin: Floats, lesion: Floats, over: Floats) -> Floats:
    """Join the lesion's gradients to the skin's values (Perez, Gangnet and Blake 2003).

    Solved exactly on the rectangle by sine transforms, in log light: there the result is the
    lesion times a smooth factor, and a dark skin does not clip it to black.
    """
    from scipy.fft import dstn, idstn

    weight = over[..., None]
    down = np.diff(skin, axis=0) * (1 - _between(weight, 0)) + np.diff(lesion, axis=0) * _between(
        weight, 0
    )
    right = np.diff(skin, axis=1) * (1 - _between(weight, 1)) + np.diff(lesion, axis=1) * _between(
        weight, 1
    )
    wanted = np.diff(down, axis=0)[:, 1:-1] + np.diff(right, axis=1)[1:-1]
    edge = skin.copy()
    edge[1:-1, 1:-1] = 0
    wanted = wanted - (edge[:-2, 1:-1] + edge[2:, 1:-1] + edge[1:-1, :-2] + edge[1:-1, 2:])
    rows, columns = wanted.shape[:2]
    by_row = 2 * np.cos(np.pi * np.arange(1, rows + 1) / (rows + 1)) - 2
    by_column = 2 * np.cos(np.pi * np.arange(1, columns + 1) / (columns + 1)) - 2
    spectrum = dstn(wanted.astype(np.float64), type=1, axes=(0, 1))
    solved = idstn(spectrum / (by_row[:, None] + by_column)[..., None], type=1, axes=(0, 1))
    joined = skin.copy()
    joined[1:-1, 1:-1] = solved
    return joined


def _between(weight: Floats, axis: int) -> Floats:
    first, second = (weight[:-1], weight[1:]) if axis == 0 else (weight[:, :-1], weight[:, 1:])
    return np.asarray((first + second) / 2, np.float32)
