"""Healthy skin around a lesion, and what it would look like where the lesion is.

All in log of linear light: there illumination, skin tone and pigment add. The even part is a
quadratic fitted to the skin that is seen; the texture is random noise with the spectrum of a patch
of that skin (Galerne, Gousseau and Morel 2011), so that nothing is copied from elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from core.synthesis.contract import Pixels
from core.synthesis.segmentation import Floats, Inside

_DARK = 0.5 / 255 / 12.92
"""Least linear light, half of the darkest level above black."""
_FITTED = 4096
"""Most pixels that a fit is made of."""
_PATCH = 32
"""Side of the patch of skin that texture is taken from."""
_PATCHES = 12
"""Patches that the calmest is chosen from."""


def to_log(pixels: Pixels) -> Floats:
    """Return log of linear light (sRGB of IEC 61966-2-1), H x W x 3."""
    return _LOG[pixels]


def to_pixels(log: Floats) -> Pixels:
    """Return sRGB of log linear light."""
    place = np.clip((log - _LOWEST) * np.float32(_STEPS / -_LOWEST), 0, _STEPS)
    return np.asarray(_CURVE[np.rint(place).astype(np.uint16)], np.uint8)


def _curve() -> Pixels:
    linear = np.exp(np.linspace(_LOWEST, 0, _STEPS + 1))
    curve = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(curve * 255), np.uint8)


def _log_table() -> Floats:
    value = np.arange(256) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return np.log(np.maximum(linear, _DARK)).astype(np.float32)


_LOG = _log_table()
_LOWEST = float(np.log(1e-4))
_STEPS = 2**14
_CURVE = _curve()


@dataclass(frozen=True, slots=True)
class SkinColour:
    """The colour of some skin: hue in degrees and chroma in CIELAB, darkest channel, log SD."""

    hue: float
    chroma: float
    darkest: float
    spread: float

    @property
    def plausible(self) -> bool:
        """True for what skin looks like in photographs, whatever its tone.

        Wider than on calibrated colours: dermatoscopes tint skin pink to violet (98 % of 250 images
        of HAM10000 lie inside), and as dark as the darkest skin. Paper and black cloth lie outside.
        """
        return (
            -50 <= self.hue <= 85
            and 4 <= self.chroma <= 50
            and 0.012 < self.darkest < 0.75
            and self.spread < 0.45
        )


def describe_skin(pixels: Pixels, where: Inside) -> SkinColour:
    """Describe the pixels that are taken for skin; not plausible when there are none."""
    if not where.any():
        return SkinColour(0.0, 0.0, 0.0, 1.0)
    chosen = pixels[where][None]
    lab = cv2.cvtColor(chosen.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
    a, b = float(np.median(lab[:, 1])), float(np.median(lab[:, 2]))
    log = to_log(chosen)[0]
    middle = np.median(log, axis=0)
    apart = np.percentile(log, 84, axis=0) - np.percentile(log, 16, axis=0)
    return SkinColour(
        hue=float(np.degrees(np.arctan2(b, a))),
        chroma=float(np.hypot(a, b)),
        darkest=float(np.exp(middle.min())),
        spread=float(apart.mean() / 2),
    )


def diameter(inside: Inside) -> float:
    """Return that of a disc of the same area, pixels."""
    return 2 * float(np.sqrt(inside.sum() / np.pi))


def ring(inside: Inside, near: float = 0.08, far: float = 0.45) -> Inside:
    """Return the pixels between ``near`` and ``far`` of the lesion's diameter from its border."""
    across = diameter(inside)
    away = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, 3)
    return np.asarray((away > max(2.0, near * across)) & (away <= max(8.0, far * across)))


def without_odd(log: Floats, where: Inside) -> Inside:
    """Return ``where`` without hairs, glare, rulers and the black surround."""
    if not where.any():
        return where
    light = log.mean(axis=2)
    middle = float(np.median(light[where]))
    spread = max(0.05, float(np.median(np.abs(light[where] - middle))) * 1.48)
    kept = where & (np.abs(light - middle) < 3 * spread)
    return kept if kept.sum() >= 64 else where


def even_skin(log: Floats, where: Inside) -> Floats:
    """Fit log light by a quadratic in x and y over ``where``; a plane or a constant on little skin.

    Values stay within what was seen there, so that a fit never runs away.
    """
    rows, columns = np.nonzero(where)
    step = max(1, rows.size // _FITTED)
    rows, columns = rows[::step], columns[::step]
    height, width = where.shape
    terms = 6 if rows.size >= 400 else 3 if rows.size >= 60 else 1
    seen = log[rows, columns].astype(np.float64)
    chosen = _basis(columns / width - 0.5, rows / height - 0.5, terms)
    penalty = np.diag([0.0] + [0.002 * len(rows)] * (terms - 1))
    weights = np.linalg.solve(chosen.T @ chosen + penalty, chosen.T @ seen)
    low, high = np.percentile(seen, [5, 95], axis=0)
    return np.clip(_field(weights, height, width), low, high).astype(np.float32)


def _field(weights: NDArray[np.floating[Any]], height: int, width: int) -> Floats:
    """Return the polynomial of ``_basis`` at every pixel, H x W x 3."""
    c = np.zeros((6, 3), np.float32)
    c[: len(weights)] = weights
    x = (np.arange(width, dtype=np.float32) / width - 0.5)[None, :, None]
    y = (np.arange(height, dtype=np.float32) / height - 0.5)[:, None, None]
    across, down = c[0] + c[1] * x + c[3] * x * x, c[2] * y + c[5] * y * y
    return np.asarray(across + down + (c[4] * x) * y, np.float32)


def _basis(x: NDArray[np.float64], y: NDArray[np.float64], terms: int) -> NDArray[np.float64]:
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y][:terms], axis=1)


def texture(log: Floats, even: Floats, where: Inside, rng: np.random.Generator) -> Floats:
    """Return noise of the shape of ``log`` with the spectrum of the skin's own texture."""
    patch = _calm_patch((log - even) * where[..., None], where)
    window = np.outer(np.hanning(patch.shape[0] + 2)[1:-1], np.hanning(patch.shape[1] + 2)[1:-1])
    patch = patch * np.sqrt(window)[..., None] / np.sqrt(max(float(window.sum()), 1.0))
    white = rng.standard_normal(log.shape[:2]).astype(np.float32)
    layers = [
        cv2.filter2D(
            white, cv2.CV_32F, patch[..., c].astype(np.float32), borderType=cv2.BORDER_REFLECT
        )
        for c in range(3)
    ]
    return np.asarray(np.stack(layers, axis=-1), np.float32)


def _calm_patch(residual: Floats, where: Inside) -> Floats:
    """Return a patch of the residual, mean 0: of some that are all skin the least uneven one.

    Vessels, glare and rulers make a patch uneven; noise with their spectrum is a pattern.
    """
    free = cv2.distanceTransform(np.pad(where, 1).astype(np.uint8), cv2.DIST_C, 3)[1:-1, 1:-1]
    half = int(min(_PATCH // 2, max(2.0, float(free.max()) - 1)))
    rows, columns = np.nonzero(free > min(half, float(free.max()) - 0.5))
    step = max(1, rows.size // _PATCHES)
    patches = [
        residual[max(0, y - half) : y + half, max(0, x - half) : x + half]
        for y, x in zip(rows[::step].tolist(), columns[::step].tolist(), strict=True)
    ]
    calm = min(patches, key=lambda patch: float(patch.var(axis=(0, 1)).sum()))
    return np.asarray(calm - calm.mean(axis=(0, 1)), np.float32)


def healed(log: Floats, lesion: Inside, rng: np.random.Generator) -> Floats:
    """Return the photograph with skin where the lesion was; the border is soft."""
    if not lesion.any():
        return log
    around = without_odd(log, ring(lesion))
    even = even_skin(log, around)
    skin = even + texture(log, even, around, rng)
    across = diameter(lesion)
    away = cv2.distanceTransform((~lesion).astype(np.uint8), cv2.DIST_L2, 3)
    reach, fade = max(3.0, 0.09 * across), max(4.0, 0.14 * across)
    weight = np.clip(1 - (away - reach) / fade, 0, 1)
    weight = (weight * weight * (3 - 2 * weight))[..., None].astype(np.float32)
    return np.asarray(log * (1 - weight) + skin * weight, np.float32)
