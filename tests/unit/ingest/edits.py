"""Edits that leave an image the same photograph, as the study of near-duplicates makes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np

Pixels = Any
Edit = Callable[[Pixels, np.random.Generator], Pixels]


def _crop(image: Pixels, rng: np.random.Generator, down: float, right: float) -> Pixels:
    side = np.sqrt(rng.uniform(0.70, 0.95))
    height, width = (round(n * side) for n in image.shape[:2])
    top = round((image.shape[0] - height) * down)
    left = round((image.shape[1] - width) * right)
    return np.ascontiguousarray(image[top : top + height, left : left + width])


def crop_centre(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Keep 70-95 % of the area."""
    return _crop(image, rng, 0.5, 0.5)


def crop_corner(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Keep 70-95 % of the area, at one of the corners."""
    return _crop(image, rng, rng.integers(2), rng.integers(2))


def resize(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Half to double the size."""
    factor = 2 ** rng.uniform(-1, 1)
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=how)


def jpeg(image: Pixels, rng: np.random.Generator) -> Pixels:
    """JPEG of quality 40-90."""
    quality = int(rng.integers(40, 91))
    data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])


def flip(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Mirror one axis."""
    return np.ascontiguousarray(np.flip(image, int(rng.integers(2))))


def quarter_turn(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Turn by 90, 180 or 270 degrees."""
    return np.ascontiguousarray(np.rot90(image, int(rng.integers(1, 4))))


def turn(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Turn by 1-30 degrees either way, corners black or reflected."""
    height, width = image.shape[:2]
    degrees = rng.uniform(1, 30) * rng.choice([-1, 1])
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    border = cv2.BORDER_CONSTANT if rng.random() < 0.5 else cv2.BORDER_REFLECT
    return cv2.warpAffine(image, matrix, (width, height), borderMode=border)


def brightness(image: Pixels, rng: np.random.Generator) -> Pixels:
    """All values times 0.85-1.15."""
    return _clipped(image * rng.uniform(0.85, 1.15))


def contrast(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Distances from the mean times 0.85-1.15."""
    mean = image.mean()
    return _clipped((image - mean) * rng.uniform(0.85, 1.15) + mean)


def hue(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Turn the hue by up to 15 % of the circle either way."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV).astype(int)
    hsv[..., 0] = (hsv[..., 0] + round(rng.uniform(-0.15, 0.15) * 180)) % 180
    return cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)


def _clipped(values: Pixels) -> Pixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


EDITS: Mapping[str, Edit] = {
    edit.__name__: edit
    for edit in (
        crop_centre, crop_corner, resize, jpeg, flip, quarter_turn, turn, brightness, contrast, hue,
    )
}  # fmt: skip


def two_edits(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Two different edits, one after the other."""
    first, second = rng.choice(list(EDITS), 2, replace=False)
    return EDITS[second](EDITS[first](image, rng), rng)
