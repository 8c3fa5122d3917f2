"""Poses of a standing body: a few joints, each turned a little about fixed axes.

Axes are the body's: x to its left, y to its back, z up; angles in degrees, from the model's
standing pose, in which the arms hang 40 degrees off the trunk and the elbows are bent.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Angles = tuple[float, float, float]
Pose = Mapping[str, Angles]
"""Turns about x, y and z by joint: those of the bone's name, ``.L`` and ``.R``."""

_Limits = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
_STILL = (0.0, 0.0)
_MIDDLE: dict[str, _Limits] = {
    "spine03": ((-3.0, 6.0), (-4.0, 4.0), (-6.0, 6.0)),
    "spine02": ((-3.0, 6.0), (-4.0, 4.0), (-6.0, 6.0)),
    "neck02": ((-8.0, 8.0), (-5.0, 5.0), (-15.0, 15.0)),
    "head": ((-6.0, 6.0), (-5.0, 5.0), (-12.0, 12.0)),
}
_LEFT: dict[str, _Limits] = {
    "upperarm01": ((-30.0, 15.0), (-30.0, 20.0), (-10.0, 10.0)),
    "lowerarm01": ((-15.0, 40.0), _STILL, _STILL),
    "wrist": ((-15.0, 15.0), (-10.0, 10.0), _STILL),
    "upperleg01": ((-18.0, 8.0), (-2.0, 9.0), (-8.0, 8.0)),
    "lowerleg01": ((0.0, 22.0), _STILL, _STILL),
}
"""Positive x: an arm or leg swings back, a knee bends; positive y: it comes nearer to the trunk."""


def sample_pose(rng: np.random.Generator, scale: float = 1.0) -> dict[str, Angles]:
    """Draw a pose; ``scale`` in [0, 1] narrows the ranges, 0 is the standing pose."""
    drawn = {joint: _draw(rng, limits) for joint, limits in _MIDDLE.items()}
    for joint, limits in _LEFT.items():
        drawn[f"{joint}.L"] = _draw(rng, limits)
        x, y, z = _draw(rng, limits)
        drawn[f"{joint}.R"] = (x, -y, -z)
    if not scale:
        return {}
    return {joint: _scaled(angles, scale) for joint, angles in drawn.items()}


def _draw(rng: np.random.Generator, limits: _Limits) -> Angles:
    x, y, z = (float(rng.uniform(low, high)) for low, high in limits)
    return x, y, z


def _scaled(angles: Angles, scale: float) -> Angles:
    x, y, z = (round(angle * scale, 2) for angle in angles)
    return x, y, z


def mirrored(pose: Pose) -> dict[str, Angles]:
    """Return the pose of the mirror image of a body."""
    other = {"L": "R", "R": "L"}
    result = {}
    for joint, (x, y, z) in pose.items():
        name, _, side = joint.rpartition(".")
        result[f"{name}.{other[side]}" if side in other else joint] = (x, -y, -z)
    return result


def turns(pose: Pose) -> dict[str, NDArray[np.float64]]:
    """Return the rotation matrix (3, 3) of each joint: about x first, then y, then z."""
    return {joint: _rotation(angles) for joint, angles in pose.items()}


def _rotation(angles: Angles) -> NDArray[np.float64]:
    matrix = np.eye(3)
    for axis, degrees in enumerate(angles):
        cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        one, two = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[one, one] = turn[two, two] = cos
        turn[one, two], turn[two, one] = -sin, sin
        matrix = turn @ matrix
    return matrix
