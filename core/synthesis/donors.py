"""Lesions that can be lifted off their image, and images that can take another's lesion.

A mask that came with the image is used first, then a box that someone drew around the lesion, then
a segmentation. What is not trusted is left out, and says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np

from core.errors import InvalidInput
from core.synthesis.contract import Pixels
from core.synthesis.hair import hair_share
from core.synthesis.mask_quality import ACCEPTED, Traits, quality, touching, traits
from core.synthesis.segmentation import (
    Box,
    Floats,
    Inside,
    at_size,
    seen_area,
    segment,
    without_hair,
)
from core.synthesis.skin_field import describe_skin, diameter, ring

Origin = Literal["supplied", "box", "segmented", "none"]
Reason = Literal[
    "no_mask", "empty_mask", "low_quality", "not_skin", "no_margin", "too_small", "too_large"
]

SMALLEST = 12
"""Pixels across the smallest lesion that is worth moving."""
_MOST = 0.55
"""Most of the image that a lesion fills which is to be covered by another."""
_FILLED = 0.35
"""Least of its box that a lesion fills."""
_SHADE = 0.8
"""Lightness over that of the skin, below which a corner lies in the shade."""
_SEEN = 256
"""Pixels a side of the copy that the black surround is found on."""


@dataclass(frozen=True, slots=True)
class Lesion:
    """Where an image's lesion is, by whose word, and how far that is trusted (0..1).

    reason is why it is left out, None for a lesion that is used; traits only of what was segmented.
    """

    mask: Inside
    origin: Origin
    quality: float
    reason: Reason | None
    traits: Traits | None = None

    @property
    def diameter(self) -> float:
        """That of a disc of the same area, pixels."""
        return diameter(self.mask)


def find_lesion(pixels: Pixels, mask: Pixels | None, box: Box | None, *, automatic: bool) -> Lesion:
    """Find the lesion of an RGB image.

    ``mask`` is the image's own (at least 128 inside), ``box`` a prompt; without both the image is
    segmented if ``automatic``. InvalidInput ``mask_size`` or ``box_outside``.
    """
    if mask is not None:
        inside = supplied(pixels, mask)
        return Lesion(inside, "supplied", 1.0, None if inside.any() else "empty_mask")
    if box is not None:
        require_box(box, pixels.shape[1], pixels.shape[0])
    elif not automatic:
        return Lesion(np.zeros(pixels.shape[:2], np.bool_), "none", 0.0, "no_mask")
    found = segment(pixels, box)
    measured = traits(found)
    trust = quality(measured)
    inside = at_size(found.inside, pixels.shape[1], pixels.shape[0])
    origin: Origin = "segmented" if box is None else "box"
    return Lesion(inside, origin, trust, _doubt(pixels, inside, trust, box), measured)


def require_box(box: Box, width: int, height: int) -> None:
    """Refuse a box that does not lie inside its image."""
    left, top, right, bottom = box
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise InvalidInput(
            f"The box {list(box)} (left, top, right, bottom) does not lie inside its image of "
            f"{width} x {height} pixels",
            code="box_outside",
        )


def supplied(pixels: Pixels, mask: Pixels) -> Inside:
    """Return where an image's own mask is at least 128; InvalidInput ``mask_size``."""
    if mask.shape[:2] != pixels.shape[:2]:
        raise InvalidInput(
            f"The mask is {mask.shape[1]} x {mask.shape[0]} pixels, its image "
            f"{pixels.shape[1]} x {pixels.shape[0]}; send both at one size",
            code="mask_size",
        )
    return np.asarray((mask if mask.ndim == 2 else mask.max(axis=2)) >= 128)


def _doubt(pixels: Pixels, inside: Inside, trust: float, box: Box | None) -> Reason | None:
    """Say why a segmentation is not used; a box says where the lesion is, so it must be filled."""
    if not inside.any():
        return "empty_mask"
    if box is None:
        doubted = trust < ACCEPTED
    else:
        doubted = inside.sum() < _FILLED * (box[2] - box[0]) * (box[3] - box[1])
    if doubted:
        return "low_quality"
    return None if describe_skin(pixels, skin_around(pixels, inside)).plausible else "not_skin"


def skin_around(pixels: Pixels, inside: Inside) -> Inside:
    """Return the ring around a lesion, without the dark surround of a dermatoscope."""
    return ring(inside) & lit(pixels, inside)


def lit(pixels: Pixels, inside: Inside) -> Inside:
    """Return where the photograph shows anything that is not in the shade of its corners.

    A dermatoscope's field ends in a black surround, or in a shade that deepens towards the corners.
    """
    height, width = pixels.shape[:2]
    scale = min(1.0, _SEEN / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    lab = cv2.cvtColor(without_hair(small).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    lesion = cv2.resize(inside.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    found = seen_area(np.asarray(lab, np.float32))
    found &= ~_shade(np.asarray(lab[..., 0], np.float32), found, lesion)
    grown = cv2.resize(found.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    return np.asarray(grown > 0)


def _shade(light: Floats, found: Inside, lesion: Inside) -> Inside:
    """Return the areas darker than the skin that reach a corner and are not the lesion."""
    skin = found & ~lesion
    if not skin.any():
        return np.zeros(light.shape, np.bool_)
    dark = (light < _SHADE * np.percentile(light[skin], 75)) & ~lesion
    _, labels = cv2.connectedComponents(dark.astype(np.uint8))
    corners = {int(labels[y, x]) for y in (0, -1) for x in (0, -1)} - {0}
    return np.asarray(np.isin(labels, list(corners)), np.bool_)


def donor_reason(pixels: Pixels, lesion: Lesion) -> Reason | None:
    """Say why a lesion cannot be lifted off its image; None when it can.

    Around it max(8, 8/128 of the longest side) pixels of the image must be left, and what is there
    must be skin.
    """
    if lesion.reason is not None:
        return lesion.reason
    if lesion.diameter < SMALLEST:
        return "too_small"
    left, top, right, bottom = bounds(lesion.mask)
    height, width = lesion.mask.shape
    margin = max(8, max(height, width) // 16)
    if min(left, top, width - right, height - bottom) < margin:
        return "no_margin"
    around = skin_around(pixels, lesion.mask)
    return None if describe_skin(pixels, around).plausible else "not_skin"


def target_reason(pixels: Pixels, lesion: Lesion) -> Reason | None:
    """Say why an image's lesion cannot be covered by another one; None when it can."""
    if lesion.reason is not None:
        return lesion.reason
    if lesion.mask.mean() > _MOST:
        return "too_large"
    if touching(lesion.mask) > 0:
        return "no_margin"
    around = skin_around(pixels, lesion.mask)
    return None if describe_skin(pixels, around).plausible else "not_skin"


def bounds(inside: Inside) -> Box:
    """Return left, top, right, bottom of what is inside; right and bottom are outside."""
    rows, columns = np.nonzero(inside.any(axis=1))[0], np.nonzero(inside.any(axis=0))[0]
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def free_square(pixels: Pixels, lesion: Lesion) -> Box | None:
    """Return the largest square of seen skin that a lesion and its surroundings leave free."""
    if lesion.reason is not None:
        return None
    away = cv2.distanceTransform((~lesion.mask).astype(np.uint8), cv2.DIST_L2, 3)
    free = (away > max(4.0, 0.08 * lesion.diameter)) & lit(pixels, lesion.mask)
    room = cv2.distanceTransform(np.pad(free, 1).astype(np.uint8), cv2.DIST_C, 3)[1:-1, 1:-1]
    y, x = (int(v) for v in np.unravel_index(int(room.argmax()), room.shape))
    half = int(room[y, x]) - 1
    if half < 1:
        return None
    box = (x - half, y - half, x + half + 1, y + half + 1)
    inside = np.zeros(free.shape, np.bool_)
    inside[box[1] : box[3], box[0] : box[2]] = True
    return box if describe_skin(pixels, inside).plausible else None


def healthy_facts(pixels: Pixels) -> dict[str, Any]:
    """Return the same of an image of a class that shows no lesion: all of it, or its lit square."""
    height, width = pixels.shape[:2]
    nothing = Lesion(np.zeros((height, width), np.bool_), "none", 1.0, None)
    if lit(pixels, nothing.mask).all():
        square: Box | None = (0, 0, width, height)
    else:
        square = free_square(pixels, nothing)
    return {
        "origin": "none",
        "quality": 1.0,
        "donor": "empty_mask",
        "target": "empty_mask",
        "diameter": 0.0,
        "free": None if square is None else list(square),
        "hair": round(hair_share(pixels, ~nothing.mask), 4),
    }


def facts(pixels: Pixels, lesion: Lesion) -> dict[str, Any]:
    """Return what a plan must know of an image, as JSON; sizes are shares of the shorter side."""
    short = min(pixels.shape[:2])
    square = free_square(pixels, lesion)
    around = skin_around(pixels, lesion.mask) if lesion.reason is None else lesion.mask
    return {
        "origin": lesion.origin,
        "quality": round(lesion.quality, 4),
        "donor": donor_reason(pixels, lesion),
        "target": target_reason(pixels, lesion),
        "diameter": round(lesion.diameter / short, 4),
        "free": None if square is None else list(square),
        "hair": round(hair_share(pixels, around), 4),
    }
