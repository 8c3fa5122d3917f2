"""Hyperparameters of one arm in one fold: the same inner grouped grid and budget for all arms.

The training side is cut once a fold into inner folds over its real groups. What an arm trains on
is restricted to each inner training part, with repeats, turned views and synthetic images following
their groups, and judged on the real images of the inner test part, as the outer fold judges it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from core.errors import InvalidInput, JobFailed
from core.learning.arms import Arm, Training, usable_synthetic, weigh
from core.learning.cohort import Cohort
from core.learning.contract import CLASSIFIERS
from core.learning.course import DIVERGED
from core.learning.firewall import check_no_leak
from core.learning.fitting import ClassifierChoice, Rows, prior_corrected
from core.learning.fold_fits import Fits, Trained
from core.learning.scores import confusion, decision_scores
from core.learning.splits import grouped_folds
from core.manifest import ImageRecord

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Budget:
    """Candidates of each classifier's grid (the first so many) and inner folds: fits of an arm."""

    candidates: int
    folds: int


@dataclass(frozen=True, slots=True)
class InnerTable:
    """Of each real row of a training side the inner fold, 0..count-1, that tests it."""

    rows: NDArray[np.intp]
    folds: NDArray[np.int64]
    count: int

    def test(self, fold: int) -> NDArray[np.intp]:
        """Return the rows of the cohort that an inner fold tests."""
        answer: NDArray[np.intp] = self.rows[self.folds == fold]
        return answer

    def train(self, fold: int) -> NDArray[np.intp]:
        """Return the rows of the cohort that stay on the inner training side."""
        answer: NDArray[np.intp] = self.rows[self.folds != fold]
        return answer


@dataclass(frozen=True, slots=True)
class Tuned:
    """What tuning found: ``chosen`` is a number into the grid, None when nothing could be chosen.

    scores are balanced accuracies of the candidates over all inner folds; params are the changes of
    the chosen candidate; reason says why there is none.
    """

    arm: str
    classifier: str
    chosen: int | None
    params: Mapping[str, Any]
    scores: tuple[float, ...]
    reason: str = ""

    def as_json(self) -> dict[str, Any]:
        return {
            "arm": self.arm,
            "classifier": self.classifier,
            "chosen": self.chosen,
            "params": dict(self.params),
            "scores": list(self.scores),
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class ArmRows:
    """What an arm trains on, row by row.

    ``kept`` (folds x rows) marks each inner training part; None when there are no inner folds.
    """

    arm: Arm
    features: Rows
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    kept: NDArray[np.bool_] | None


@dataclass(frozen=True, slots=True)
class Validation:
    """The real images of a training side, that inner folds test: what is seen, class numbers."""

    table: InnerTable | None
    features: Rows
    truth: NDArray[np.int64]


def inner_table(
    members: Cohort, train: NDArray[np.intp], folds: int, seed: int
) -> InnerTable | None:
    """Return the inner folds of a training side; None when its groups are too few for them."""
    rows = train.tolist()
    try:
        found = grouped_folds(
            [members.classes[members.labels[i]] for i in rows],
            [members.group_of[i] for i in rows],
            folds,
            seed,
        )
    except InvalidInput:
        return None
    return InnerTable(train, found, folds)


def inner_parts(
    table: InnerTable, members: Cohort, training: Training, synthetic: Sequence[ImageRecord]
) -> NDArray[np.bool_]:
    """Return folds x rows of the training: which rows stay in each inner training part.

    A synthetic image stays when all of its groups do. LeakDetected when what stays is tied to a
    real image that the inner fold tests.
    """
    import numpy as np

    parts = []
    for fold in range(table.count):
        groups = {g for i in table.train(fold).tolist() for g in members.records[i].group_ids}
        allowed = usable_synthetic([r.group_ids for r in synthetic], groups)
        real = np.isin(training.real, table.train(fold))
        made = np.isin(training.synthetic, np.array(allowed, dtype=np.intp))
        stays = [members.records[i] for i in np.unique(training.real[real]).tolist()]
        stays += [synthetic[i] for i in training.synthetic[made].tolist()]
        check_no_leak(stays, [members.records[i] for i in table.test(fold).tolist()])
        parts.append(np.concatenate([real, made]))
    return np.stack(parts)


def tune(
    choice: ClassifierChoice, rows: ArmRows, validation: Validation, budget: Budget, fits: Fits
) -> Tuned:
    """Return the candidate with the best balanced accuracy, the first one on a tie.

    Decisions are pooled over the inner folds. Every candidate is fitted once an inner fold; one
    whose training diverges has lost, with a score of 0.
    """
    if validation.table is None or rows.kept is None:
        return _untuned(choice, rows.arm, f"its groups are too few for {budget.folds} inner folds")
    if not rows.kept.any(axis=1).all():
        return _untuned(choice, rows.arm, "an inner fold leaves it no training image")
    entry = CLASSIFIERS.get(choice.name)
    candidates = entry.grid[: budget.candidates]
    scores: list[float | None] = []
    for number, candidate in enumerate(candidates):
        inner = _inner_choice(choice, candidate, entry.inner)
        name = f"{rows.arm.id}/{choice.name}/{number}"
        scores.append(_score(name, inner, rows, validation, fits))
    known = tuple(score or 0.0 for score in scores)
    if all(score is None for score in scores):
        return replace(_untuned(choice, rows.arm, "every candidate diverged"), scores=known)
    best = max(range(len(known)), key=lambda i: (scores[i] is not None, known[i], -i))
    return Tuned(rows.arm.id, choice.name, best, candidates[best], known)


def _score(
    name: str, choice: ClassifierChoice, rows: ArmRows, validation: Validation, fits: Fits
) -> float | None:
    """Return the balanced accuracy of a candidate over all inner folds; None when it diverged."""
    import numpy as np

    decided = np.empty(len(validation.truth), dtype=np.int64)
    try:
        for fold, (kept, tested) in enumerate(_inner_folds(rows, validation)):
            tests = validation.features[tested]
            decided[tested] = _decisions(f"{name}/{fold}", choice, rows, kept, tests, fits)
    except JobFailed as error:
        if error.code != DIVERGED:
            raise
        return None
    return _balanced_accuracy(validation.truth, decided)


def _inner_folds(
    rows: ArmRows, validation: Validation
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Yield of each inner fold the rows that it trains on, and those of the side that it tests."""
    if validation.table is not None and rows.kept is not None:
        for fold, kept in enumerate(rows.kept):
            yield kept, validation.table.folds == fold


def _untuned(choice: ClassifierChoice, arm: Arm, reason: str) -> Tuned:
    return Tuned(arm.id, choice.name, None, {}, (), reason)


def _inner_choice(
    choice: ClassifierChoice, candidate: Mapping[str, Any], cheaper: Mapping[str, Any]
) -> ClassifierChoice:
    """Return the candidate as the inner fits run it; what is cheaper still as asked for stays."""
    asked = choice.params
    limits = {
        name: (max if name == "tol" else min)(asked.get(name, limit), limit)
        for name, limit in cheaper.items()
    }
    return ClassifierChoice(choice.name, {**asked, **candidate, **limits})


def _decisions(
    name: str,
    choice: ClassifierChoice,
    rows: ArmRows,
    kept: NDArray[np.bool_],
    tests: Rows,
    fits: Fits,
) -> NDArray[np.int64]:
    """Fit on an inner training part and return the decided class of each row of its test part."""
    labels = rows.labels[kept]
    weights, priors = weigh(rows.arm, labels, fits.classes)
    trained = Trained(rows.features[kept], labels, weights, rows.groups[kept])
    chances = fits.answer(name, choice, trained, tests).probabilities
    if priors is not None:
        chances = prior_corrected(chances, priors)
    answer: NDArray[np.int64] = chances.argmax(axis=1)
    return answer


def _balanced_accuracy(truth: NDArray[np.int64], decided: NDArray[np.int64]) -> float:
    classes = int(max(truth.max(), decided.max())) + 1
    return float(decision_scores(confusion(truth, decided, classes))["balanced_accuracy"])
