"""Small pictures as records of a version, for kinds that look at pixels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from core.ids import new_id
from core.manifest import ImageRecord
from tests.unit.jobs.inline import InlineRunner

SIDE = 32
MIRROR = [[-1.0, 0.0, SIDE - 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]


def record(runner: InlineRunner, pixels: np.ndarray, label: str, **changes: Any) -> ImageRecord:
    """Store pixels as PNG and return their record: real, training side, its own group."""
    data = cv2.imencode(".png", pixels)[1].tobytes()
    sha256 = runner.blob(data)
    image_id = new_id("img")
    made = ImageRecord(
        image_id=image_id,
        filename=f"{label}/{sha256[:8]}.png",
        label=label,
        sha256=sha256,
        source_sha256=sha256,
        pixel_sha256=sha256,
        width=pixels.shape[1],
        height=pixels.shape[0],
        media_type="image/png",
        modality="rgb",
        split="train",
        source="real",
        group_ids=(image_id,),
    )
    return replace(made, **changes)


def picture(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC))


def real(runner: InlineRunner, counts: dict[str, int], seed: int = 0) -> list[ImageRecord]:
    """Return so many different real images of each class."""
    labels = [label for label, n in counts.items() for _ in range(n)]
    return [record(runner, picture(seed + i), label) for i, label in enumerate(labels)]


def mirrored(runner: InlineRunner, parents: list[ImageRecord]) -> list[ImageRecord]:
    """Return the mirror image of each parent as a synthetic image."""
    made = []
    for parent in parents:
        pixels = np.asarray(cv2.imread(str(runner.store.find(parent.sha256))))[:, ::-1]
        made.append(
            record(
                runner,
                np.ascontiguousarray(pixels),
                parent.label,
                source="synthetic",
                group_ids=parent.group_ids,
                parents=(parent.image_id,),
                parent_sha256=(parent.sha256,),
                provenance={"transform": MIRROR},
            )
        )
    return made
