"""What lies on skin in dermoscopy and is no lesion: hairs and a ruler, drawn over RGB pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from core.synthesis.contract import Pixels

_SHIFT = 4
"""Fractional bits of the coordinates that OpenCV draws with."""


def hair(pixels: Pixels, step: Mapping[str, Any]) -> Pixels:
    """Lay ``count`` curved hairs over the image; ``seed`` places them."""
    rng = np.random.default_rng(step["seed"])
    height, width = pixels.shape[:2]
    extent = np.array([width, height], np.float64)
    drawn = np.zeros((height, width), np.uint8)
    heading = float(rng.uniform(0, np.pi))
    thickness = max(1, round(min(width, height) / 160))
    for _ in range(step["count"]):
        turn = heading + float(rng.normal(0, 0.35))
        along = np.array([np.cos(turn), np.sin(turn)]) * float(rng.uniform(0.2, 0.55))
        middle = rng.uniform(0.0, 1.0, 2)
        bend = np.array([-along[1], along[0]]) * float(rng.normal(0, 0.5))
        _curve(drawn, np.stack([middle - along, middle + bend, middle + along]) * extent, thickness)
    shade = rng.uniform(15, 60) * np.array([1.0, 0.85, 0.75])
    return _laid(pixels, drawn, shade, 0.85)


def ruler(pixels: Pixels, step: Mapping[str, Any]) -> Pixels:
    """Lay a scale with a tick per millimetre along ``side``, as dark as ``opacity``."""
    rng = np.random.default_rng(step["seed"])
    height, width = pixels.shape[:2]
    short = min(width, height)
    drawn = np.zeros((height, width), np.uint8)
    sideways = step["side"] in ("left", "right")
    length, depth = (height, width) if sideways else (width, height)
    spacing = max(3.0, short * float(rng.uniform(0.03, 0.06)))
    offset = float(rng.uniform(0, spacing))
    thickness = max(1, round(short / 200))
    for tick in range(int((length - offset) / spacing) + 1):
        at = round(offset + tick * spacing)
        reach = max(2, round(short * (0.08 if tick % 5 == 0 else 0.045)))
        first, last = (0, reach) if step["side"] in ("top", "left") else (depth - 1 - reach, depth)
        ends = ((first, at), (last, at)) if sideways else ((at, first), (at, last))
        cv2.line(drawn, ends[0], ends[1], 255, thickness)
    return _laid(pixels, drawn, np.array([20.0, 20.0, 20.0]), step["opacity"])


def _curve(drawn: Pixels, control: NDArray[np.float64], thickness: int) -> None:
    """Draw a quadratic Bezier curve of three control points (x, y)."""
    t = np.linspace(0, 1, 32)[:, None]
    curve = (1 - t) ** 2 * control[0] + 2 * t * (1 - t) * control[1] + t**2 * control[2]
    points = [np.round(curve * 2**_SHIFT).astype(np.int32)]
    cv2.polylines(drawn, points, False, 255, thickness, cv2.LINE_AA, _SHIFT)


def _laid(pixels: Pixels, drawn: Pixels, colour: NDArray[np.float64], opacity: float) -> Pixels:
    weight = (drawn.astype(np.float32) * np.float32(opacity / 255))[..., None]
    mixed = pixels * (1 - weight) + colour.astype(np.float32) * weight
    return np.asarray(np.rint(mixed), np.uint8)
