"""Paired bootstrap over test groups, stratified by class, and what is read off it.

One draw of groups serves all arms and all seeds, so that differences are paired. A group counts
with all of its images; it belongs to the stratum of its most frequent class.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.learning.ranking import RankReplicates, mean_areas

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_CELLS = 4_000_000
"""Weights held at a time: replicates x groups; and counts: replicates x columns of the table."""
RANK_REPLICATES = 1000
"""Replicates of AUROC and AUPRC, which cost a sorted pass over the images each."""


@dataclass(frozen=True, slots=True)
class Replicates:
    """Scores of B bootstrap replicates for M models and S seeds.

    balanced_accuracy is B x M x S; accuracy and macro_f1 are B x M and recall is B x M x classes,
    means over seeds.
    """

    balanced_accuracy: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    macro_f1: NDArray[np.float64]
    recall: NDArray[np.float64]

    def metric(self, name: str) -> NDArray[np.float64]:
        """Return B x M replicates of ``balanced_accuracy``, ``accuracy`` or ``macro_f1``."""
        if name == "balanced_accuracy":
            mean: NDArray[np.float64] = self.balanced_accuracy.mean(axis=2)
            return mean
        return {"accuracy": self.accuracy, "macro_f1": self.macro_f1}[name]


def strata(labels: NDArray[Any], groups: NDArray[Any]) -> NDArray[np.int64]:
    """Return of each group 0..G-1 its most frequent class (the lower number on a tie)."""
    import numpy as np

    counts = np.zeros((int(groups.max()) + 1, int(labels.max()) + 1), dtype=np.int64)
    np.add.at(counts, (groups, labels), 1)
    most: NDArray[np.int64] = counts.argmax(axis=1)
    return most


def bootstrap(
    labels: NDArray[Any],
    groups: NDArray[Any],
    decisions: NDArray[Any],
    classes: int,
    replicates: int,
    seed: int,
) -> Replicates:
    """Return bootstrap replicates of the decision scores.

    labels: images, 0..classes-1. groups: images, 0..G-1, every number in use. decisions: models x
    seeds x images. Each replicate draws as many groups a stratum as there are, with replacement.
    """
    import numpy as np

    models, seeds, _ = decisions.shape
    support, correct, predicted = _group_counts(labels, groups, decisions, classes)
    table = np.concatenate([support, correct, predicted], axis=1).astype(np.float32)
    answer = Replicates(
        np.empty((replicates, models, seeds)),
        np.empty((replicates, models)),
        np.empty((replicates, models)),
        np.empty((replicates, models, classes)),
    )
    rng = np.random.default_rng(seed)
    rows = max(1, _CELLS // table.shape[1])  # many models and few groups: a block in pieces
    start = 0
    for block in group_draws(strata(labels, groups), replicates, rng):
        for weights in (block[i : i + rows] for i in range(0, len(block), rows)):
            part = slice(start, start + len(weights))
            start = part.stop
            sums = (weights @ table).astype(np.float64)
            cells = sums[:, classes:].reshape(len(weights), 2, models, seeds, classes)
            _score(answer, part, sums[:, None, None, :classes], cells[:, 0], cells[:, 1])
    return answer


def rank_bootstrap(
    labels: NDArray[Any],
    groups: NDArray[Any],
    probabilities: NDArray[Any],
    folds: NDArray[Any],
    replicates: int,
    seed: int,
) -> RankReplicates:
    """Return at most RANK_REPLICATES replicates of the areas under the curves.

    labels, groups: images. probabilities: models x seeds x images x classes. folds: seeds x
    images. Groups are drawn as in :func:`bootstrap`; the areas stay inside each fold's model.
    """
    import numpy as np

    size = min(replicates, RANK_REPLICATES)
    blocks = list(group_draws(strata(labels, groups), size, np.random.default_rng([seed, 2])))
    weights = np.concatenate(blocks)[:, groups]
    found = [mean_areas(labels, chances, folds, weights) for chances in probabilities]
    return RankReplicates(
        np.stack([auroc for auroc, _ in found], axis=1),
        np.stack([auprc for _, auprc in found], axis=1),
    )


def _group_counts(
    labels: NDArray[Any], groups: NDArray[Any], decisions: NDArray[Any], classes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return groups x classes supports, and groups x (model, seed, class) hits and decisions."""
    import numpy as np

    size = int(groups.max()) + 1
    flat = decisions.reshape(-1, decisions.shape[-1])

    def count(cells: NDArray[Any], which: NDArray[Any]) -> NDArray[np.int64]:
        pairs = groups[which] * classes + cells[which]
        return np.bincount(pairs, minlength=size * classes).reshape(size, classes)

    everything = np.ones(len(labels), dtype=bool)
    return (
        count(labels, everything),
        np.concatenate([count(labels, row == labels) for row in flat], axis=1),
        np.concatenate([count(row, everything) for row in flat], axis=1),
    )


def group_draws(
    stratum: NDArray[Any], replicates: int, rng: np.random.Generator
) -> Iterator[NDArray[np.float32]]:
    """Yield blocks of replicates x groups: how often each group was drawn."""
    import numpy as np

    members = [np.flatnonzero(stratum == label) for label in np.unique(stratum)]
    block = max(1, min(replicates, _CELLS // len(stratum)))
    for start in range(0, replicates, block):
        rows = min(block, replicates - start)
        weights = np.empty((rows, len(stratum)), dtype=np.float32)
        for own in members:
            drawn = rng.integers(0, len(own), size=(rows, len(own)))
            drawn += np.arange(rows)[:, None] * len(own)
            counted = np.bincount(drawn.ravel(), minlength=rows * len(own))
            weights[:, own] = counted.reshape(rows, len(own))
        yield weights


def _score(
    answer: Replicates,
    part: slice,
    support: NDArray[np.float64],
    correct: NDArray[np.float64],
    predicted: NDArray[np.float64],
) -> None:
    """Fill a block of replicates; support is b x 1 x 1 x C, the others b x M x S x C."""
    import numpy as np

    tested = support > 0
    kinds = tested.sum(axis=-1)
    recall = correct / np.maximum(support, 1)
    f1 = 2 * correct / np.maximum(support + predicted, 1)
    answer.balanced_accuracy[part] = (recall * tested).sum(axis=-1) / kinds
    answer.accuracy[part] = (correct.sum(axis=-1) / support.sum(axis=-1)).mean(axis=-1)
    answer.macro_f1[part] = ((f1 * tested).sum(axis=-1) / kinds).mean(axis=-1)
    answer.recall[part] = recall.mean(axis=2)


def interval(replicates: NDArray[Any], level: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval of replicates."""
    import numpy as np

    tail = (1 - level) / 2
    low, high = np.quantile(replicates, [tail, 1 - tail])
    return float(low), float(high)


def p_value(replicates: NDArray[Any]) -> float:
    """Return 2 min(tail) + 1/B for the hypothesis that a difference is 0, at most 1."""
    size = len(replicates)
    tail = min(int((replicates <= 0).sum()), int((replicates >= 0).sum())) / size
    return min(1.0, 2 * tail + 1 / size)


def holm(p_values: Sequence[float], alpha: float = 0.05) -> list[tuple[float, float]]:
    """Return of each p its Holm-adjusted value and the level of its adjusted interval.

    Holm (1979): the k-th smallest of m is multiplied by m - k + 1, made monotone; its interval has
    level 1 - alpha / (m - k + 1).
    """
    size = len(p_values)
    order = sorted(range(size), key=lambda i: p_values[i])
    answer = [(1.0, 1 - alpha)] * size
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, p_values[index] * (size - rank)))
        answer[index] = (largest, 1 - alpha / (size - rank))
    return answer


def smallest_detectable(replicates: NDArray[Any]) -> float:
    """Return the difference that a two-sided 5 % test finds with 80 % power: (1.96 + 0.84) SE."""
    return float((1.959964 + 0.841621) * replicates.std(ddof=1))


def with_seeds(replicates: NDArray[Any], seed: int) -> NDArray[np.float64]:
    """Average B x S replicates over seeds that are drawn with replacement as well."""
    import numpy as np

    size, seeds = replicates.shape
    drawn = np.random.default_rng([seed, 1]).integers(0, seeds, size=(size, seeds))
    return np.asarray(np.take_along_axis(replicates, drawn, axis=1).mean(axis=1))


def simultaneous_band(
    estimates: NDArray[Any], replicates: NDArray[Any], level: float = 0.95
) -> list[tuple[float, float]]:
    """Return intervals that hold together (max-|t|): estimates K, replicates B x K."""
    import numpy as np

    spread = replicates.std(axis=0, ddof=1)
    safe = np.where(spread > 0, spread, 1.0)
    largest = (np.abs(replicates - estimates) / safe).max(axis=1)
    reach = float(np.quantile(largest, level)) * spread
    return [
        (float(e - r), float(e + r)) for e, r in zip(estimates, np.atleast_1d(reach), strict=True)
    ]
