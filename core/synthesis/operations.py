"""The operations of augmentation on pixels: numbers are drawn first, then applied.

What is drawn is JSON (a *step*) and enters provenance; applying the same steps to the same pixels
gives the same bytes. Neighbouring geometric steps become one warp and neighbouring tone steps one
colour matrix, so that nothing is interpolated or clipped twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from core.synthesis import artefacts, geometry, seed_steps
from core.synthesis.contract import Pixels
from core.synthesis.policy import (
    Blur,
    Brightness,
    Colour,
    Contrast,
    Elastic,
    Flip,
    Hair,
    Hue,
    Operation,
    QuarterTurn,
    Rotate,
    Ruler,
    Zoom,
)

Step = dict[str, Any]
Quality = Literal["standard", "high"]

_DIGITS = 6
_LUMA = np.array([0.299, 0.587, 0.114])
_INTERPOLATION = {"standard": cv2.INTER_LINEAR, "high": cv2.INTER_CUBIC}
_BORDER = {"reflect": cv2.BORDER_REFLECT_101, "black": cv2.BORDER_CONSTANT}
_TURNS = {1: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_CLOCKWISE}
_GEOMETRIC = frozenset({"flip", "quarter_turn", "rotate", "zoom"})
_EXACT = frozenset({"flip", "quarter_turn"})
_TONE = frozenset({"colour", "hue", "brightness", "contrast"})


def draw(operations: Sequence[Operation], rng: np.random.Generator) -> list[Step]:
    """Draw which operations happen and with which numbers."""
    return [
        _numbers(operation, rng) for operation in operations if rng.random() < operation.probability
    ]


def apply(
    pixels: Pixels, steps: Iterable[Mapping[str, Any]], quality: Quality = "standard"
) -> tuple[Pixels, geometry.Matrix | None]:
    """Apply steps in their order; return pixels and the matrix from source to output.

    The matrix is None when no matrix describes the change (elastic). The input is left alone.
    """
    total: geometry.Matrix | None = geometry.identity()
    for family, group in groupby(steps, key=_family):
        members = list(group)
        if family.startswith("geometry"):
            pixels, matrix = _warp(pixels, members, quality)
            total = None if total is None else matrix @ total
        elif family == "tone":
            pixels = _tone(pixels, members)
        else:
            for step in members:
                pixels, total = _single(pixels, step, quality, total)
    return pixels, total


def _single(
    pixels: Pixels, step: Mapping[str, Any], quality: Quality, total: geometry.Matrix | None
) -> tuple[Pixels, geometry.Matrix | None]:
    name = step["op"]
    if name == "elastic":
        return _elastic(pixels, step, quality), None
    if name in seed_steps.APPLY:
        pixels, matrix = seed_steps.APPLY[name](pixels, step)
        return pixels, total if matrix is None or total is None else matrix @ total
    return _LOCAL[name](pixels, step), total


def _family(step: Mapping[str, Any]) -> str:
    name: str = step["op"]
    if name in _GEOMETRIC:
        return f"geometry {step.get('border', 'reflect')}"
    return "tone" if name in _TONE else name


def _numbers(operation: Operation, rng: np.random.Generator) -> Step:
    step: Step = {"op": operation.op}
    match operation:
        case Flip():
            kinds = ("horizontal", "vertical", "both")
            chosen = kinds[int(rng.integers(3))] if operation.axis == "any" else operation.axis
            step["horizontal"] = chosen != "vertical"
            step["vertical"] = chosen != "horizontal"
        case QuarterTurn():
            step["turns"] = operation.turns[int(rng.integers(len(operation.turns)))]
        case Rotate():
            step |= {"degrees": _within(operation.degrees, rng), "border": operation.border}
        case Hue():
            step["degrees"] = _within(operation.degrees, rng)
        case Zoom() | Colour() | Brightness() | Contrast():
            step["factor"] = _within(operation.factor, rng)
        case Blur():
            step["sigma"] = _within(operation.sigma, rng)
        case Elastic():
            step["amplitude"] = _within(operation.amplitude, rng)
            step["smoothness"] = _within(operation.smoothness, rng)
            step["seed"] = int(rng.integers(2**32))
        case Hair():
            low, high = operation.count
            step |= {"count": int(rng.integers(low, high + 1)), "seed": int(rng.integers(2**32))}
        case Ruler():
            step["side"] = ("top", "bottom", "left", "right")[int(rng.integers(4))]
            step |= {"opacity": _within(operation.opacity, rng), "seed": int(rng.integers(2**32))}
    return step


def _within(bounds: tuple[float, float], rng: np.random.Generator) -> float:
    return round(float(rng.uniform(*bounds)), _DIGITS)


def _warp(
    pixels: Pixels, steps: Sequence[Mapping[str, Any]], quality: Quality
) -> tuple[Pixels, geometry.Matrix]:
    """Apply geometric steps of one border at once; flips and right angles alone are exact."""
    if all(step["op"] in _EXACT for step in steps):
        return _rearrange(pixels, steps)
    height, width = pixels.shape[:2]
    total = geometry.identity()
    for step in steps:
        matrix, (width, height) = _matrix(step, width, height)
        total = matrix @ total
    scale = math.prod(s["factor"] for s in steps if s["op"] == "zoom")
    if scale < 0.9:  # a smaller image has no room for the finest detail
        pixels = _gaussian(pixels, 0.5 * math.sqrt(1 / scale**2 - 1))
    border = _BORDER[next((s["border"] for s in steps if "border" in s), "reflect")]
    flags = _INTERPOLATION[quality]
    warped = cv2.warpAffine(
        _wide(pixels), total[:2], (width, height), flags=flags, borderMode=border
    )
    return _narrow(warped), total


def _rearrange(
    pixels: Pixels, steps: Sequence[Mapping[str, Any]]
) -> tuple[Pixels, geometry.Matrix]:
    total = geometry.identity()
    for step in steps:
        height, width = pixels.shape[:2]
        matrix, _ = _matrix(step, width, height)
        total = matrix @ total
        if step["op"] == "quarter_turn":
            moved = cv2.rotate(pixels, _TURNS[step["turns"]])
        else:
            code = {(True, False): 1, (False, True): 0, (True, True): -1}
            moved = cv2.flip(pixels, code[step["horizontal"], step["vertical"]])
        pixels = np.asarray(moved, np.uint8)
    return pixels, total


def _matrix(
    step: Mapping[str, Any], width: int, height: int
) -> tuple[geometry.Matrix, tuple[int, int]]:
    """Return the matrix of one geometric step and the size (width, height) after it."""
    match step["op"]:
        case "flip":
            flags = {"horizontal": step["horizontal"], "vertical": step["vertical"]}
            return geometry.mirror(width, height, **flags), (width, height)
        case "quarter_turn":
            size = (height, width) if step["turns"] % 2 else (width, height)
            return geometry.quarter_turn(width, height, step["turns"]), size
        case "rotate":
            return geometry.turn_about_centre(width, height, step["degrees"]), (width, height)
    return geometry.turn_about_centre(width, height, 0.0, step["factor"]), (width, height)


def _tone(pixels: Pixels, steps: Sequence[Mapping[str, Any]]) -> Pixels:
    """Apply colour, hue, brightness and contrast as one affine map of the channels."""
    channels = 3 if pixels.ndim == 3 else 1
    luma = _LUMA if channels == 3 else np.ones(1)
    mean = np.array(cv2.mean(pixels)[:channels])
    linear, shift = np.eye(channels), np.zeros(channels)
    for step in steps:
        if step["op"] == "contrast":
            middle = float(luma @ (linear @ mean + shift))
            after, offset = step["factor"] * np.eye(channels), (1 - step["factor"]) * middle
        else:
            after, offset = _tone_matrix(step, channels), 0.0
        linear, shift = after @ linear, after @ shift + offset
    if channels == 1:
        table = np.arange(256) * linear[0, 0] + shift[0]
        values = np.clip(np.rint(table), 0, 255).astype(np.uint8)
        return np.asarray(cv2.LUT(pixels, values), np.uint8)
    matrix = np.column_stack([linear, shift]).astype(np.float32)
    return np.asarray(cv2.transform(pixels, matrix), np.uint8)


def _tone_matrix(step: Mapping[str, Any], channels: int) -> NDArray[np.float64]:
    """Return the channel matrix of a step.

    Saturation blends with the luma of ITU-R BT.601; hue turns about the grey axis (Rodrigues).
    """
    unit = np.eye(channels)
    match step["op"]:
        case "brightness":
            return np.asarray(step["factor"] * unit)
        case "colour":
            grey = np.ones((3, 1)) * _LUMA
            return np.asarray(grey + step["factor"] * (unit - grey))
    angle = math.radians(step["degrees"])
    root = 1 / math.sqrt(3)
    cross = root * np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    along = np.full((3, 3), 1 / 3)
    return np.asarray(
        math.cos(angle) * unit + math.sin(angle) * cross + (1 - math.cos(angle)) * along
    )


def _elastic(pixels: Pixels, step: Mapping[str, Any], quality: Quality) -> Pixels:
    """Move pixels along a smooth random field (Simard et al. 2003), drawn on a coarse grid."""
    height, width = pixels.shape[:2]
    short = min(height, width)
    spacing = max(1.0, step["smoothness"] * short)
    cells = (math.ceil(height / spacing) + 3, math.ceil(width / spacing) + 3, 2)
    rng = np.random.default_rng(step["seed"])
    grid = rng.uniform(-1.0, 1.0, cells).astype(np.float32) * np.float32(step["amplitude"] * short)
    field = cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    x = field[..., 0] + np.arange(width, dtype=np.float32)[None, :]
    y = field[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    moved = cv2.remap(
        pixels, x, y, interpolation=_INTERPOLATION[quality], borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(moved, np.uint8)


def _gaussian(pixels: Pixels, sigma: float) -> Pixels:
    if sigma < 1e-3:
        return pixels
    return _narrow(
        cv2.GaussianBlur(_wide(pixels), (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
    )


def _wide(pixels: Pixels) -> Pixels:
    """Return RGB as RGBA, which OpenCV warps and blurs twice as fast, to the same values."""
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA)) if pixels.ndim == 3 else pixels


def _narrow(pixels: Any) -> Pixels:
    """Return the RGB of RGBA; grey as it is."""
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB) if pixels.ndim == 3 else pixels)


def _blur(pixels: Pixels, step: Mapping[str, Any]) -> Pixels:
    return _gaussian(pixels, step["sigma"])


_LOCAL: dict[str, Callable[[Pixels, Mapping[str, Any]], Pixels]] = {
    "blur": _blur,
    "hair": artefacts.hair,
    "ruler": artefacts.ruler,
}
