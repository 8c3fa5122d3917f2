"""How light the healthy skin around a lesion looks: the individual typology angle, uncalibrated.

ITA = atan2(L* - 50, b*) in degrees (Chardon, Cretois and Hourseau 1991) of the median CIELAB colour
(D65, from sRGB) of a ring of skin; the six groups are those of Del Bino and Bernerd (2013). On a
photograph of unknown light and camera this is an apparent tone and no measurement of the skin:
Kinyanjui et al. (2020) and Bevan and Atapour-Abarghouei (2022) say how far it can be trusted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from core.synthesis.contract import Pixels
from core.synthesis.donors import find_lesion, skin_around
from core.synthesis.segmentation import Inside
from core.synthesis.skin_field import describe_skin, to_log, without_odd

Abstention = Literal["not_colour", "no_lesion", "not_skin", "no_ring", "uneven", "tinted"]

GROUPS = (
    (55.0, "very light"),
    (41.0, "light"),
    (28.0, "intermediate"),
    (10.0, "tan"),
    (-30.0, "brown"),
    (-90.0, "dark"),
)
"""Least angle of each group, degrees; an angle on a limit belongs to the darker group."""

_SIDE = 160
"""Pixels of the longer side of the copy that is looked at."""
_LEAST = 0.02
"""Least share of the image that the ring fills."""
_SECTORS = 16
_AROUND = 10
"""Least sectors of the lesion's surroundings that the ring lies in."""
_SPREAD = 8.0
"""Most spread of lightness within the ring (1.48 times the median absolute deviation), L* units."""
_YELLOW = 3.0
"""Least b*: below, light or lens tint the skin, and the angle runs to its pole."""


@dataclass(frozen=True, slots=True)
class Tone:
    """An angle in degrees, -90..90, or why there is none."""

    ita: float | None
    reason: Abstention | None

    @property
    def group(self) -> str | None:
        """Return the name of the group; None without an angle."""
        if self.ita is None:
            return None
        return next((name for least, name in GROUPS if self.ita > least), GROUPS[-1][1])


def apparent_tone(pixels: Pixels, mask: Pixels | None = None) -> Tone:
    """Measure the skin around the lesion of an image; abstain where no healthy ring is found.

    pixels: H x W x 3 sRGB, or H x W (abstains). mask: the image's own, at least 128 inside.
    """
    if pixels.ndim != 3:
        return Tone(None, "not_colour")
    small, inside = _small(pixels, mask)
    lesion = find_lesion(small, inside, None, automatic=True)
    if lesion.reason is not None:
        return Tone(None, "not_skin" if lesion.reason == "not_skin" else "no_lesion")
    around = without_odd(to_log(small), skin_around(small, lesion.mask))
    if around.mean() < _LEAST or _sectors(lesion.mask, around) < _AROUND:
        return Tone(None, "no_ring")
    return _of_ring(small, around)


def _of_ring(pixels: Pixels, around: Inside) -> Tone:
    if not describe_skin(pixels, around).plausible:
        return Tone(None, "not_skin")
    lab = cv2.cvtColor(pixels[around][None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
    light, yellow = np.median(lab[:, 0]), np.median(lab[:, 2])
    if 1.48 * np.median(np.abs(lab[:, 0] - light)) > _SPREAD:
        return Tone(None, "uneven")
    if yellow < _YELLOW:
        return Tone(None, "tinted")
    return Tone(round(float(np.degrees(np.arctan2(light - 50, yellow))), 2), None)


def _small(pixels: Pixels, mask: Pixels | None) -> tuple[Pixels, Pixels | None]:
    height, width = pixels.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    if mask is None:
        return small, None
    return small, np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST), np.uint8)


def _sectors(lesion: Inside, around: Inside) -> int:
    """Return in how many of the sectors around the lesion's centre the ring has pixels."""
    rows, columns = np.nonzero(lesion)
    y, x = np.nonzero(around)
    turns = (np.arctan2(y - rows.mean(), x - columns.mean()) + np.pi) / (2 * np.pi)
    return len(np.unique((turns * _SECTORS).astype(np.int64) % _SECTORS))
