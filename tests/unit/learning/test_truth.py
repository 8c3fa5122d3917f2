"""Tests of the tests: noise stays noise, copies are no gain, a true signal is found, leaks trip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.errors import LeakDetected
from core.learning.analysis import Analysis, analyse
from core.learning.arms import parse_arms
from core.learning.cohort import Cohort, cohort, usable_synthetic_records
from core.learning.comparison import Question
from core.learning.fitting import ClassifierChoice
from core.learning.fold_run import FoldTask, run_fold
from core.learning.folds import fold_table
from core.learning.predictions import merge_parts, read_predictions, write_part
from core.learning.protocol import LegacyTable, legacy_protocol
from core.learning.verdict import primary_member
from core.manifest import ImageRecord
from tests.unit.learning.made_up import Vectors, loader, noise, record, sha, synthetic

ARMS = ["real", "class_weight", "logit_adjust", "oversample", "augment", "combined"]
LR = ClassifierChoice("logistic_regression", {})


def dataset(counts: dict[str, int], size: int = 1) -> list[ImageRecord]:
    """``size`` images a group, every group one class."""
    return [
        record(f"{label}{i}", label, f"group-{label}{i // size}")
        for label, count in counts.items()
        for i in range(count)
    ]


def experiment(
    folder: Path,
    real: Sequence[ImageRecord],
    made: Sequence[ImageRecord],
    vectors: Vectors,
    arms: Sequence[str] = ARMS,
) -> tuple[Analysis, Cohort]:
    members = cohort(real)
    table = fold_table(members, design="cv", folds=4, repeats=2, seed=0)
    parts = []
    for seed, fold in table.pairs():
        train, test = table.sides(seed, fold)
        task = FoldTask(
            members,
            train,
            test,
            usable_synthetic_records(made),
            parse_arms(arms),
            [LR],
            seed,
            fold,
            1,
        )
        outcome = run_fold(task, loader(vectors), lambda done, total: None)
        parts.append(folder / f"{seed}-{fold}.parquet")
        write_part(parts[-1], members, test, seed, fold, outcome.blocks)
    question = Question(members.classes, LR.name, tuple(parse_arms(arms)), augmented=False, seed=0)
    merge_parts(parts, folder / "all.parquet", members, question)
    models = [(arm, LR.name) for arm in arms]
    found = read_predictions(folder / "all.parquet", members, table, models)
    return analyse(found, replicates=1000, seed=0), members


def verdict(found: Analysis, members: Cohort) -> dict[str, object]:
    question = Question(members.classes, LR.name, tuple(parse_arms(ARMS)), augmented=False, seed=0)
    return primary_member(found, question)


def test_noise_scores_chance_while_the_legacy_protocol_shines(tmp_path: Path) -> None:
    """Meaningless labels: grouped folds say chance; pooled near-copies say far more."""
    real = dataset({"a": 60, "b": 40, "c": 40})
    vectors = noise([r.image_id.removeprefix("img_") for r in real], 8, seed=8)
    rng = np.random.default_rng(1)
    made = []
    for parent in real[60:]:
        for copy in range(4):
            name = f"{parent.image_id}-{copy}"
            made.append(synthetic(name, parent))
            vectors[sha(name)] = vectors[parent.sha256] + rng.normal(0, 0.01, 8).astype(np.float32)
    found, _ = experiment(tmp_path, real, made, vectors, ["real", "combined"])
    for arm in ("real", "combined"):
        low, high = found.scores[(arm, LR.name)].intervals["balanced_accuracy"]
        assert low <= 1 / 3 <= high
    pooled = [*real, *made]
    table = LegacyTable(np.stack([vectors[r.sha256] for r in pooled]), [r.label for r in pooled])
    legacy = legacy_protocol({"combined": table}, threads=1, real_is_augmented=False)
    assert legacy["combined"]["balanced_accuracy"] > 0.65
    assert legacy["valid"] is False


def test_a_planted_true_signal_helps(tmp_path: Path) -> None:
    """Synthetic images from the true distribution of a rare class are worth having."""
    real = dataset({"a": 160, "b": 30})
    rng = np.random.default_rng(2)
    shift = np.where(np.arange(12) < 6, 0.65, 0.0).astype(np.float32)
    vectors = noise([r.image_id.removeprefix("img_") for r in real], 12, seed=2)
    for r in real[160:]:
        vectors[r.sha256] += shift
    made = [record(f"s{i}", "b", (), source="synthetic") for i in range(130)]
    for s in made:
        vectors[s.sha256] = rng.normal(size=12).astype(np.float32) + shift
    found, members = experiment(tmp_path, real, made, vectors)
    scores = {arm: found.scores[(arm, LR.name)].overall["balanced_accuracy"] for arm in ARMS}
    assert scores["combined"] > scores["real"] + 0.05
    weak = [c for c in verdict(found, members)["comparisons"] if c["comparator"] == "real"]  # type: ignore[attr-defined]
    assert weak[0]["interval"][0] > 0


def test_a_strong_true_signal_gets_the_verdict_helps(tmp_path: Path) -> None:
    """Eighteen real images of a class cannot say where it lies in 30 dimensions; synthesis can."""
    real = dataset({"a": 200, "b": 200, "c": 24})
    rng = np.random.default_rng(3)
    vectors = noise([r.image_id.removeprefix("img_") for r in real], 30, seed=3)
    centre = np.zeros((3, 30), dtype=np.float32)
    centre[1, 0], centre[2, 1:] = 2.0, 0.32
    for r in real:
        vectors[r.sha256] += centre["abc".index(r.label)]
    made = [record(f"s{i}", "c", (), source="synthetic") for i in range(176)]
    for s in made:
        vectors[s.sha256] = rng.normal(size=30).astype(np.float32) + centre[2]
    found, members = experiment(tmp_path, real, made, vectors)
    assert verdict(found, members)["verdict"] == "helps"


def test_copies_of_training_images_do_not_beat_oversampling(tmp_path: Path) -> None:
    real = dataset({"a": 120, "b": 40})
    vectors = noise([r.image_id.removeprefix("img_") for r in real], 10, seed=4)
    for r in real[120:]:
        vectors[r.sha256] += np.float32(0.6)
    made = []
    for parent in real[120:]:
        for copy in range(2):
            made.append(synthetic(f"{parent.image_id}-{copy}", parent))
            vectors[made[-1].sha256] = vectors[parent.sha256]
    found, members = experiment(tmp_path, real, made, vectors)
    primary = verdict(found, members)
    assert primary["verdict"] != "helps"
    rows = {c["comparator"]: c for c in primary["comparisons"]}  # type: ignore[attr-defined]
    assert abs(rows["oversample"]["difference"]) < 0.02
    assert rows["oversample"]["interval"][0] <= 0


def test_a_foreign_parent_stops_the_experiment(tmp_path: Path) -> None:
    """A synthetic image that names the wrong group but was made from a test image."""
    real = dataset({"a": 20, "b": 20})
    vectors = noise([r.image_id.removeprefix("img_") for r in real], 4)
    liar = synthetic("liar", real[0], group_ids=())
    vectors[liar.sha256] = vectors[real[0].sha256]
    with pytest.raises(LeakDetected) as caught:
        experiment(tmp_path, real, [liar], vectors)
    assert caught.value.image_ids == ("img_liar",)


def test_a_planted_duplicate_stops_the_experiment(tmp_path: Path) -> None:
    real = dataset({"a": 20, "b": 20})
    twin = replace(record("twin", "a", "group-twin"), pixel_sha256=real[0].pixel_sha256)
    vectors = noise([*(r.image_id.removeprefix("img_") for r in real), "twin"], 4)
    members = cohort([*real, twin])
    names = [r.image_id for r in members.records]
    test = np.array([names.index("img_twin"), names.index("img_b0")])
    train = np.setdiff1d(np.arange(len(names)), test)
    task = FoldTask(members, train, test, [], parse_arms(["real"]), [LR], 0, 0, 1)
    with pytest.raises(LeakDetected):
        run_fold(task, loader(vectors), lambda done, total: None)


def test_synthetic_images_of_test_groups_are_never_trained_on(tmp_path: Path) -> None:
    real = dataset({"a": 20, "b": 20}, size=2)
    vectors = noise([r.image_id.removeprefix("img_") for r in real], 4)
    made = [synthetic(f"copy{i}", parent) for i, parent in enumerate(real)]
    vectors |= {m.sha256: vectors[p.sha256] for m, p in zip(made, real, strict=True)}
    members = cohort(real)
    table = fold_table(members, design="cv", folds=4, repeats=1, seed=0)
    for seed, fold in table.pairs():
        train, test = table.sides(seed, fold)
        asked: list[str] = []

        def load(keys: Sequence[tuple[str, int]]) -> np.ndarray:
            asked.extend(name for name, _ in keys)  # noqa: B023
            return loader(vectors)(keys)

        task = FoldTask(members, train, test, made, parse_arms(["combined"]), [LR], seed, fold, 1)
        run_fold(task, load, lambda done, total: None)
        tested = {g for i in test for g in members.records[i].group_ids}
        used = [m for m in made if m.sha256 in asked]
        assert used
        assert not any(tested & set(m.group_ids) for m in used)
        assert len(used) == len(train)


def test_the_order_of_the_manifest_changes_nothing(tmp_path: Path) -> None:
    real = dataset({"a": 30, "b": 20})
    made = [synthetic(f"copy{i}", p) for i, p in enumerate(real[30:])]
    vectors = noise([r.image_id.removeprefix("img_") for r in [*real, *made]], 6)
    runs = []
    for place, order in enumerate((1, -1)):
        folder = tmp_path / str(place)
        folder.mkdir()
        found, _ = experiment(folder, real[::order], made[::order], vectors)
        runs.append(found)
    for model in runs[0].models:
        assert runs[0].scores[model].overall == runs[1].scores[model].overall
    first, second = (run.replicates for run in runs)
    assert first is not None
    assert second is not None
    assert (first.balanced_accuracy == second.balanced_accuracy).all()
