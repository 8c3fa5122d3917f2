"""What training segmentation networks will cost, told before it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.jobs.context import Inputs, VersionInput
from core.jobs.spec import Cost

if TYPE_CHECKING:
    from core.jobs.kinds.train_segmentation import TrainSegmentationParams

SHARD_SECONDS = 3.0
"""Of an arm in a fold beside its network: libraries, manifests, firewall."""
READ_SECONDS = 0.004
"""An image and its mask, decoded and scaled."""
LOOK = 0.2
"""A pass without gradient against one with it."""
GATE_SECONDS = 0.0015
"""Looking at a synthetic image for copies."""
REPORT_SECONDS = 8.0


def estimate(params: TrainSegmentationParams, inputs: Inputs) -> Cost:
    """Estimate every arm of every fold, and the model on all images, if none stops early."""
    from core.jobs.kinds.train_segmentation import arms_of
    from core.learning.segmentation.contract import ARCHITECTURES

    entry = ARCHITECTURES.get(params.architecture, "/architecture")
    real = _masked(inputs.versions[params.dataset_version_id])
    made = sum(_masked(inputs.versions[v]) for v in params.synthetic_version_ids)
    arms = arms_of(params)
    pass_seconds = params.image_size**2 / 1e6 * entry.seconds
    share = 1 - 1 / params.folds

    def fit(scale: float) -> float:
        kept = scale * real
        added = min(scale * made, (params.ratio or float("inf")) * kept)
        largest = kept * (1 - params.validation) + (added if len(arms) > 1 else 0)
        held = params.validation * kept
        return params.epochs * (largest + LOOK * held) * pass_seconds + READ_SECONDS * (
            kept + added
        )

    sides = params.folds * params.repeats
    tested = real * params.repeats * len(arms) * (LOOK * pass_seconds + 2 * READ_SECONDS)
    seconds = sides * len(arms) * (fit(share) + SHARD_SECONDS) + fit(1.0) + SHARD_SECONDS + tested
    children = sides * len(arms) + 1 + bool(made)
    return Cost(
        seconds=seconds + made * GATE_SECONDS + REPORT_SECONDS,
        images=real + made,
        children=children,
    )


def _masked(version: VersionInput) -> int:
    return version.image_count if version.masks is None else version.masks
