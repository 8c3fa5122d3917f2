"""What a view says of the surface: how large its pixels are on it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.rendering.camera import Camera
from core.rendering.raycast import View


def pixel_areas(view: View, camera: Camera) -> NDArray[np.float64]:
    """Return the surface's area in each pixel (H, W), square metres; 0 where there is no body.

    depth^2 / (focal^2 |n . d|) with d the pixel's direction, 1 along the axis.
    """
    directions = camera.directions()[view.first : view.last]
    facing = np.abs(np.einsum("ijk,ijk->ij", directions, view.normal))
    flat = (view.depth.astype(np.float64) / camera.focal) ** 2
    return np.asarray(np.where(view.body, flat / np.maximum(facing, 1e-3), 0.0))


def incidence(view: View, camera: Camera) -> NDArray[np.float64]:
    """Return the cosine between the surface's normal and the way to the camera (H, W)."""
    directions = camera.directions()[view.first : view.last].astype(np.float64)
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    return np.asarray(-np.einsum("ijk,ijk->ij", directions, view.normal))
