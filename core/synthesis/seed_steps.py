"""The operations of the course project that this service descends from, pixel for pixel.

They are Pillow's own (SCIENCE: legacy protocol), so Pillow makes them, or OpenCV where it can
make the same bytes faster. Each takes pixels and the
drawn numbers and returns pixels and its matrix, None when nothing moves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageEnhance

from core.manifest import Modality
from core.synthesis import geometry
from core.synthesis.contract import Pixels

Step = dict[str, Any]
Applied = tuple[Pixels, geometry.Matrix | None]

SEQUENCES: dict[str, tuple[str, ...]] = {
    "seed_generate": ("seed_mirror", "seed_rotate", "seed_colour", "seed_blur", "seed_crop"),
    "seed_augment": ("seed_mirror", "seed_quarter_turn", "seed_brightness", "seed_crop"),
}
_TIE = 1.5e-4
_EVEN = 1.2e-4
_NEEDS_COLOUR = frozenset({"seed_colour"})


def sequence(policy: str, modality: Modality) -> tuple[str, ...]:
    """Return the operations that a policy applies in turn; grey images have no colour step."""
    steps = SEQUENCES[policy]
    return steps if modality == "rgb" else tuple(s for s in steps if s not in _NEEDS_COLOUR)


def draw(name: str, rng: np.random.Generator) -> Step:
    """Draw the numbers of one operation."""
    numbers: Step = {"op": name}
    match name:
        case "seed_rotate":
            numbers["degrees"] = int(rng.choice([15, 30, 45]))
        case "seed_quarter_turn":
            numbers["degrees"] = 90
        case "seed_colour":
            numbers["factor"] = round(float(rng.uniform(1.2, 1.5)), 6)
        case "seed_brightness":
            numbers["factor"] = 1.5
        case "seed_blur":
            numbers["radius"] = 1
        case "seed_crop":
            numbers["fraction"] = 0.8
    return numbers


def _mirror(pixels: Pixels, _: Mapping[str, Any]) -> Applied:
    height, width = pixels.shape[:2]
    matrix = geometry.mirror(width, height, horizontal=True, vertical=False)
    return np.asarray(cv2.flip(pixels, 1), np.uint8), matrix


def _rotate(pixels: Pixels, step: Mapping[str, Any]) -> Applied:
    height, width = pixels.shape[:2]
    matrix = geometry.turn_about_centre(width, height, step["degrees"])
    return _pixels(Image.fromarray(pixels).rotate(step["degrees"])), matrix


def _colour(pixels: Pixels, step: Mapping[str, Any]) -> Applied:
    image = Image.fromarray(pixels)
    return _pixels(ImageEnhance.Color(image).enhance(step["factor"])), None


def _brightness(pixels: Pixels, step: Mapping[str, Any]) -> Applied:
    image = Image.fromarray(pixels)
    return _pixels(ImageEnhance.Brightness(image).enhance(step["factor"])), None


def _blur(pixels: Pixels, step: Mapping[str, Any]) -> Applied:
    """Blur by Pillow's GaussianBlur(1): three box blurs of radius 1/4 each way, five times faster.

    Such a box is (4 c + l + r) / 6, rounded to 8 bits after each pass. Pillow's 24-bit weights
    break a tie upwards exactly when c >= 2 (l + r); the shares below are shifted so that floats do
    the same, by more than a float can err and less than the 1/6 between results.
    """
    if step["radius"] != 1:
        raise ValueError(f"The course project blurs by radius 1, not {step['radius']}")
    across = np.array([[1 / 6 - 2 * _TIE, 2 / 3 + _TIE, 1 / 6 - 2 * _TIE]], np.float32)
    for kernel in (across,) * 3 + (across.T,) * 3:
        blurred = cv2.filter2D(pixels, -1, kernel, delta=_EVEN, borderType=cv2.BORDER_REPLICATE)
        pixels = np.asarray(blurred, np.uint8)
    return pixels, None


def _crop(pixels: Pixels, step: Mapping[str, Any]) -> Applied:
    height, width = pixels.shape[:2]
    margin = round((1 - step["fraction"]) / 2, 9)
    box = _crop_box(width, height, margin)
    inner = (box[2] - box[0], box[3] - box[1])
    image = Image.fromarray(pixels).crop(box).resize((width, height))
    matrix = geometry.resize(inner, (width, height)) @ geometry.crop(box[0], box[1])
    return _pixels(image), matrix


def _crop_box(width: int, height: int, margin: float) -> tuple[int, int, int, int]:
    """Return the box that Pillow's crop makes of fractions: rounded, at least a pixel wide."""
    left, top = round(width * margin), round(height * margin)
    right, bottom = round(width * (1 - margin)), round(height * (1 - margin))
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _pixels(image: Image.Image) -> Pixels:
    return np.asarray(image)


APPLY: dict[str, Callable[[Pixels, Mapping[str, Any]], Applied]] = {
    "seed_mirror": _mirror,
    "seed_rotate": _rotate,
    "seed_quarter_turn": _rotate,
    "seed_colour": _colour,
    "seed_brightness": _brightness,
    "seed_blur": _blur,
    "seed_crop": _crop,
}
