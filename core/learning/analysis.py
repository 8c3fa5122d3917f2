"""From predictions to scores with intervals, for every arm and classifier that is complete."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.learning.inference import Replicates, bootstrap, interval, rank_bootstrap
from core.learning.predictions import Predictions
from core.learning.ranking import RankReplicates
from core.learning.scores import (
    DECISION_METRICS,
    RANK_METRICS,
    ClassScores,
    RankingScores,
    confusion,
    decision_scores,
    mean_decision_scores,
    ranking_scores,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ModelScores:
    """One arm with one classifier; all numbers are means over seeds.

    matrix is the confusion matrix, pooled over seeds. by_seed is balanced accuracy seed by seed.
    intervals are by metric; ECE has none: its percentile bootstrap is biased upwards.
    """

    arm: str
    classifier: str
    overall: dict[str, float]
    classes: ClassScores
    ranking: RankingScores
    matrix: NDArray[np.int64]
    by_seed: list[float]
    intervals: dict[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Analysis:
    """Scores by model, and the replicates in which the same models are compared, in this order."""

    models: tuple[tuple[str, str], ...]
    scores: dict[tuple[str, str], ModelScores]
    missing: tuple[tuple[str, str], ...]
    replicates: Replicates | None
    n_groups: NDArray[np.int64]
    ranks: RankReplicates | None = None

    def index(self, arm: str, classifier: str) -> int | None:
        """Return the place of a model in the replicates; None when it is not complete."""
        model = (arm, classifier)
        return self.models.index(model) if model in self.scores else None


def analyse(found: Predictions, *, replicates: int, seed: int) -> Analysis:
    """Score every complete model and bootstrap all of them together."""
    import numpy as np

    complete = [i for i in range(len(found.models)) if found.complete(i)]
    models = tuple(found.models[i] for i in complete)
    missing = tuple(m for i, m in enumerate(found.models) if i not in complete)
    n_groups = groups_by_class(found)
    if not complete:
        return Analysis(models, {}, missing, None, n_groups)
    decisions = np.stack([found.decisions(i) for i in complete])
    size = len(found.classes)
    drawn = bootstrap(found.labels, found.groups, decisions, size, replicates, seed)
    ranks = rank_bootstrap(
        found.labels,
        found.groups,
        found.probabilities[complete],
        found.folds,
        replicates,
        seed,
    )
    scores = {
        model: _score(found, complete[place], place, decisions[place], drawn, ranks)
        for place, model in enumerate(models)
    }
    return Analysis(models, scores, missing, drawn, n_groups, ranks)


def groups_by_class(found: Predictions) -> NDArray[np.int64]:
    """Return the number of independent test groups of each class."""
    import numpy as np

    return np.array(
        [len(np.unique(found.groups[found.labels == c])) for c in range(len(found.classes))]
    )


def _score(
    found: Predictions,
    model: int,
    place: int,
    decisions: NDArray[np.int64],
    drawn: Replicates,
    ranks: RankReplicates,
) -> ModelScores:
    size = len(found.classes)
    overall, classes = mean_decision_scores(found.labels, decisions, size)
    matrices = [confusion(found.labels, row, size) for row in decisions]
    return ModelScores(
        arm=found.models[model][0],
        classifier=found.models[model][1],
        overall=overall,
        classes=classes,
        ranking=ranking_scores(found.labels, found.probabilities[model], found.folds),
        matrix=sum(matrices[1:], start=matrices[0]),
        by_seed=[decision_scores(matrix)["balanced_accuracy"] for matrix in matrices],
        intervals=_intervals(drawn, ranks, place),
    )


def _intervals(
    drawn: Replicates, ranks: RankReplicates, place: int
) -> dict[str, tuple[float, float]]:
    import numpy as np

    found = {name: interval(drawn.metric(name)[:, place]) for name in DECISION_METRICS}
    for name in RANK_METRICS:
        areas = ranks.macro(name)[:, place]
        if not np.isnan(areas).any():
            found[name] = interval(areas)
    return found
