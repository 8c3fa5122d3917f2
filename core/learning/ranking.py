"""Areas under ROC and precision-recall curves, for thousands of weightings of the images at once.

Probabilities of different models are not comparable, so that every area is computed inside one
fold's model and the models are averaged afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MIN_POSITIVES = 5
"""A fold with fewer images of a class says nothing about ranking that class."""


@dataclass(frozen=True, slots=True)
class RankReplicates:
    """Areas of B replicates for M models and C classes, means over the folds' models: B x M x C.

    NaN where a class could not be ranked (in no fold five positives, or none was drawn).
    """

    auroc: NDArray[np.float64]
    auprc: NDArray[np.float64]

    def macro(self, name: str) -> NDArray[np.float64]:
        """Return B x M means over the classes of ``macro_auroc`` or ``macro_auprc``."""
        areas = {"macro_auroc": self.auroc, "macro_auprc": self.auprc}[name]
        return mean_known(areas, axis=2)


def areas(
    positive: NDArray[np.bool_], scores: NDArray[Any], weights: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return AUROC and average precision of one class in one model, for each row of weights.

    positive, scores: images. weights: B x images, how often each image counts. Ties count half in
    AUROC; precision is taken at distinct thresholds, without interpolation, as scikit-learn does.
    NaN where no positive or no negative image counts.
    """
    import numpy as np

    order = np.argsort(scores, kind="stable")
    ordered, hit = scores[order], positive[order]
    first = np.searchsorted(ordered, ordered[hit], "left")
    last = np.searchsorted(ordered, ordered[hit], "right")
    drawn = weights[:, order]
    negatives = _cumulated(np.where(hit, 0, drawn))
    positives = _cumulated(np.where(hit, drawn, 0))
    mine, all_positive, all_negative = drawn[:, hit], positives[:, -1], negatives[:, -1]
    below = (negatives[:, first] + negatives[:, last]) / 2
    true = all_positive[:, None] - positives[:, first]
    false = all_negative[:, None] - negatives[:, first]
    precision = true / np.maximum(true + false, 1e-12)
    known = (all_positive > 0) & (all_negative > 0)
    pairs = np.where(known, all_positive * all_negative, np.nan)
    auroc = (mine * below).sum(axis=1) / pairs
    auprc = (mine * precision).sum(axis=1) / np.where(known, all_positive, np.nan)
    return auroc, auprc


def _cumulated(weights: NDArray[Any]) -> NDArray[np.float64]:
    """Return B x (n + 1) sums of the first 0..n columns."""
    import numpy as np

    sums = np.zeros((weights.shape[0], weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=sums[:, 1:])
    return sums


def mean_areas(
    labels: NDArray[Any],
    probabilities: NDArray[Any],
    folds: NDArray[Any],
    weights: NDArray[Any],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return B x classes of AUROC and AUPRC: means over the models of all seeds and folds.

    labels: images. probabilities: seeds x images x classes. folds: seeds x images. weights: B x
    images. A fold with fewer than MIN_POSITIVES images of a class is left out for that class.
    """
    import numpy as np

    size = probabilities.shape[2]
    models = list(_models(folds))
    found = np.full((2, len(models), len(weights), size), np.nan)
    for place, (seed, here) in enumerate(models):
        own = np.ascontiguousarray(weights[:, here])
        for label in range(size):
            positive = labels[here] == label
            if positive.sum() < MIN_POSITIVES or positive.all():
                continue
            found[:, place, :, label] = areas(positive, probabilities[seed, here, label], own)
    return mean_known(found[0], axis=0), mean_known(found[1], axis=0)


def _models(folds: NDArray[Any]) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Yield the seed and the tested images of each fold's model."""
    import numpy as np

    for seed, tested_in in enumerate(folds):
        for fold in np.unique(tested_in):
            yield seed, np.flatnonzero(tested_in == fold)


def mean_known(values: NDArray[Any], axis: int) -> NDArray[np.float64]:
    """Return the mean of what is not NaN along an axis; NaN where nothing is."""
    import numpy as np

    counts = (~np.isnan(values)).sum(axis=axis)
    sums = np.nansum(values, axis=axis)
    return np.asarray(np.where(counts > 0, sums / np.maximum(counts, 1), np.nan))
