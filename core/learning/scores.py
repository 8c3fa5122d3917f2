"""Scores of decisions and of probabilities, averaged over seeds and over the folds' models.

Decisions may be pooled over folds; probabilities of different models may not, so that AUROC, AUPRC
and ECE are computed inside each fold and averaged. Confusion matrices have true classes in rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.learning.ranking import mean_areas

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ECE_BINS = 15

DECISION_METRICS = ("balanced_accuracy", "accuracy", "macro_f1")
RANK_METRICS = ("macro_auroc", "macro_auprc")


def confusion(labels: NDArray[Any], decisions: NDArray[Any], classes: int) -> NDArray[np.int64]:
    """Return the classes x classes matrix of counts, true classes in rows."""
    import numpy as np

    pairs = labels.astype(np.int64) * classes + decisions
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


@dataclass(frozen=True, slots=True)
class ClassScores:
    """Precision, recall, F1 (0 where undefined) and support, each an array over classes."""

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    support: NDArray[np.int64]


def class_scores(matrix: NDArray[Any]) -> ClassScores:
    """Return the scores of each class from a confusion matrix."""
    import numpy as np

    correct = np.diagonal(matrix).astype(np.float64)
    support, predicted = matrix.sum(axis=1), matrix.sum(axis=0)
    return ClassScores(
        precision=correct / np.maximum(predicted, 1),
        recall=correct / np.maximum(support, 1),
        f1=2 * correct / np.maximum(support + predicted, 1),
        support=support.astype(np.int64),
    )


def decision_scores(matrix: NDArray[Any]) -> dict[str, float]:
    """Return balanced accuracy, accuracy and macro F1 of a confusion matrix.

    Balanced accuracy and macro F1 are means over the classes that were tested.
    """
    scores = class_scores(matrix)
    tested = scores.support > 0
    correct, total = float(matrix.trace()), float(matrix.sum())
    return {
        "balanced_accuracy": float(scores.recall[tested].mean()),
        "accuracy": correct / total,
        "macro_f1": float(scores.f1[tested].mean()),
    }


def mean_decision_scores(
    labels: NDArray[Any], decisions: NDArray[Any], classes: int
) -> tuple[dict[str, float], ClassScores]:
    """Return scores and scores per class, means over seeds; decisions is seeds x images."""
    import numpy as np

    matrices = [confusion(labels, row, classes) for row in decisions]
    overall = [decision_scores(matrix) for matrix in matrices]
    each = [class_scores(matrix) for matrix in matrices]
    return (
        {name: float(np.mean([score[name] for score in overall])) for name in DECISION_METRICS},
        ClassScores(
            precision=np.mean([s.precision for s in each], axis=0),
            recall=np.mean([s.recall for s in each], axis=0),
            f1=np.mean([s.f1 for s in each], axis=0),
            support=each[0].support,
        ),
    )


@dataclass(frozen=True, slots=True)
class RankingScores:
    """Threshold-free scores; NaN for a class that no fold could rank (fewer than 5 positives).

    auroc and auprc run over classes and are one-against-rest; ece is of the most probable class.
    """

    auroc: NDArray[np.float64]
    auprc: NDArray[np.float64]
    ece: float

    def macro(self) -> dict[str, float | None]:
        """Return the means over the classes that could be ranked; None when there is none."""
        import numpy as np

        ranked = ~np.isnan(self.auroc)
        known = bool(ranked.any())
        return {
            "macro_auroc": float(self.auroc[ranked].mean()) if known else None,
            "macro_auprc": float(self.auprc[ranked].mean()) if known else None,
            "ece": self.ece,
        }


def ranking_scores(
    labels: NDArray[Any], probabilities: NDArray[Any], folds: NDArray[Any]
) -> RankingScores:
    """Return AUROC, AUPRC and ECE, means over the models of all seeds and folds.

    labels: images. probabilities: seeds x images x classes. folds: seeds x images, which model of
    the seed tested the image.
    """
    import numpy as np

    everything = np.ones((1, len(labels)))
    auroc, auprc = mean_areas(labels, probabilities, folds, everything)
    errors = [
        expected_calibration_error(labels[tested_in == fold], chances[tested_in == fold])
        for chances, tested_in in zip(probabilities, folds, strict=True)
        for fold in np.unique(tested_in)
    ]
    return RankingScores(auroc[0], auprc[0], float(np.mean(errors)))


def expected_calibration_error(
    labels: NDArray[Any], chances: NDArray[Any], bins: int = ECE_BINS
) -> float:
    """Return the ECE of the most probable class over equal-mass bins (Nguyen and O'Connor 2015).

    labels: images. chances: images x classes. With fewer images than bins each is a bin.
    """
    import numpy as np

    confidence = chances.max(axis=1).astype(np.float64)
    correct = (chances.argmax(axis=1) == labels).astype(np.float64)
    order = np.argsort(confidence, kind="stable")
    parts = np.array_split(order, min(bins, len(order)))
    gaps = [len(part) * abs(confidence[part].mean() - correct[part].mean()) for part in parts]
    return float(sum(gaps) / len(order))


def calibration_bins(
    labels: NDArray[Any], probabilities: NDArray[Any], folds: NDArray[Any], bins: int = ECE_BINS
) -> list[tuple[float, float, int]]:
    """Return mean probability, share right and images of each equal-mass bin of one arm.

    Bins are made inside each fold's model and joined by their rank over all models. labels:
    images. probabilities: seeds x images x classes. folds: seeds x images.
    """
    import numpy as np

    joined: list[list[tuple[float, float]]] = [[] for _ in range(bins)]
    for chances, tested_in in zip(probabilities, folds, strict=True):
        for fold in np.unique(tested_in):
            here = np.flatnonzero(tested_in == fold)
            confidence = chances[here].max(axis=1).astype(np.float64)
            correct = chances[here].argmax(axis=1) == labels[here]
            order = np.argsort(confidence, kind="stable")
            for place, part in enumerate(np.array_split(order, bins)):
                pairs = zip(confidence[part].tolist(), correct[part].tolist(), strict=True)
                joined[place].extend(pairs)
    return [
        (sum(c for c, _ in rows) / len(rows), sum(r for _, r in rows) / len(rows), len(rows))
        for rows in joined
        if rows
    ]
