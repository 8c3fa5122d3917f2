"""How far a segmentation can be trusted, from what can be measured without knowing the truth."""

from __future__ import annotations

from dataclasses import asdict, astuple, dataclass, fields

import cv2
import numpy as np

from core.synthesis.segmentation import Floats, Inside, Segmentation


@dataclass(frozen=True, slots=True)
class Traits:
    """Measurable properties of a segmentation, each about 0..1.

    agreement: Dice of the mask and the graph cut; thresholds: Dice of the two thresholds; contrast:
    colour distance inside above the ring around, over the spread of both; compactness: 4 pi area /
    perimeter^2; solidity: area over that of the convex hull; free: share of the border that is not
    at the frame. Sharpness of the border, evenness of the skin and the number of other areas were
    tried and told nothing more on images left out.
    """

    agreement: float
    thresholds: float
    contrast: float
    compactness: float
    solidity: float
    free: float

    def as_dict(self) -> dict[str, float]:
        return {name: round(value, 4) for name, value in asdict(self).items()}

    def vector(self) -> tuple[float, ...]:
        return astuple(self)


NAMES = tuple(field.name for field in fields(Traits))
WEIGHTS = Traits(0.181, 0.164, 0.101, 0.152, 0.296, 0.291)
BIAS = -0.185
"""Ridge regression of the true Dice on 40 dermoscopic and 22 clinical images with masks by hand
(``python -m tests.bench.donors`` fits it again, and scores every image with itself left out)."""
ACCEPTED = 0.80
"""Least quality of a mask that is used."""


def quality(found: Traits) -> float:
    """Return the Dice that is expected of a segmentation, 0..1."""
    value = sum(w * v for w, v in zip(WEIGHTS.vector(), found.vector(), strict=True)) + BIAS
    return min(1.0, max(0.0, value)) if any(found.vector()) else 0.0


def traits(found: Segmentation) -> Traits:
    """Measure a segmentation; all zero when nothing was found."""
    inside, outside = found.inside, found.seen & ~found.inside
    outlines, _ = cv2.findContours(
        inside.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    if not outlines or inside.sum() < 12 or not outside.any():
        return Traits(*(0.0 for _ in NAMES))
    outline = max(outlines, key=cv2.contourArea)
    area = max(float(cv2.contourArea(outline)), 1.0)
    hull = max(float(cv2.contourArea(cv2.convexHull(outline))), area)
    perimeter = max(float(cv2.arcLength(outline, True)), 1.0)
    around = _ring(inside) & outside
    return Traits(
        agreement=dice(inside, found.cut),
        thresholds=dice(found.blue, found.lab),
        contrast=_contrast(found.distance, inside, around if around.any() else outside),
        compactness=min(1.0, 4 * np.pi * area / perimeter**2),
        solidity=area / hull,
        free=1.0 - touching(inside),
    )


def dice(first: Inside, second: Inside) -> float:
    """Return 2 |A and B| / (|A| + |B|) (Dice 1945); 1 for two empty masks."""
    total = int(first.sum()) + int(second.sum())
    return 2 * int((first & second).sum()) / total if total else 1.0


def touching(inside: Inside) -> float:
    """Return the share of the lesion's border that lies on the frame of the image."""
    framed = np.pad(inside, 1).astype(np.uint8)
    border = inside & ~(cv2.erode(framed, np.ones((3, 3), np.uint8))[1:-1, 1:-1] > 0)
    frame = np.ones(inside.shape, np.bool_)
    frame[1:-1, 1:-1] = False
    return float((border & frame).sum() / max(1, border.sum()))


def _ring(inside: Inside) -> Inside:
    reach = max(3, round(0.25 * float(np.sqrt(inside.sum()))))
    kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    near = cv2.dilate(inside.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return np.asarray((cv2.dilate(inside.astype(np.uint8), kernel) > 0) & ~near)


def _contrast(distance: Floats, inside: Inside, outside: Inside) -> float:
    gap = float(distance[inside].mean() - distance[outside].mean())
    spread = float(distance[inside].std() + distance[outside].std()) + 1.0
    return float(np.clip(gap / spread / 3, 0, 1))
