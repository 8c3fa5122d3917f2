"""Fitting one fold: every arm and classifier on its training side, behind the firewall."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from core.learning.arms import (
    COPY_VIEW,
    COPYCAT,
    Arm,
    Side,
    Training,
    compose,
    usable_synthetic,
)
from core.learning.cohort import (
    Cohort,
    class_numbers,
    training_groups,
    weak_classes,
    with_usable_parents,
)
from core.learning.contract import CLASSIFIERS
from core.learning.copycat import source_of
from core.learning.firewall import check_no_leak
from core.learning.fitting import ClassifierChoice, Rows, prior_corrected
from core.learning.fold_fits import Fits, Keeper, Trained, Unkept
from core.learning.predictions import Block
from core.learning.tuning import (
    ArmRows,
    Budget,
    InnerTable,
    Tuned,
    Validation,
    inner_parts,
    inner_table,
    tune,
)
from core.manifest import ImageRecord

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FeatureKey = tuple[str, int]
"""A stored image by its hash, and which of its views: 8 flips and turns, noise or a near-copy."""

LoadRows = Callable[[Sequence[FeatureKey]], Rows]
Tick = Callable[[float, float], None]


@dataclass(frozen=True, slots=True)
class FoldTask:
    """One fold of one seed: rows of the cohort on either side, and the synthetic images.

    budget is that of tuning; None: the classifiers' parameters are used as they are. copies are
    near-copies that the privacy gate took for new images. keeper keeps what fits have answered;
    part goes before their names there.
    """

    members: Cohort
    train: NDArray[np.intp]
    test: NDArray[np.intp]
    synthetic: Sequence[ImageRecord]
    arms: Sequence[Arm]
    classifiers: Sequence[ClassifierChoice]
    seed: int
    fold: int
    threads: int
    budget: Budget | None = None
    copies: Sequence[ImageRecord] = ()
    keeper: Keeper = field(default_factory=Unkept)
    part: str = ""

    @property
    def fits(self) -> Fits:
        return Fits(self.seed, self.threads, len(self.members.classes), self.keeper, self.part)


@dataclass(frozen=True, slots=True)
class FoldOutcome:
    """Predictions, the class counts that each arm was trained on, and what must be told.

    tuned has one entry an arm and classifier that was fitted; it is empty without tuning.
    """

    blocks: list[Block]
    training: dict[str, dict[str, int]]
    notes: list[str]
    tuned: list[Tuned]


@dataclass(frozen=True, slots=True)
class _Stored:
    """What the classifiers see of every image that a fold needs, by kind, and where each lies."""

    rows: dict[str, Rows]
    place: dict[FeatureKey, int]


@dataclass(frozen=True, slots=True)
class _Inner:
    """The inner folds of a side, and what each arm's training keeps in them (by arm id)."""

    table: InnerTable | None
    parts: dict[str, NDArray[np.bool_]]


def run_fold(
    task: FoldTask, load: LoadRows, tick: Tick, load_pixels: LoadRows | None = None
) -> FoldOutcome:
    """Tune, fit and test every arm and classifier of a fold.

    load returns the features of images, load_pixels the images themselves; each is asked once, for
    what the classifiers see, and load_pixels is needed when one of them sees pixels.

    LeakDetected before the first fit, also when only an inner fold of tuning would see anything of
    the groups that it tests. An arm without any training image has no block; nor has one that is
    about synthetic images when none may be used here, because it would be ``real`` under another
    name.
    """
    side, synthetic = _side(task)
    trainings = [compose(arm, side, _rng(task, arm.id)) for arm in task.arms]
    test_records = [task.members.records[i] for i in task.test.tolist()]
    for training in trainings:
        check_no_leak(_records(task.members, synthetic, training), test_records)
    inner = _inner(task, synthetic, trainings)
    loaders = {"features": load} | ({"pixels": load_pixels} if load_pixels else {})
    stored = _stored(task, synthetic, trainings, loaders)
    outcome = FoldOutcome([], {}, [], [])
    total = len(task.arms) * len(task.classifiers)
    for number, (arm, training) in enumerate(zip(task.arms, trainings, strict=True)):
        outcome.training[arm.id] = _counts(training, task.members.classes)
        outcome.notes.extend(_notes(arm, training, task.members.classes))
        caught = arm.id == COPYCAT and not len(training.synthetic)
        if arm.needs_synthetic and not len(side.synthetic):
            outcome.notes.append(f"arm {arm.id}: no synthetic image may be used, so it was not run")
        elif len(training.labels) and not caught:
            _run_arm(task, arm, training, synthetic, inner, stored, outcome)
        tick((number + 1) * len(task.classifiers), total)
    return outcome


def _run_arm(
    task: FoldTask,
    arm: Arm,
    training: Training,
    synthetic: Sequence[ImageRecord],
    inner: _Inner,
    stored: _Stored,
    outcome: FoldOutcome,
) -> None:
    """Add the predictions of all classifiers on one arm's training side to the outcome."""
    place = stored.place
    groups = training_groups(_row_records(task.members, synthetic, training))
    here = [place[key] for key in _keys(task.members, synthetic, training)]
    seen = {
        kind: ArmRows(arm, matrix[here], training.labels, groups, inner.parts.get(arm.id))
        for kind, matrix in stored.rows.items()
    }
    for asked in task.classifiers:
        choice, kind = asked, CLASSIFIERS.get(asked.name).sees
        rows, matrix = seen[kind], stored.rows[kind]
        test = matrix[_places(task, task.test, place)]
        if task.budget is not None:
            validation = Validation(
                inner.table,
                matrix[_places(task, task.train, place)],
                task.members.labels[task.train],
            )
            found = tune(asked, rows, validation, task.budget, task.fits)
            choice = ClassifierChoice(asked.name, {**asked.params, **found.params})
            outcome.tuned.append(found)
            if found.reason:
                outcome.notes.append(f"arm {arm.id}: {asked.name} was not tuned: {found.reason}")
        chances = _fit_predict(task, training, rows, choice, test, outcome.notes)
        outcome.blocks.append(Block(arm.id, choice.name, chances))


def _places(task: FoldTask, rows: NDArray[np.intp], place: dict[FeatureKey, int]) -> list[int]:
    return [place[(task.members.records[i].sha256, 0)] for i in rows.tolist()]


def _inner(
    task: FoldTask, synthetic: Sequence[ImageRecord], trainings: Sequence[Training]
) -> _Inner:
    """Cut the training side for tuning and let every arm's inner parts pass the firewall."""
    if task.budget is None:
        return _Inner(None, {})
    table = inner_table(task.members, task.train, task.budget.folds, task.seed)
    if table is None:
        return _Inner(None, {})
    return _Inner(
        table,
        {
            arm.id: inner_parts(table, task.members, training, synthetic)
            for arm, training in zip(task.arms, trainings, strict=True)
        },
    )


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
    labels = class_numbers([*synthetic, *task.copies], members.classes)
    cut = len(synthetic)
    side = Side(
        real=task.train,
        real_labels=members.labels[task.train],
        synthetic=np.arange(cut, dtype=np.intp),
        synthetic_labels=labels[:cut],
        weak=weak_classes(members.labels, len(members.classes)),
        copies=np.arange(cut, len(labels), dtype=np.intp),
        copy_labels=labels[cut:],
    )
    return side, [*synthetic, *task.copies]


def _rng(task: FoldTask, arm: str) -> np.random.Generator:
    import numpy as np

    digest = hashlib.sha256(f"{task.seed}\n{task.fold}\n{arm}".encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32).tolist())


def _records(
    members: Cohort, synthetic: Sequence[ImageRecord], training: Training
) -> list[ImageRecord]:
    real = dict.fromkeys(training.real.tolist())
    return [members.records[i] for i in real] + [synthetic[i] for i in training.synthetic.tolist()]


def _row_records(
    members: Cohort, synthetic: Sequence[ImageRecord], training: Training
) -> list[ImageRecord]:
    """Return the image of every row of a training, repeats included."""
    real = [members.records[i] for i in training.real.tolist()]
    return real + [synthetic[i] for i in training.synthetic.tolist()]


def _keys(
    members: Cohort, synthetic: Sequence[ImageRecord], training: Training
) -> list[FeatureKey]:
    pairs = zip(training.real.tolist(), training.dihedral.tolist(), strict=True)
    view = training.synthetic_view
    made = [synthetic[i] for i in training.synthetic.tolist()]
    return [(members.records[i].sha256, d) for i, d in pairs] + [
        (source_of(r) if view == COPY_VIEW else r.sha256, view) for r in made
    ]


def _stored(
    task: FoldTask,
    synthetic: Sequence[ImageRecord],
    trainings: Sequence[Training],
    loaders: Mapping[str, LoadRows],
) -> _Stored:
    """Load each image that any arm, tuning or the test needs, once, as the classifiers see it."""
    needed: dict[FeatureKey, None] = {}
    judged = [*task.test.tolist(), *(task.train.tolist() if task.budget else ())]
    for row in judged:
        needed[(task.members.records[row].sha256, 0)] = None
    for training in trainings:
        needed.update(dict.fromkeys(_keys(task.members, synthetic, training)))
    keys = list(needed)
    kinds = sorted({CLASSIFIERS.get(choice.name).sees for choice in task.classifiers})
    rows: dict[str, Rows] = {kind: loaders[kind](keys) for kind in kinds}
    return _Stored(rows, {key: i for i, key in enumerate(keys)})


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
    training: Training,
    rows: ArmRows,
    choice: ClassifierChoice,
    test: Rows,
    notes: list[str],
) -> NDArray[np.float32]:
    trained = Trained(rows.features, rows.labels, training.weights, rows.groups)
    found = task.fits.answer(f"{rows.arm.id}/{choice.name}", choice, trained, test)
    if not found.converged:
        notes.append(f"arm {rows.arm.id}: classifier {choice.name} reached its iteration limit")
    chances = found.probabilities
    return chances if training.priors is None else prior_corrected(chances, training.priors)
