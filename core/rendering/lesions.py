"""A lesion ready to be laid on skin: what it absorbs, its outline, and how large it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from core.synthesis.blending import absorbed
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
    """What a lesion does to skin, in texels.

    density (H, W, 3): skin under it sends back exp(-density) of its light. inside (H, W) is 1 in
    the lesion; across the diameter of a disc of its area, metres. light (H, W, 4) is the log light
    of its photograph and the matte that it is to be shown through, for blends that need them.
    """

    density: Floats
    inside: Floats
    across: float
    light: Floats | None = None

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
        return self._changed(lambda texels: np.ascontiguousarray(texels[:, ::-1]))

    def at(self, pixel: float) -> Lesion:
        """Return the lesion in texels about as large as a pixel, metres: none is skipped."""
        scale = self.texel / (0.7 * pixel)
        height, width = self.inside.shape
        scale = min(scale, _MOST_TEXELS / max(height, width))
        size = (max(6, round(width * scale)), max(6, round(height * scale)))
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        if size == (width, height):
            return self
        return self._changed(
            lambda texels: np.asarray(cv2.resize(texels, size, interpolation=way), np.float32)
        )

    def _changed(self, change: Callable[[Floats], Floats]) -> Lesion:
        light = None if self.light is None else change(self.light)
        return Lesion(change(self.density), change(self.inside), self.across, light)


def lifted(pixels: Pixels, inside: Inside, across: float, softness: float = 0.08) -> Lesion:
    """Lift a lesion off its photograph (RGB) by what it absorbs beyond the skin around it.

    ``across`` is its size on the new skin, metres; ``softness`` the width of its border over it.
    """
    density, log, over, where = lift(pixels, inside, softness)
    left, top, right, bottom = bounds(inside)
    soft = over > 0.01
    margin = max(2, round(softness * diameter(inside)) + 2)
    height, width = inside.shape
    rows = slice(max(0, top - margin), min(height, bottom + margin))
    columns = slice(max(0, left - margin), min(width, right + margin))
    over = over * soft
    kept = absorbed(density * over[..., None])[rows, columns]
    light = np.concatenate([log, over[..., None]], axis=-1)[rows, columns]
    return Lesion(_framed(kept), _framed(where[rows, columns]), across, _framed(light))


def _framed(image: Floats) -> Floats:
    """Return the image in two rows and columns more: of nothing, so that nothing is cut off."""
    around = ((2, 2), (2, 2)) + (((0, 0),) if image.ndim == 3 else ())
    return np.ascontiguousarray(np.pad(image, around), np.float32)
