"""3 x 3 matrices between pixel coordinates (x, y, 1), pixel centres at integers."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def identity() -> Matrix:
    return np.eye(3)


def mirror(width: int, height: int, *, horizontal: bool, vertical: bool) -> Matrix:
    """Map to the image mirrored left-right and/or top-bottom."""
    matrix = np.eye(3)
    if horizontal:
        matrix[0, 0], matrix[0, 2] = -1.0, width - 1.0
    if vertical:
        matrix[1, 1], matrix[1, 2] = -1.0, height - 1.0
    return matrix


def quarter_turn(width: int, height: int, turns: int) -> Matrix:
    """Map to the image turned counter-clockwise by ``turns`` right angles (sides may swap)."""
    matrix = np.eye(3)
    for _ in range(turns % 4):
        once = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, width - 1.0], [0.0, 0.0, 1.0]])
        matrix = once @ matrix
        width, height = height, width
    return matrix


def turn_about_centre(width: int, height: int, degrees: float, factor: float = 1.0) -> Matrix:
    """Map to the image turned counter-clockwise, as seen, and magnified about its centre."""
    angle = math.radians(degrees)
    cosine, sine = factor * math.cos(angle), factor * math.sin(angle)
    x, y = (width - 1) / 2, (height - 1) / 2
    return np.array(
        [
            [cosine, sine, x - cosine * x - sine * y],
            [-sine, cosine, y + sine * x - cosine * y],
            [0.0, 0.0, 1.0],
        ]
    )


def resize(before: tuple[int, int], after: tuple[int, int]) -> Matrix:
    """Map to the image resized from (width, height) to (width, height)."""
    x, y = after[0] / before[0], after[1] / before[1]
    return np.array([[x, 0.0, (x - 1) / 2], [0.0, y, (y - 1) / 2], [0.0, 0.0, 1.0]])


def crop(left: int, top: int) -> Matrix:
    """Map to the part of the image that begins at (left, top)."""
    return np.array([[1.0, 0.0, -left], [0.0, 1.0, -top], [0.0, 0.0, 1.0]])
