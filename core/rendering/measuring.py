"""What a view says of the surface: how large its pixels are on it."""

from __future__ import annotations

import numpy as np

from core.rendering.camera import Camera
from core.rendering.raycast import Floats, View

_STEEPEST = 1e-3


def pixel_areas(view: View, camera: Camera) -> Floats:
    """Return the surface's area in each pixel (H, W), square metres; 0 where there is no body.

    depth^2 / (focal^2 |n . d|) with d the pixel's direction, 1 along the axis.
    """
    flat = (view.depth / np.float32(camera.focal)) ** 2
    facing = np.maximum(np.abs(_along(view, camera)), np.float32(_STEEPEST))
    return np.asarray(flat / facing, np.float32)


def incidence(view: View, camera: Camera) -> Floats:
    """Return the cosine between the surface's normal and the way to the camera (H, W)."""
    x, y = _across(view, camera)
    length = np.sqrt(1 + x[None, :] ** 2 + y[:, None] ** 2)
    return np.asarray(-_along(view, camera) / length, np.float32)


def _along(view: View, camera: Camera) -> Floats:
    """Return n . d per pixel: of the normals' components along the camera's axes."""
    x, y = _across(view, camera)
    seen = view.normal.reshape(-1, 3) @ camera.rotation.T.astype(np.float32)
    right, down, forward = seen.reshape(view.normal.shape).transpose(2, 0, 1)
    return np.asarray(forward + x[None, :] * right + y[:, None] * down, np.float32)


def _across(view: View, camera: Camera) -> tuple[Floats, Floats]:
    """Return where pixels lie to the right and below the axis, at 1 along it."""
    x = (np.arange(camera.width) + 0.5 - camera.width / 2) / camera.focal
    y = (np.arange(view.first, view.last) + 0.5 - camera.height / 2) / camera.focal
    return x.astype(np.float32), y.astype(np.float32)
