"""A pinhole camera in metres: where it stands, how it is turned, how much it sees."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Camera:
    """``rotation`` has the camera's x (right), y (down) and z (forward) axes as rows.

    position is in metres; focal in pixels; pixel centres lie at half numbers, the principal point
    in the middle of the image.
    """

    position: Vector
    rotation: Vector
    focal: float
    width: int
    height: int

    @property
    def matrix(self) -> Vector:
        """The 3 x 3 intrinsic matrix."""
        return np.array(
            [[self.focal, 0, self.width / 2], [0, self.focal, self.height / 2], [0, 0, 1.0]]
        )

    def project(self, points: Vector) -> Vector:
        """Return image x, y and depth (N, 3) of points (N, 3); depth <= 0 is behind the camera."""
        seen = (points - self.position) @ self.rotation.T
        depth = np.where(np.abs(seen[:, 2:]) < 1e-9, 1e-9, seen[:, 2:])
        flat = self.focal * seen[:, :2] / depth + np.array([self.width / 2, self.height / 2])
        return np.concatenate([flat, seen[:, 2:]], axis=1)

    def directions(self) -> NDArray[np.float32]:
        """Return the direction of every pixel's centre (H, W, 3), 1 along the axis, in metres."""
        x = (np.arange(self.width) + 0.5 - self.width / 2) / self.focal
        y = (np.arange(self.height) + 0.5 - self.height / 2) / self.focal
        right, down, forward = self.rotation
        seen = forward + x[None, :, None] * right + y[:, None, None] * down
        return np.asarray(seen, np.float32)

    def pixel_size(self, depth: float) -> float:
        """Return metres a pixel covers at a depth, facing the camera."""
        return depth / self.focal

    def scaled(self, width: int, height: int) -> Camera:
        """Return the same view in another number of pixels; the smaller field is kept."""
        scale = min(width / self.width, height / self.height)
        return Camera(self.position, self.rotation, self.focal * scale, width, height)

    def as_json(self) -> dict[str, Any]:
        """Return intrinsics and pose (world to camera) as a record keeps them."""
        return {
            "matrix": self.matrix.round(6).tolist(),
            "rotation": self.rotation.round(9).tolist(),
            "position_m": self.position.round(9).tolist(),
            "field_of_view_degrees": round(
                math.degrees(2 * math.atan(min(self.width, self.height) / 2 / self.focal)), 4
            ),
            "width": self.width,
            "height": self.height,
        }


def aim(
    position: Vector,
    target: Vector,
    roll: float,
    field_of_view: float,
    size: tuple[int, int],
) -> Camera:
    """Return a camera at ``position`` whose centre ray passes through ``target``.

    ``roll`` turns about the axis, radians, from z up; ``field_of_view`` is that of the shorter
    side, radians; ``size`` is (width, height).
    """
    forward = (target - position) / np.linalg.norm(target - position)
    up = np.array([0.0, 0.0, 1.0]) if abs(forward[2]) < 0.999 else np.array([0.0, 1.0, 0.0])
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    turned = math.cos(roll) * right + math.sin(roll) * down
    rotation = np.stack([turned, np.cross(forward, turned), forward])
    focal = min(size) / 2 / math.tan(field_of_view / 2)
    return Camera(np.asarray(position, np.float64), rotation, focal, *size)
