"""A fold's fits: which arms are run, which views are loaded, what is noted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from core.learning.arms import COPY_VIEW, parse_arms
from core.learning.cohort import cohort, usable_synthetic_records, with_usable_parents
from core.learning.copycat import passed_copies
from core.learning.fitting import ClassifierChoice
from core.learning.fold_run import FoldTask, run_fold, turned_views
from core.learning.pixels import PixelRows, pixel_rows
from core.learning.tuning import Budget
from tests.unit.learning.made_up import loader, noise, record, sha, synthetic
from tests.unit.learning.test_finetuning import start


def test_an_arm_without_images_has_no_predictions_and_notes_it() -> None:
    real = [record(f"{c}{i}", c, f"{c}{i}") for c in "ab" for i in range(10)]
    vectors = noise([r.image_id.removeprefix("img_") for r in real], 3)
    members = cohort(real)
    test = np.arange(0, 20, 4)
    train = np.setdiff1d(np.arange(20), test)
    arms = parse_arms(["real", "synthetic"])
    choice = [ClassifierChoice("logistic_regression", {})]
    task = FoldTask(members, train, test, [], arms, choice, 0, 0, 1)
    ticks: list[float] = []
    outcome = run_fold(task, loader(vectors), lambda done, total: ticks.append(done / total))
    assert [b.arm for b in outcome.blocks] == ["real"]
    assert outcome.training["synthetic"] == {"a": 0, "b": 0}
    assert any("synthetic" in note for note in outcome.notes)
    assert ticks == [0.5, 1.0]


def fold(arms: list[str], made: int, max_iter: int = 500) -> tuple[FoldTask, list[str]]:
    """Fold 0 of 20 + 10 images; synthetic images of class b come from its training side."""
    real = [record(f"a{i}", "a", f"a{i}") for i in range(20)]
    real += [record(f"b{i}", "b", f"b{i}") for i in range(10)]
    members = cohort(real)
    test = np.arange(0, 30, 3)
    train = np.setdiff1d(np.arange(30), test)
    parents = [members.records[i] for i in train.tolist() if members.records[i].label == "b"]
    images = [synthetic(f"s{i}", parents[i % len(parents)]) for i in range(made)]
    choice = [ClassifierChoice("logistic_regression", {"max_iter": max_iter})]
    task = FoldTask(members, train, test, images, parse_arms(arms), choice, 0, 0, 1)
    return task, [r.image_id.removeprefix("img_") for r in [*members.records, *images]]


def test_the_views_asked_for_beforehand_are_those_that_the_fold_loads() -> None:
    task, names = fold(["real", "oversample", "augment", "combined"], 9)
    loaded: list[tuple[str, int]] = []
    vectors = loader(noise(names, 3))

    def load(keys: Sequence[tuple[str, int]]) -> NDArray[np.float32]:
        loaded.extend(keys)
        return vectors(keys)

    run_fold(task, load, lambda *_: None)
    asked = {(task.members.records[row].sha256, view) for row, view in turned_views(task)}
    assert asked == {key for key in loaded if key[1]}
    assert len(asked) == 9
    assert turned_views(fold(["real", "oversample", "combined"], 9)[0]) == []


def test_without_synthetic_images_an_arm_about_them_is_not_the_real_arm_renamed() -> None:
    arms = ["real", "class_weight", "oversample", "augment", "combined", "combined_r1"]
    task, names = fold(arms, 0)
    outcome = run_fold(task, loader(noise(names, 3)), lambda *_: None)
    assert [b.arm for b in outcome.blocks] == ["real", "class_weight"]
    assert {n.split(":")[0] for n in outcome.notes if "not run" in n} == {
        f"arm {arm}" for arm in arms[2:]
    }


def test_the_arm_that_did_not_converge_is_named() -> None:
    task, names = fold(["real", "combined"], 5, max_iter=1)
    notes = run_fold(task, loader(noise(names, 3)), lambda *_: None).notes
    assert [n for n in notes if "iteration limit" in n] == [
        f"arm {arm}: classifier logistic_regression reached its iteration limit"
        for arm in ("real", "combined")
    ]


def test_what_was_made_from_an_image_with_another_label_by_now_is_not_used() -> None:
    parent = record("a", "mel", "g")
    told = {"parents": [{"sha256": parent.sha256, "label": "mel"}]}
    made = synthetic("s", parent, provenance=told)
    assert with_usable_parents([made], [parent]) == [made]
    assert with_usable_parents([made], [replace(parent, label="nv")]) == []


def test_an_image_of_several_versions_counts_once_and_not_when_one_quarantines_it() -> None:
    made = synthetic("s", record("a", "mel", "g"))
    assert usable_synthetic_records([made, made]) == [made]
    assert usable_synthetic_records([replace(made, quarantined=True), made]) == []
    assert usable_synthetic_records([made, replace(made, quarantined=True)]) == []


def test_what_was_made_from_a_quarantined_image_goes_with_it() -> None:
    task, names = fold(["synthetic"], 9)
    gone = "img_b1"
    children = [r for r in task.synthetic if r.parents == (gone,)]
    sibling = record("b1-second", "b", "b1")
    kept = [r for r in task.members.records if r.image_id != gone]
    members = cohort([*kept, sibling])
    test = np.array([i for i, r in enumerate(members.records) if r.label == "a"][:3])
    train = np.setdiff1d(np.arange(len(members)), test)
    vectors = noise([*names, "b1-second"], 3)
    narrowed = replace(task, members=members, train=train, test=test)
    outcome = run_fold(narrowed, loader(vectors), lambda *_: None)
    assert children
    assert outcome.training["synthetic"] == {"a": 0, "b": len(task.synthetic) - len(children)}


def test_near_copies_that_passed_the_gate_are_seen_as_copies_of_their_sources() -> None:
    task, names = fold(["real", "combined", "control_copycat"], 6)
    sources = [r for r in task.members.records if r.label == "b"][:3]
    told = [{"source": r.sha256, "pixel_sha256": sha(f"copy of {r.image_id}")} for r in sources]
    loaded: list[tuple[str, int]] = []
    vectors = loader(noise(names, 3))

    def load(keys: Sequence[tuple[str, int]]) -> NDArray[np.float32]:
        loaded.extend(keys)
        return vectors(keys)

    outcome = run_fold(
        replace(task, copies=passed_copies(told, task.members)), load, lambda *_: None
    )
    assert [b.arm for b in outcome.blocks] == ["real", "combined", "control_copycat"]
    assert {key for key in loaded if key[1]} == {(r.sha256, COPY_VIEW) for r in sources}
    real = outcome.training["real"]
    assert outcome.training["control_copycat"] == {"a": real["a"], "b": real["b"] + 3}
    assert outcome.training["combined"] == {"a": real["a"], "b": real["b"] + 6}


def test_when_the_gate_keeps_all_near_copies_out_there_is_nothing_to_score() -> None:
    task, names = fold(["real", "control_copycat"], 0)
    outcome = run_fold(task, loader(noise(names, 3)), lambda *_: None)
    assert [b.arm for b in outcome.blocks] == ["real"]
    assert outcome.notes == []


def test_networks_and_vectors_are_fitted_side_by_side() -> None:
    task, names = fold(["real", "augment", "combined"], 6)
    small = {"epochs": 1, "batch_size": 8}
    both = [ClassifierChoice("finetune", small), *task.classifiers]
    seen: list[Sequence[tuple[str, int]]] = []

    def load_pixels(keys: Sequence[tuple[str, int]]) -> PixelRows:
        seen.append(keys)
        shape = (len(keys), 32, 32, 3)
        pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        return pixel_rows(pixels, start())

    budget = Budget(candidates=2, folds=2)
    tuned = replace(task, classifiers=both, budget=budget)
    outcome = run_fold(tuned, loader(noise(names, 3)), lambda *_: None, load_pixels)
    assert [(b.arm, b.classifier) for b in outcome.blocks] == [
        (arm, name)
        for arm in ("real", "augment", "combined")
        for name in ("finetune", "logistic_regression")
    ]
    assert all(np.isfinite(b.probabilities).all() for b in outcome.blocks)
    assert {len(found.scores) for found in outcome.tuned} == {2}
    assert len(seen) == 1
    assert len(set(seen[0])) == len(seen[0])
    alone = replace(task, classifiers=both[:1])

    def unasked(_: Sequence[tuple[str, int]]) -> NDArray[np.float32]:
        raise AssertionError("no classifier sees features")

    assert len(run_fold(alone, unasked, lambda *_: None, load_pixels).blocks) == 3
