"""A lesion ready to be laid on skin: what it absorbs, its outline, and how large it is."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from core.synthesis.contract import Pixels
from core.synthesis.donors import bounds
from core.synthesis.segmentation import Floats, Inside
from core.synthesis.skin_field import diameter
from core.synthesis.transplanting import lift

_MOST_TEXELS = 512
"""Texels across the largest texture."""
_INSIDE_SOFT = 0.5


@dataclass(frozen=True, slots=True)
class Lesion:
    """density (H, W, 3) is optical density times matte, inside (H, W) 1 in the lesion.

    across is the diameter of a disc of the lesion's area, metres.
    """

    density: Floats
    inside: Floats
    across: float

    @property
    def texel(self) -> float:
        """Metres across a texel."""
        return self.across / diameter(self.inside >= _INSIDE_SOFT)

    @property
    def reach(self) -> float:
        """Metres from the texture's middle to the farthest point inside the lesion."""
        rows, columns = np.nonzero(self.inside >= _INSIDE_SOFT)
        height, width = self.inside.shape
        away = np.hypot(rows + 0.5 - height / 2, columns + 0.5 - width / 2).max()
        return float(away + 1) * self.texel

    @property
    def area(self) -> float:
        """Square metres inside."""
        return float((self.inside >= _INSIDE_SOFT).sum()) * self.texel**2

    def mirrored(self) -> Lesion:
        """Return its mirror image."""
        return Lesion(
            np.ascontiguousarray(self.density[:, ::-1]),
            np.ascontiguousarray(self.inside[:, ::-1]),
            self.across,
        )

    def at(self, pixel: float) -> Lesion:
        """Return the lesion in texels about as large as a pixel, metres: none is skipped."""
        scale = self.texel / (0.7 * pixel)
        height, width = self.inside.shape
        scale = min(scale, _MOST_TEXELS / max(height, width))
        size = (max(6, round(width * scale)), max(6, round(height * scale)))
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        return Lesion(
            np.asarray(cv2.resize(self.density, size, interpolation=way), np.float32),
            np.asarray(cv2.resize(self.inside, size, interpolation=way), np.float32),
            self.across,
        )


def lifted(pixels: Pixels, inside: Inside, across: float, softness: float = 0.08) -> Lesion:
    """Lift a lesion off its photograph (RGB) by what it absorbs beyond the skin around it.

    ``across`` is its size on the new skin, metres; ``softness`` the width of its border over it.
    """
    density, _, over, where = lift(pixels, inside, softness)
    left, top, right, bottom = bounds(inside)
    soft = over > 0.01
    margin = max(2, round(softness * diameter(inside)) + 2)
    height, width = inside.shape
    rows = slice(max(0, top - margin), min(height, bottom + margin))
    columns = slice(max(0, left - margin), min(width, right + margin))
    kept = (density * over[..., None] * soft[..., None])[rows, columns]
    outline = where[rows, columns]
    return Lesion(_framed(kept), _framed(outline), across)


def _framed(image: Floats) -> Floats:
    """Return the image with two rows and columns of nothing around it, so that nothing is cut."""
    around = ((2, 2), (2, 2)) + (((0, 0),) if image.ndim == 3 else ())
    return np.ascontiguousarray(np.pad(image, around), np.float32)
