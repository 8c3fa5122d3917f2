"""From counted pixels to Dice and IoU with intervals, and paired differences between arms.

The bootstrap is that of :mod:`core.learning.inference`: groups are drawn with replacement within
strata of classes, one draw for all arms and seeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.learning.inference import group_draws, interval, strata
from core.learning.segmentation.scores import Scores, image_dice, image_iou

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

METRICS = ("dice", "iou", "dice_pooled", "iou_pooled")
"""Means over images, then over the pixels of all images together."""
PRIMARY_METRIC = "dice"
OVERALL = 0
"""Place of all classes together; class c stands at c + 1."""


@dataclass(frozen=True, slots=True)
class Estimates:
    """Scores of one arm: values and replicates, means over seeds.

    values: (1 + classes) x METRICS, NaN for a class without images. replicates: B x the same.
    by_seed: B x seeds replicates of the primary metric over all classes; seeds: its values.
    """

    values: NDArray[np.float64]
    replicates: NDArray[np.float64]
    by_seed: NDArray[np.float64]
    seeds: NDArray[np.float64]

    def interval(self, metric: str, place: int = OVERALL) -> tuple[float, float]:
        """Return the 95 % interval of a score."""
        return interval(self.replicates[:, place, METRICS.index(metric)])

    def value(self, metric: str, place: int = OVERALL) -> float:
        return float(self.values[place, METRICS.index(metric)])


@dataclass(frozen=True, slots=True)
class Analysis:
    """Estimates of the complete arms, and images and independent groups a class."""

    arms: dict[str, Estimates]
    n_images: tuple[int, ...]
    n_groups: tuple[int, ...]
    groups: int

    def paired(self, arm: str, other: str, metric: str, place: int = OVERALL) -> NDArray[Any]:
        """Return B replicates of the difference between two arms."""
        column = METRICS.index(metric)
        ours, theirs = self.arms[arm].replicates, self.arms[other].replicates
        return ours[:, place, column] - theirs[:, place, column]

    def difference(self, arm: str, other: str, metric: str, place: int = OVERALL) -> float:
        return self.arms[arm].value(metric, place) - self.arms[other].value(metric, place)


def analyse(found: Scores, *, replicates: int, seed: int) -> Analysis:
    """Score every complete arm and bootstrap all of them together."""
    import numpy as np

    size = len(found.classes)
    complete = [arm for arm in found.arms if found.complete(arm)]
    sums = {arm: _group_sums(found, arm) for arm in complete}
    drawn: dict[str, list[tuple[NDArray[Any], NDArray[Any]]]] = {arm: [] for arm in complete}
    rng = np.random.default_rng(seed)
    for weights in group_draws(strata(found.labels, found.groups), replicates, rng):
        for arm in complete:
            drawn[arm].append(_replicated(weights, sums[arm]))
    return Analysis(
        {arm: _estimates(sums[arm], drawn[arm]) for arm in complete},
        tuple(np.bincount(found.labels, minlength=size).tolist()),
        tuple(len(np.unique(found.groups[found.labels == c])) for c in range(size)),
        len(np.unique(found.groups)),
    )


def _group_sums(found: Scores, arm: str) -> NDArray[np.float64]:
    """Return seeds x groups x classes x (images, dice, iou, TP, FP, FN)."""
    import numpy as np

    counts = found.of(arm)
    seeds, images = counts.shape[:2]
    ones = np.ones((seeds, images, 1))
    terms = np.concatenate(
        [ones, image_dice(counts)[..., None], image_iou(counts)[..., None], counts[..., :3]], axis=2
    )
    sums = np.zeros((seeds, int(found.groups.max()) + 1, len(found.classes), terms.shape[2]))
    for seed in range(seeds):
        np.add.at(sums[seed], (found.groups, found.labels), terms[seed])
    return sums


def _replicated(weights: NDArray[Any], sums: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return b x (1 + classes) x METRICS averaged over seeds, and b x seeds of the primary one."""
    import numpy as np

    exact = weights.astype(np.float64)
    total = np.zeros((len(exact), 1 + sums.shape[2], len(METRICS)))
    by_seed = []
    for own in sums:
        scored = _metrics((exact @ own.reshape(len(own), -1)).reshape(-1, *own.shape[1:]))
        total += scored / len(sums)
        by_seed.append(scored[:, OVERALL, METRICS.index(PRIMARY_METRIC)])
    return total, np.stack(by_seed, axis=1)


def _metrics(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return b x (1 + classes) x METRICS of b x classes x terms; NaN without images."""
    import numpy as np

    whole = np.concatenate([sums.sum(axis=1, keepdims=True), sums], axis=1)
    images, dice, iou, hits, extra, missed = np.moveaxis(whole, -1, 0)
    none = images == 0
    pixels = hits + extra + missed
    pooled_dice = np.where(pixels > 0, 2 * hits / np.maximum(hits + pixels, 1), 1.0)
    pooled_iou = np.where(pixels > 0, hits / np.maximum(pixels, 1), 1.0)
    some = np.maximum(images, 1)
    found = np.stack([dice / some, iou / some, pooled_dice, pooled_iou], axis=-1)
    found[none] = np.nan
    return found


def _estimates(
    sums: NDArray[np.float64], drawn: list[tuple[NDArray[Any], NDArray[Any]]]
) -> Estimates:
    import numpy as np

    once = np.ones((1, sums.shape[1]))
    values, seeds = _replicated(once, sums)
    return Estimates(
        values[0],
        np.concatenate([means for means, _ in drawn]),
        np.concatenate([by_seed for _, by_seed in drawn]),
        seeds[0],
    )
