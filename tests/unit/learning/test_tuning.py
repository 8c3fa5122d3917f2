"""Hyperparameters: equal budgets on the same inner folds, groups whole, leaks caught inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import JobFailed, LeakDetected
from core.learning import fold_fits, tuning
from core.learning.arms import parse_arms, weigh
from core.learning.cohort import Cohort, cohort
from core.learning.contract import CLASSIFIERS
from core.learning.fitting import ClassifierChoice, fit
from core.learning.fold_run import FoldOutcome, FoldTask, run_fold
from core.learning.tuning import Budget, inner_parts, inner_table
from core.learning.tuning_tables import tuning_document, tuning_statement, tuning_table
from core.manifest import ImageRecord
from tests.unit.learning.made_up import Vectors, loader, noise, record, synthetic

ARMS = ["real", "class_weight", "logit_adjust", "oversample", "augment", "synthetic", "combined"]
BUDGET = Budget(candidates=3, folds=3)
LR = ClassifierChoice("logistic_regression", {})
KNN = ClassifierChoice("knn", {})


def people() -> Cohort:
    """48 images of 24 people, two each; class b is half as large as a."""
    return cohort(
        [record(f"a{i}", "a", f"person-a{i // 2}") for i in range(32)]
        + [record(f"b{i}", "b", f"person-b{i // 2}") for i in range(16)]
    )


def task_of(
    arms: Sequence[str] = ARMS,
    classifiers: Sequence[ClassifierChoice] = (LR,),
    budget: Budget | None = BUDGET,
    extra: Sequence[ImageRecord] = (),
) -> tuple[FoldTask, Vectors]:
    """The fold that tests every fourth person; 16 synthetic images of b, of its training side."""
    members = people()
    test = np.flatnonzero(members.groups % 4 == 0)
    train = np.setdiff1d(np.arange(len(members)), test)
    parents = [members.records[i] for i in train.tolist() if members.records[i].label == "b"]
    made = [synthetic(f"s{i}", parents[i % len(parents)]) for i in range(16)] + list(extra)
    task = FoldTask(
        members, train, test, made, parse_arms(arms), classifiers, 0, 0, 1, budget=budget
    )
    names = [r.image_id.removeprefix("img_") for r in (*members.records, *made)]
    return task, noise(names, 4)


def run(task: FoldTask, vectors: Vectors) -> FoldOutcome:
    return run_fold(task, loader(vectors), lambda *_: None)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 4), st.integers(0, 2**32 - 1))
def test_inner_folds_test_every_real_image_once_and_cut_no_group(folds: int, seed: int) -> None:
    members = people()
    train = np.flatnonzero(members.groups % 4)
    table = inner_table(members, train, folds, seed)
    assert table is not None
    tested = np.concatenate([table.test(fold) for fold in range(folds)])
    assert sorted(tested.tolist()) == train.tolist()
    for fold in range(folds):
        sides = (members.groups[table.train(fold)], members.groups[table.test(fold)])
        assert not set(sides[0].tolist()) & set(sides[1].tolist())


def test_repeats_turns_and_synthetic_images_follow_their_groups(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task, vectors = task_of()
    checked: list[int] = []

    def seen(*args: Any) -> Any:
        parts = inner_parts(*args)
        table, members, training, made = args
        for fold, kept in enumerate(parts):
            rows = np.concatenate([training.real, training.synthetic])
            real = np.arange(len(rows)) < len(training.real)
            groups = {members.group_of[i] for i in rows[kept & real].tolist()}
            groups |= {g for i in rows[kept & ~real].tolist() for g in made[i].group_ids}
            assert groups.isdisjoint(members.group_of[i] for i in table.test(fold).tolist())
            checked.append(int((kept & ~real).sum()))
        return parts

    monkeypatch.setattr("core.learning.fold_run.inner_parts", seen)
    run(task, vectors)
    assert len(checked) == len(ARMS) * BUDGET.folds
    assert any(checked)


def test_every_arm_and_classifier_has_the_same_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    fits: dict[str, int] = {}

    def counted(choice: ClassifierChoice, *args: Any) -> Any:
        fits[choice.name] = fits.get(choice.name, 0) + 1
        return fit(choice, *args)

    monkeypatch.setattr(fold_fits, "fit", counted)
    outcome = run(*task_of(classifiers=[LR, KNN]))
    assert fits == {name: len(ARMS) * (3 * 3 + 1) for name in (LR.name, KNN.name)}
    assert [(t.arm, t.classifier) for t in outcome.tuned] == [
        (arm, name) for arm in ARMS for name in (LR.name, KNN.name)
    ]
    assert all(len(t.scores) == 3 for t in outcome.tuned)
    for found in outcome.tuned:
        assert found.chosen == int(np.argmax(found.scores))
        assert found.params == CLASSIFIERS.get(found.classifier).grid[found.chosen]


def test_a_planted_optimum_is_found() -> None:
    """Two people share each place and its random class: one neighbour knows it, more do not.

    People of one place are 0.9 apart, others 1.4: the votes of two others outweigh the one's.
    """
    rng = np.random.default_rng(3)
    labels = np.array(["a", "b"])[rng.permutation(np.repeat([0, 1], 60))]
    real, vectors = [], {}
    for place, label in enumerate(labels.tolist()):
        spot = rng.normal(size=64)
        for person in range(2):
            one = record(f"p{place}-{person}", label, f"g{place}-{person}")
            real.append(one)
            vectors[one.sha256] = (spot + rng.normal(0, 0.82, 64)).astype(np.float32)
    members = cohort(real)
    test = np.arange(0, 240, 8)
    train = np.setdiff1d(np.arange(240), test)
    task = FoldTask(members, train, test, [], parse_arms(["real"]), [KNN], 0, 0, 1, Budget(8, 3))
    (found,) = run(task, vectors).tuned
    assert found.params == {"n_neighbors": 1, "weights": "uniform"}
    assert found.scores[found.chosen or 0] > found.scores[0] + 0.1


@pytest.mark.parametrize("diverging", [1, 3])
def test_a_candidate_that_diverges_has_lost(
    monkeypatch: pytest.MonkeyPatch, diverging: int
) -> None:
    grid = [c["C"] for c in CLASSIFIERS.get(LR.name).grid[:3]]

    def diverged(choice: ClassifierChoice, *args: Any) -> Any:
        if choice.params.get("tol") and choice.params.get("C") in grid[:diverging]:
            raise JobFailed("The loss is no finite number", code="training_diverged")
        return fit(choice, *args)

    monkeypatch.setattr(fold_fits, "fit", diverged)
    outcome = run(*task_of(arms=["real"]))
    (found,) = outcome.tuned
    assert found.scores[:diverging] == (0.0,) * diverging
    if diverging == 3:
        assert found.chosen is None
        assert any("every candidate diverged" in note for note in outcome.notes)
    else:
        assert found.chosen
    other = JobFailed("no memory", code="out_of_memory")

    def failed(*_: Any) -> Any:
        raise other

    monkeypatch.setattr(fold_fits, "fit", failed)
    with pytest.raises(JobFailed, match="no memory"):
        run(*task_of(arms=["real"]))


def test_the_chosen_parameters_make_the_final_fit() -> None:
    task, vectors = task_of(arms=["real"], classifiers=[KNN])
    tuned = run(task, vectors)
    asked = ClassifierChoice("knn", dict(tuned.tuned[0].params))
    plain = run(replace(task, classifiers=[asked], budget=None), vectors)
    assert plain.tuned == []
    assert (plain.blocks[0].probabilities == tuned.blocks[0].probabilities).all()


def test_tuning_is_the_same_each_time_and_never_sees_the_test_side() -> None:
    task, vectors = task_of(classifiers=[LR, KNN])
    first = run(task, vectors)
    assert run(task, vectors).tuned == first.tuned
    other = dict(vectors)
    for row in task.test.tolist():
        other[task.members.records[row].sha256] = np.full(4, 9, dtype=np.float32)
    assert run(task, other).tuned == first.tuned


def test_a_parent_hidden_from_the_groups_trips_the_firewall_of_an_inner_fold() -> None:
    task, vectors = task_of()
    parent = next(
        task.members.records[i] for i in task.train.tolist() if task.members.records[i].label == "b"
    )
    liar = synthetic("liar", parent, group_ids=())
    vectors |= noise(["liar"], 4)
    lied = replace(task, synthetic=[*task.synthetic, liar])
    run(replace(lied, budget=None), vectors)  # its parent is on the training side: no leak outside
    with pytest.raises(LeakDetected) as caught:
        run(lied, vectors)
    assert caught.value.image_ids == ("img_liar",)


def test_too_few_groups_leave_the_parameters_and_say_so() -> None:
    task, vectors = task_of(arms=["real"], budget=Budget(2, 10))
    kept = [i for i in task.train.tolist() if task.members.groups[i] < 8]
    outcome = run(replace(task, train=np.array(kept)), vectors)
    (found,) = outcome.tuned
    assert (found.chosen, found.scores, dict(found.params)) == (None, (), {})
    assert any("was not tuned: its groups are too few for 10" in note for note in outcome.notes)
    assert len(outcome.blocks) == 1


def test_an_arm_without_images_in_an_inner_fold_says_so() -> None:
    task, vectors = task_of(arms=["real", "synthetic"])
    one = [r for r in task.synthetic if r.group_ids == task.synthetic[0].group_ids]
    outcome = run(replace(task, synthetic=one), vectors)
    assert [t.chosen is None for t in outcome.tuned] == [False, True]
    assert any("leaves it no training image" in note for note in outcome.notes)


def test_inner_fits_are_cheaper_and_never_dearer() -> None:
    entry = CLASSIFIERS.get("random_forest")
    for asked, inner in ((100, 20), (5, 5)):
        choice = ClassifierChoice("random_forest", {"n_estimators": asked})
        assert tuning._inner_choice(choice, {}, entry.inner).params["n_estimators"] == inner
    solver = CLASSIFIERS.get("logistic_regression")
    for tol in (1e-4, 1e-2):
        choice = ClassifierChoice("logistic_regression", {"tol": tol})
        assert tuning._inner_choice(choice, {}, solver.inner).params["tol"] == max(tol, 1e-3)


def test_weights_of_a_part_are_of_that_part() -> None:
    weighted, adjusted = parse_arms(["class_weight", "logit_adjust"])
    labels = np.array([0, 0, 0, 2])
    assert weigh(weighted, labels, 3)[0] == pytest.approx([4 / 6, 4 / 6, 4 / 6, 2])
    assert weigh(adjusted, labels, 3)[1] == pytest.approx([0.75, 0, 0.25])


def test_tables_say_what_was_chosen() -> None:
    def row(chosen: int | None) -> dict[str, Any]:
        params = {} if chosen is None else {"C": 1.0}
        return {"seed": 0, "fold": 0, "arm": "real", "classifier": "logistic_regression",
                "chosen": chosen, "params": params, "scores": [0.5, 0.7], "reason": ""}  # fmt: skip

    rows = [row(1), row(1), row(None)]
    (told,) = tuning_table(rows)
    assert told["chosen"] == '{"C":1.0} in 2 of 3; not tuned in 1 of 3'
    assert told["inner balanced accuracy"] == pytest.approx(0.7)
    document = tuning_document(rows, ["logistic_regression"], {"candidates": 2, "folds": 3})
    assert document["grids"] == {"logistic_regression": [{"C": 0.1}, {"C": 0.001}]}
    assert tuning_document([], ["knn"], None)["grids"] == {}
    assert "not tuned" in tuning_statement(None)
    assert "2 candidates" in tuning_statement({"candidates": 2, "folds": 3})
