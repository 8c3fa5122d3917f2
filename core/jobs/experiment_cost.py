"""What an experiment will cost, told before it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.jobs.context import Inputs
from core.jobs.spec import Cost

if TYPE_CHECKING:
    from core.jobs.kinds.experiment import ExperimentParams


def estimate(params: ExperimentParams, inputs: Inputs) -> Cost:
    """Estimate from images (30 a second through the backbone) and the classifiers' fits."""
    from core.jobs.kinds.experiment import arms_of

    images = sum(v.image_count for v in inputs.versions.values())
    if params.synthesis:
        images += params.repeats * inputs.versions[params.dataset_version_id].image_count
    if "augment" in params.arms:  # as many flips and turns as synthetic images, at most
        images += sum(v.image_count for v in inputs.versions.values() if v.kind == "synthetic")
    sides = params.repeats * (params.folds if params.design == "cv" else 1)
    fits = sides * len(arms_of(params)) * images
    seconds = images / 30 + fits * _seconds_per_image(params) + sides * 3 + 20
    return Cost(seconds=seconds, images=images, children=sides + 3)


def _seconds_per_image(params: ExperimentParams) -> float:
    """Return what an image of a training side costs in one arm of one fold, tuning included."""
    from core.jobs.kinds.experiment import classifiers
    from core.learning.contract import CLASSIFIERS

    inner = (params.inner_folds - 1) * params.tuning_candidates if params.tuning == "grid" else 0
    costs = [CLASSIFIERS.get(name).cost for name in classifiers(params)]
    return sum(final + inner * each for final, each in costs)
