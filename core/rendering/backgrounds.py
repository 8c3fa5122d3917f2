"""What is behind a body: procedural walls, drapes and rooms, or uploaded pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np

from core.rendering.raycast import Bytes, Floats
from core.rendering.tone import to_linear

Kind = Literal["wall", "drape", "room", "image"]
KINDS: tuple[Kind, ...] = ("wall", "drape", "room")

_SIDE = 192
"""Pixels along the shorter side of a procedural background before it is enlarged."""


@dataclass(frozen=True, slots=True)
class Background:
    """``blur`` is the standard deviation over the shorter side; seed draws what is seen."""

    kind: Kind
    blur: float
    brightness: float
    seed: int

    def as_json(self) -> dict[str, Any]:
        """Return the background as a record keeps it."""
        return {
            "kind": self.kind,
            "blur": round(self.blur, 6),
            "brightness": round(self.brightness, 6),
            "seed": self.seed,
        }


def draw_background(rng: np.random.Generator, *, uploaded: bool = False) -> Background:
    """Draw a background; ``uploaded``: one of the pictures that came with the request."""
    kind: Kind = "image" if uploaded else KINDS[int(rng.choice(3, p=[0.45, 0.25, 0.3]))]
    blur = {
        "wall": rng.uniform(0.0, 0.02),
        "drape": rng.uniform(0.008, 0.035),
        "room": rng.uniform(0.02, 0.06),
        "image": rng.uniform(0.0, 0.012),
    }[kind]
    seed = int(rng.integers(2**31))
    return Background(kind, float(blur), float(np.exp(rng.normal(-0.2, 0.45))), seed)


def painted(background: Background, size: tuple[int, int], picture: Bytes | None = None) -> Floats:
    """Return linear light (H, W, 3) for an image of (width, height)."""
    width, height = size
    rng = np.random.default_rng(background.seed)
    if background.kind == "image":
        if picture is None:
            raise ValueError("a background of kind image needs a picture")
        made = _blurred(_cropped(picture, size, rng), background.blur)
    else:
        scale = min(1.0, _SIDE / min(size))
        small = (max(8, round(width * scale)), max(8, round(height * scale)))
        paint = {"wall": _wall, "drape": _drape, "room": _room}[background.kind]
        made = _blurred(np.clip(paint(small, rng), 0.002, None), background.blur)
        made = np.asarray(cv2.resize(made, size, interpolation=cv2.INTER_CUBIC), np.float32)
    return np.asarray(np.maximum(made, 0) * np.float32(background.brightness))


def _blurred(light: Floats, blur: float) -> Floats:
    """Return light blurred by a standard deviation over the shorter side."""
    sigma = blur * min(light.shape[:2])
    if sigma <= 0.3:
        return light
    return np.asarray(cv2.GaussianBlur(light, (0, 0), sigma), np.float32)


def _cropped(picture: Bytes, size: tuple[int, int], rng: np.random.Generator) -> Floats:
    """Return a random part of a picture in the shape of the image, at least half of its side."""
    height, width = picture.shape[:2]
    most = min(width / size[0], height / size[1])
    scale = most * rng.uniform(0.5, 1.0)
    cut = (max(1, int(size[0] * scale)), max(1, int(size[1] * scale)))
    left, top = int(rng.integers(width - cut[0] + 1)), int(rng.integers(height - cut[1] + 1))
    part = picture[top : top + cut[1], left : left + cut[0]]
    way = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
    resized = cv2.resize(np.ascontiguousarray(part), size, interpolation=way)
    return to_linear(np.asarray(resized, np.float32) / 255)


def _grid(size: tuple[int, int]) -> tuple[Floats, Floats]:
    width, height = size
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return (x - width / 2) / min(size), (y - height / 2) / min(size)


def _dull(rng: np.random.Generator, low: float, high: float) -> Floats:
    """Return a colour as walls and cloths have: mostly grey or white, at times blue or green."""
    level = rng.uniform(low, high)
    tint = np.array([[0, 0, 0], [-0.35, -0.05, 0.3], [-0.3, 0.15, 0.05], [0.15, 0.0, -0.2]])
    chosen = tint[rng.choice(4, p=[0.4, 0.25, 0.2, 0.15])] * rng.uniform(0.2, 1.0)
    return np.asarray(level * (1 + chosen + rng.normal(0, 0.03, 3)), np.float32)


def _noise(size: tuple[int, int], cells: int, rng: np.random.Generator) -> Floats:
    """Return smooth noise of about ``cells`` bumps a side, standard deviation near 1."""
    coarse = rng.standard_normal((cells + 3, cells + 3)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC), np.float32)


def _wall(size: tuple[int, int], rng: np.random.Generator) -> Floats:
    """An even wall with a slope of light, a soft shadow and a little grain."""
    x, y = _grid(size)
    angle = rng.uniform(0, 2 * math.pi)
    slope = 1 + rng.uniform(0.05, 0.5) * (math.cos(angle) * x + math.sin(angle) * y)
    patchy = 1 + 0.04 * _noise(size, 3, rng) + 0.012 * _noise(size, 40, rng)
    cx, cy = rng.normal(0, 0.5, 2)
    shadow = 1 - rng.uniform(0, 0.45) * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 0.12)
    return np.asarray((slope * patchy * shadow)[..., None] * _dull(rng, 0.2, 0.8))


def _drape(size: tuple[int, int], rng: np.random.Generator) -> Floats:
    """A cloth in folds, lit from the side."""
    x, y = _grid(size)
    angle = rng.uniform(0, math.pi)
    along = math.cos(angle) * x + math.sin(angle) * y
    across = -math.sin(angle) * x + math.cos(angle) * y
    bend = 0.05 * _noise(size, 2, rng) + 0.012 * _noise(size, 5, rng)
    folds = sum(
        strength * np.sin(2 * math.pi * (waves * (along + bend) + 0.4 * across + rng.random()))
        for waves, strength in ((1.1, 1.0), (2.3, 0.5), (4.7, 0.2))
    )
    height = np.asarray(folds, np.float32) * rng.uniform(0.01, 0.05)
    slope_x = np.gradient(height, axis=1) * min(size)
    slope_y = np.gradient(height, axis=0) * min(size)
    light = rng.normal(0, 0.6, 2)
    shade = (1 - light[0] * slope_x - light[1] * slope_y) / np.sqrt(1 + slope_x**2 + slope_y**2)
    weave = 1 + 0.015 * rng.standard_normal(x.shape)
    return np.asarray((np.clip(shade, 0.08, 2.0) * weave)[..., None] * _dull(rng, 0.08, 0.7))


def _room(size: tuple[int, int], rng: np.random.Generator) -> Floats:
    """Walls, furniture, a door, at times a window: flat shapes that only blur makes a room."""
    x, y = _grid(size)
    made = np.broadcast_to(_dull(rng, 0.25, 0.7), (*x.shape, 3)).copy()
    floor = y > rng.uniform(0.1, 0.6)
    made[floor] = _dull(rng, 0.08, 0.35)
    for _ in range(int(rng.integers(4, 11))):
        cx, cy = rng.uniform(-0.7, 0.7, 2)
        w, h = rng.uniform(0.06, 0.45, 2)
        inside = (np.abs(x - cx) < w / 2) & (np.abs(y - cy) < h / 2)
        made[inside] = _dull(rng, 0.03, 0.6) * (1 + rng.uniform(-0.3, 0.3))
    if rng.random() < 0.4:
        cx, cy = rng.uniform(-0.6, 0.6), rng.uniform(-0.6, 0.0)
        w, h = rng.uniform(0.1, 0.3, 2)
        made[(np.abs(x - cx) < w) & (np.abs(y - cy) < h)] = rng.uniform(1.0, 2.5)
    light = 1 + 0.3 * _noise(size, 2, rng)[..., None]
    return np.asarray(made * np.clip(light, 0.3, 2.0), np.float32)
