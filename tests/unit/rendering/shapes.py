"""Surfaces that tests render: a ball, a bumpy ball, a tube, a plane."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.rendering.surface import Surface


def ball(radius: float = 0.2, rings: int = 96, bumps: float = 0.0) -> Surface:
    """A closed ball of two parts, ``low`` and ``high``, with waves of height ``bumps``."""
    theta = np.linspace(0, np.pi, rings + 1)[:, None]
    phi = np.linspace(0, 2 * np.pi, 2 * rings + 1)[None, :]
    unit = np.stack(
        [
            np.sin(theta) * np.cos(phi),
            np.sin(theta) * np.sin(phi),
            np.cos(theta) * np.ones_like(phi),
        ],
        axis=-1,
    )
    waves = 1 + bumps * np.sin(5 * phi) * np.sin(theta) ** 3 * np.sin(7 * theta)
    points = radius * waves[..., None] * unit
    return _grid(points, closed=True)


def tube(radius: float = 0.05, length: float = 0.4, steps: int = 128) -> Surface:
    """A tube along z without ends: a limb."""
    phi = np.linspace(0, 2 * np.pi, steps + 1)[None, :]
    z = np.linspace(length / 2, -length / 2, steps + 1)[:, None]
    ones = np.ones_like(z * phi)
    return _grid(np.stack([radius * np.cos(phi) * ones, radius * np.sin(phi) * ones, z * ones], -1))


def plane(side: float = 0.4, steps: int = 24) -> Surface:
    """A square that faces -y, like the front of a body."""
    x = np.linspace(side / 2, -side / 2, steps + 1)[None, :]
    z = np.linspace(side / 2, -side / 2, steps + 1)[:, None]
    ones = np.ones_like(x * z)
    return _grid(np.stack([-x * ones, 0 * ones, z * ones], -1))


def _grid(points: NDArray[np.float64], closed: bool = False) -> Surface:
    """Join a grid of points (rows, columns, 3) that runs down and to the left seen from outside."""
    rows, columns = points.shape[:2]
    number = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]
    faces = np.stack([np.stack([a, c, d], -1), np.stack([a, d, b], -1)], 2).reshape(-1, 3)
    flat = points.reshape(-1, 3)
    corners = flat[faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    keep = np.linalg.norm(cross, axis=1) > 1e-14
    faces, cross = faces[keep], cross[keep]
    normals = np.zeros_like(flat)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], cross)
    if closed:  # seam and poles: points that lie on each other share a normal
        key = np.unique(flat.round(9), axis=0, return_inverse=True)[1].ravel()
        summed = np.zeros((key.max() + 1, 3))
        np.add.at(summed, key, normals)
        normals = summed[key]
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    uv = np.stack(np.meshgrid(np.linspace(0, 1, columns), np.linspace(1, 0, rows)), -1).reshape(
        -1, 2
    )
    high = 1 / (1 + np.exp(-40 * flat[:, 2]))
    return Surface(
        vertices=flat.astype(np.float32),
        normals=normals.astype(np.float32),
        triangles=faces.astype(np.int32),
        corner_uv=uv[faces].astype(np.float32),
        part_weights=np.stack([1 - high, high], 1).astype(np.float32),
        parts=("low", "high"),
    )
