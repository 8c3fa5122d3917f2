"""The floor that a standing body casts its shadow on, below and before a procedural background."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from core.rendering.camera import Camera
from core.rendering.raycast import Floats

_FLOOR = 0xF100
"""Seed of the floor beside that of its background."""
_TOUCHING, _LOW = 0.03, 0.35
"""Metres above the floor up to which a body darkens it below itself, and around."""
_REACH, _CELLS = 1.5, 150
"""Metres around the body's axis that are darkened, and the cells across them."""
_SOFT = 1.2
"""Softness of the line between floor and wall, standard deviation in pixels at 512."""


def with_floor(behind: Floats, camera: Camera, seed: int, vertices: NDArray[Any]) -> Floats:
    """Return the background (H, W, 3) with a floor at z = 0, where the camera looks down on it.

    ``vertices`` (V, 3) are those of the body, metres. The wall stands across the way the camera
    looks, behind the body; where the floor ends, the background goes on.
    """
    rng = np.random.default_rng([seed, _FLOOR])
    gap, level, depth = rng.uniform(0.3, 1.6), rng.uniform(0.35, 0.95), rng.uniform(0.35, 0.7)
    directions = camera.directions().astype(np.float64)
    sinking = np.minimum(directions[..., 2], -1e-9)
    away = -camera.position[2] / sinking
    place = camera.position[:2] + away[..., None] * directions[..., :2]
    forward = camera.rotation[2][:2] / max(float(np.linalg.norm(camera.rotation[2][:2])), 1e-9)
    floor = (directions[..., 2] < 0) & (place @ forward < gap + vertices[:, :2].mean(0) @ forward)
    if not floor.any():
        return behind
    share = floor.astype(np.float32)
    share = np.asarray(cv2.GaussianBlur(share, (0, 0), _SOFT * min(share.shape) / 512), np.float32)
    colour = np.median(behind.reshape(-1, 3), axis=0) * level * (1 + rng.normal(0, 0.06, 3))
    shadow = 1 - depth * _looked_up(_darkened(vertices), place)
    lit = np.asarray(shadow[..., None] * np.clip(colour, 0.005, None), np.float32)
    return np.asarray(behind + (lit - behind) * share[..., None], np.float32)


def _darkened(vertices: NDArray[Any]) -> Floats:
    """Return how much of the light above each cell of the floor a body takes, 0..1.

    What touches the floor takes it nearby, what is low takes it around.
    """
    summed = np.zeros((_CELLS, _CELLS), np.float32)
    for highest, spread, strength in ((_TOUCHING, 0.03, 0.75), (_LOW, 0.14, 0.9)):
        low = vertices[vertices[:, 2] < highest]
        bounds = ((-_REACH, _REACH), (-_REACH, _REACH))
        cells = np.histogram2d(low[:, 1], low[:, 0], _CELLS, bounds)[0] > 0
        sigma = spread * _CELLS / (2 * _REACH)
        summed += strength * cv2.GaussianBlur(cells.astype(np.float32), (0, 0), sigma)
    return np.asarray(np.minimum(summed, 1), np.float32)


def _looked_up(cells: Floats, place: NDArray[np.float64]) -> Floats:
    """Return the bilinear value of cells at places (H, W, 2) in metres, 0 beyond them."""
    grid = ((np.clip(place, -9, 9) + _REACH) / (2 * _REACH) * _CELLS - 0.5).astype(np.float32)
    x, y = np.ascontiguousarray(grid[..., 0]), np.ascontiguousarray(grid[..., 1])
    return np.asarray(cv2.remap(cells, x, y, cv2.INTER_LINEAR, borderValue=0), np.float32)
