"""Dark discs on something like skin: a problem that a small network learns in seconds."""

from __future__ import annotations

import cv2
import numpy as np

from core.ingest.images import encode_png
from core.learning.segmentation.samples import Samples, mask_square
from core.manifest import ImageRecord
from tests.unit.jobs.inline import InlineRunner
from tests.unit.jobs.pictures import record

SIDE = 32
SKIN, SPOT = np.array([205, 160, 135]), np.array([115, 70, 60])


def disc(number: int, *, height: int = SIDE, width: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels and the mask of a disc of some size somewhere, under noise and shade."""
    rng = np.random.default_rng([number, 77])
    radius = rng.uniform(0.14, 0.28) * min(height, width)
    x, y = rng.uniform(radius, width - radius), rng.uniform(radius, height - radius)
    rows, columns = np.mgrid[:height, :width]
    inside = np.hypot(columns - x, rows - y) <= radius
    grain = cv2.resize(rng.normal(0, 12, (6, 6)), (width, height), interpolation=cv2.INTER_CUBIC)
    shade = rng.uniform(0.85, 1.1) * (1 + 0.1 * (columns / width - 0.5))
    pixels = np.where(inside[..., None], SPOT, SKIN) * shade[..., None]
    pixels = pixels + np.asarray(grain)[..., None] + rng.normal(0, 6, (height, width, 3))
    return pixels.clip(0, 255).astype(np.uint8), np.where(inside, 255, 0).astype(np.uint8)


def noise(number: int) -> np.ndarray:
    """Return an image that says nothing of its mask."""
    rng = np.random.default_rng([number, 5])
    return rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def samples(count: int, *, blind: bool = False) -> Samples:
    """Return so many discs as squares; blind: noise in the place of their pixels."""
    drawn = [disc(number) for number in range(count)]
    pixels = [noise(n) if blind else own for n, (own, _) in enumerate(drawn)]
    masks = [mask_square(mask, SIDE) for _, mask in drawn]
    return Samples(np.stack(pixels), np.stack(masks))


def masked(
    runner: InlineRunner, number: int, label: str, mask: np.ndarray | None = None, **changes: object
) -> ImageRecord:
    """Store a disc with its mask (or another one) and return its record."""
    pixels, own = disc(number)
    blob = runner.blob(encode_png(own if mask is None else mask))
    made = record(runner, pixels, label, **changes)
    made.provenance["annotations"] = {"mask": blob}
    return made


def dataset(runner: InlineRunner, counts: dict[str, int], start: int = 0) -> list[ImageRecord]:
    """Return so many real discs of each class, two a group."""
    labels = [label for label, n in counts.items() for _ in range(n)]
    groups = [f"g-{label}-{i // 2}" for label, n in counts.items() for i in range(n)]
    return [
        masked(runner, start + i, label, group_ids=(group,))
        for i, (label, group) in enumerate(zip(labels, groups, strict=True))
    ]


def synthetic(
    runner: InlineRunner, parents: list[ImageRecord], start: int = 5000
) -> list[ImageRecord]:
    """Return a new disc for each parent, which it declares."""
    return [
        masked(
            runner,
            start + i,
            parent.label,
            source="synthetic",
            group_ids=parent.group_ids,
            parents=(parent.image_id,),
            parent_sha256=(parent.sha256,),
        )
        for i, parent in enumerate(parents)
    ]
