"""Fitting one fold: every arm and classifier on its training side, behind the firewall."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.learning.arms import Arm, Side, Training, compose, usable_synthetic
from core.learning.cohort import Cohort, class_numbers, weak_classes, with_usable_parents
from core.learning.contract import CLASSIFIERS
from core.learning.firewall import check_no_leak
from core.learning.predictions import Block
from core.manifest import ImageRecord

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FeatureKey = tuple[str, int]
"""A stored image by its hash, and which of its 8 flips and turns."""

LoadFeatures = Callable[[Sequence[FeatureKey]], "NDArray[np.float32]"]
Tick = Callable[[float, float], None]


@dataclass(frozen=True, slots=True)
class ClassifierChoice:
    """A classifier with complete parameters."""

    name: str
    params: dict[str, Any]


@dataclass(frozen=True, slots=True)
class FoldTask:
    """One fold of one seed: rows of the cohort on either side, and the synthetic images."""

    members: Cohort
    train: NDArray[np.intp]
    test: NDArray[np.intp]
    synthetic: Sequence[ImageRecord]
    arms: Sequence[Arm]
    classifiers: Sequence[ClassifierChoice]
    seed: int
    fold: int
    threads: int


@dataclass(frozen=True, slots=True)
class FoldOutcome:
    """Predictions, the class counts that each arm was trained on, and what must be told."""

    blocks: list[Block]
    training: dict[str, dict[str, int]]
    notes: list[str]


def run_fold(task: FoldTask, load: LoadFeatures, tick: Tick) -> FoldOutcome:
    """Fit and test every arm and classifier of a fold.

    LeakDetected before the first fit that would see anything of a test group. An arm without any
    training image has no block; nor has one that is about synthetic images when none may be used
    here, because it would be ``real`` under another name.
    """
    side, synthetic = _side(task)
    trainings = [compose(arm, side, _rng(task, arm.id)) for arm in task.arms]
    test_records = [task.members.records[i] for i in task.test.tolist()]
    for training in trainings:
        check_no_leak(_records(task.members, synthetic, training), test_records)
    matrix, place = _features(task, synthetic, trainings, load)
    test = matrix[[place[(r.sha256, 0)] for r in test_records]]
    outcome = FoldOutcome([], {}, [])
    done, total = 0, len(task.arms) * len(task.classifiers)
    for arm, training in zip(task.arms, trainings, strict=True):
        rows = [place[key] for key in _keys(task.members, synthetic, training)]
        outcome.training[arm.id] = _counts(training, task.members.classes)
        outcome.notes.extend(_notes(arm, training, task.members.classes))
        if arm.needs_synthetic and not synthetic:
            outcome.notes.append(f"arm {arm.id}: no synthetic image may be used, so it was not run")
            rows = []
        for choice in task.classifiers:
            chances = _fit_predict(task, arm, training, matrix[rows], choice, test, outcome.notes)
            if chances is not None:
                outcome.blocks.append(Block(arm.id, choice.name, chances))
            done += 1
            tick(done, total)
    return outcome


def turned_views(task: FoldTask) -> list[tuple[int, int]]:
    """Return (row of the cohort, 1..7) of each flip and turn that the arms of a fold train on."""
    side, _ = _side(task)
    found: dict[tuple[int, int], None] = {}
    for arm in task.arms:
        training = compose(arm, side, _rng(task, arm.id))
        pairs = zip(training.real.tolist(), training.dihedral.tolist(), strict=True)
        found.update(dict.fromkeys(pair for pair in pairs if pair[1]))
    return list(found)


def _side(task: FoldTask) -> tuple[Side, list[ImageRecord]]:
    """Return the training side and the synthetic images that may be used in it."""
    import numpy as np

    members = task.members
    groups = {g for i in task.train.tolist() for g in members.records[i].group_ids}
    made = with_usable_parents(task.synthetic, members.records)
    synthetic = [made[row] for row in usable_synthetic([r.group_ids for r in made], groups)]
    side = Side(
        real=task.train,
        real_labels=members.labels[task.train],
        synthetic=np.arange(len(synthetic), dtype=np.intp),
        synthetic_labels=class_numbers(synthetic, members.classes),
        weak=weak_classes(members.labels, len(members.classes)),
    )
    return side, synthetic


def _rng(task: FoldTask, arm: str) -> np.random.Generator:
    import numpy as np

    digest = hashlib.sha256(f"{task.seed}\n{task.fold}\n{arm}".encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32).tolist())


def _records(
    members: Cohort, synthetic: Sequence[ImageRecord], training: Training
) -> list[ImageRecord]:
    real = dict.fromkeys(training.real.tolist())
    return [members.records[i] for i in real] + [synthetic[i] for i in training.synthetic.tolist()]


def _keys(
    members: Cohort, synthetic: Sequence[ImageRecord], training: Training
) -> list[FeatureKey]:
    pairs = zip(training.real.tolist(), training.dihedral.tolist(), strict=True)
    return [(members.records[i].sha256, d) for i, d in pairs] + [
        (synthetic[i].sha256, 0) for i in training.synthetic.tolist()
    ]


def _features(
    task: FoldTask,
    synthetic: Sequence[ImageRecord],
    trainings: Sequence[Training],
    load: LoadFeatures,
) -> tuple[NDArray[np.float32], dict[FeatureKey, int]]:
    """Load each feature vector that any arm or the test needs, once."""
    needed: dict[FeatureKey, None] = {}
    for row in task.test.tolist():
        needed[(task.members.records[row].sha256, 0)] = None
    for training in trainings:
        needed.update(dict.fromkeys(_keys(task.members, synthetic, training)))
    keys = list(needed)
    return load(keys), {key: i for i, key in enumerate(keys)}


def _counts(training: Training, classes: Sequence[str]) -> dict[str, int]:
    import numpy as np

    counts = np.bincount(training.labels, minlength=len(classes)).tolist()
    return dict(zip(classes, counts, strict=True))


def _notes(arm: Arm, training: Training, classes: Sequence[str]) -> list[str]:
    return [
        f"arm {arm.id}: class {classes[label]} has fewer images than planned"
        for label in sorted(training.shortfalls)
    ] + [
        f"arm {arm.id}: class {name} has no training image"
        for name, count in _counts(training, classes).items()
        if not count
    ]


def _fit_predict(
    task: FoldTask,
    arm: Arm,
    training: Training,
    rows: NDArray[np.float32],
    choice: ClassifierChoice,
    test: NDArray[np.float32],
    notes: list[str],
) -> NDArray[np.float32] | None:
    if not len(rows):
        return None
    fitted = fit(choice, rows, training.labels, training.weights, task.seed, task.threads)
    if not fitted.converged:
        notes.append(f"arm {arm.id}: classifier {choice.name} reached its iteration limit")
    chances = fitted.probabilities(test, len(task.members.classes))
    return chances if training.priors is None else prior_corrected(chances, training.priors)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted classifier; ``labels`` are the class numbers of its probability columns."""

    estimator: Any
    labels: NDArray[np.int64]
    converged: bool

    def probabilities(self, rows: NDArray[np.float32], classes: int) -> NDArray[np.float32]:
        """Return rows x classes; 0 for classes that were not trained."""
        import numpy as np

        answer = np.zeros((len(rows), classes), dtype=np.float32)
        if self.estimator is None:
            answer[:, self.labels] = 1.0
        else:
            answer[:, self.labels] = self.estimator.predict_proba(rows)
        return answer


def fit(
    choice: ClassifierChoice,
    rows: NDArray[np.float32],
    labels: NDArray[np.int64],
    weights: NDArray[np.float64] | None,
    seed: int,
    threads: int,
) -> Fitted:
    """Fit a classifier on rows x features; with a single class it always says that class.

    A ConvergenceWarning becomes ``converged=False``; other warnings pass.
    """
    import numpy as np
    from sklearn.exceptions import ConvergenceWarning

    present = np.unique(labels)
    if len(present) == 1:
        return Fitted(None, present, True)
    entry = CLASSIFIERS.get(choice.name)
    estimator = entry.build(entry.params.model_validate(choice.params), seed, threads)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        estimator.fit(rows, labels, sample_weight=weights)
    converged = True
    for warning in caught:
        if issubclass(warning.category, ConvergenceWarning):
            converged = False
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    return Fitted(estimator, np.asarray(estimator.classes_, dtype=np.int64), converged)


def prior_corrected(
    chances: NDArray[np.float32], priors: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Divide probabilities by the training's class shares and renormalise.

    Post-hoc logit adjustment with tau = 1 (Menon et al. 2021). A class without a share
    was not trained: its probability stays 0.
    """
    import numpy as np

    safe = np.where(priors > 0, priors, np.inf)
    divided = chances.astype(np.float64) / safe
    return np.asarray(divided / divided.sum(axis=1, keepdims=True), dtype=np.float32)
