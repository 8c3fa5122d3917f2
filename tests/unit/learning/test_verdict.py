"""The verdict follows from the intervals, by the rule, and says why."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from core.learning.analysis import Analysis, ModelScores, analyse
from core.learning.arms import COMPARATORS, parse_arms
from core.learning.comparison import MIN_TEST_GROUPS, Comparison, Question, compare
from core.learning.inference import bootstrap
from core.learning.predictions import Predictions
from core.learning.scores import RankingScores, confusion, mean_decision_scores
from core.learning.verdict import judge, verdict_document
from core.manifest import Modality
from core.synthesis.procedural import drawings

ARMS = [*COMPARATORS, "combined"]


def comparison(
    name: str, low: float, high: float, alone: tuple[float, float] | None = None
) -> Comparison:
    draws = np.linspace(low, high, 2001)
    well_tested = np.linspace(*(alone or (low, high)), 2001)
    return Comparison(name, (low + high) / 2, draws, draws[:, None], well_tested)


def judged(**bounds: tuple[float, float]) -> tuple[str, str]:
    return judge([comparison(n, *b) for n, b in bounds.items()], COMPARATORS)


WIN, TIE, LOSS = (0.02, 0.2), (-0.1, 0.1), (-0.3, -0.02)


def test_helps_needs_every_comparator() -> None:
    assert judged(**dict.fromkeys(COMPARATORS, WIN))[0] == "helps"
    for name in COMPARATORS:
        assert judged(**(dict.fromkeys(COMPARATORS, WIN) | {name: TIE}))[0] == "no_evidence"


def test_a_remedy_that_is_not_beaten_is_named() -> None:
    bounds = dict.fromkeys(COMPARATORS, WIN) | {"oversample": TIE}
    assert judged(**bounds) == ("no_evidence", "better than real, not than oversample")


def test_hurts_is_against_real() -> None:
    assert judged(**(dict.fromkeys(COMPARATORS, WIN) | {"real": LOSS}))[0] == "hurts"
    assert judged(**(dict.fromkeys(COMPARATORS, WIN) | {"augment": LOSS}))[0] == "no_evidence"


def test_an_arm_that_was_not_run_cannot_be_beaten() -> None:
    verdict, reason = judged(real=WIN, oversample=WIN)
    assert verdict == "not_estimable"
    assert "not compared with class_weight" in reason


def test_a_result_has_to_hold_without_the_classes_of_few_groups() -> None:
    won = [comparison(name, *WIN) for name in COMPARATORS]
    won[2] = comparison(COMPARATORS[2], *WIN, alone=TIE)
    verdict, reason = judge(won, COMPARATORS)
    assert verdict == "no_evidence"
    assert reason.endswith(
        f"but not over the classes with at least 20 test groups alone than {COMPARATORS[2]}"
    )
    verdict, reason = judge([comparison("real", *LOSS, alone=TIE)], ["real"])
    assert verdict == "no_evidence"
    assert reason.startswith("worse than real, but not over the classes")
    # what only the well tested classes show is no result either
    assert judge([comparison("real", *TIE, alone=WIN)], ["real"])[0] == "no_evidence"
    assert judge([comparison("real", *TIE, alone=LOSS)], ["real"])[0] == "no_evidence"


@pytest.mark.parametrize("per_class", [(19, 19, 19), (80, 19, 12)])
def test_without_two_well_tested_classes_nothing_is_estimable(per_class: tuple[int, ...]) -> None:
    primary = document(BASE | {"combined": 0.9}, per_class=per_class)["primary"]
    assert primary["verdict"] == "not_estimable"  # type: ignore[index]
    assert primary["reason"] == "fewer than two classes have 20 test groups"  # type: ignore[index]
    assert primary["well_tested"] == {"classes": [], "comparisons": []}  # type: ignore[index]
    assert len(primary["comparisons"]) == len(COMPARATORS)  # type: ignore[index]


def test_the_well_tested_classes_stand_in_the_document() -> None:
    alone = document(BASE | {"combined": 0.9})["primary"]["well_tested"]  # type: ignore[index]
    assert alone["classes"] == ["a", "b"]
    real = next(c for c in alone["comparisons"] if c["comparator"] == "real")
    low, high = real["interval"]
    assert low < real["difference"] < high
    assert 0.2 < real["difference"] < 0.4


def drawn_by_chance(trial: int) -> Analysis:
    """Two arms of one accuracy on two large classes and four of 2 to 5 groups, decisions only."""
    labels, rng = np.repeat(np.arange(6), (60, 40, 5, 4, 3, 2)), np.random.default_rng([trial, 9])
    wrong = rng.random((2, len(labels))) < 0.3
    decided = (labels + wrong * rng.integers(1, 6, wrong.shape)) % 6
    models = (("real", "lr"), ("combined", "lr"))
    scores = {
        model: ModelScores(
            *model,
            *mean_decision_scores(labels, row[None], 6),
            ranking=RankingScores(np.full(6, np.nan), np.full(6, np.nan), np.nan),
            matrix=confusion(labels, row, 6),
            by_seed=[],
            intervals={},
        )
        for model, row in zip(models, decided, strict=True)
    }
    drawn = bootstrap(labels, np.arange(len(labels)), decided[:, None], 6, 400, seed=trial)
    return Analysis(models, scores, (), drawn, np.bincount(labels))


def test_tiny_classes_do_not_make_results_out_of_chance() -> None:
    """Without a difference "helps" and "hurts" come in 2.5 % of 300 trials each, not more.

    Without the rule of the well tested classes they are 24 and 20 of these 300.
    """
    trials = 300
    question = Question(tuple("abcdef"), "lr", (), augmented=False, seed=0)
    verdicts = Counter(
        judge(compare(drawn_by_chance(trial), question), ["real"])[0] for trial in range(trials)
    )
    expected = 0.025 * trials
    most = expected + 3 * (expected * 0.975) ** 0.5
    assert max(verdicts["helps"], verdicts["hurts"]) <= most
    assert verdicts["no_evidence"] > 0.9 * trials


def test_without_real_there_is_nothing_to_say() -> None:
    assert judged(oversample=WIN)[0] == "not_estimable"


def predictions(
    accuracy: dict[str, float], per_class: tuple[int, ...] = (80, 40, 12)
) -> Predictions:
    """Independent images; arm k decides right with its accuracy, the same dice for all arms."""
    labels = np.repeat(np.arange(len(per_class)), per_class)
    rng = np.random.default_rng(4)
    chances = np.empty((len(accuracy), 2, len(labels), len(per_class)), dtype=np.float32)
    for seed in range(2):
        dice = rng.random(len(labels))
        for model, share in enumerate(accuracy.values()):
            decided = np.where(dice < share, labels, (labels + 1) % len(per_class))
            chances[model, seed] = np.eye(len(per_class))[decided] * 0.8 + 0.05
    return Predictions(
        classes=("a", "b", "c"),
        labels=labels,
        groups=np.arange(len(labels)),
        seeds=(0, 1),
        folds=np.zeros((2, len(labels)), dtype=np.int64),
        models=tuple((arm, "lr") for arm in accuracy),
        probabilities=chances,
    )


def document(
    accuracy: dict[str, float],
    augmented: bool = False,
    per_class: tuple[int, ...] = (80, 40, 12),
) -> dict[str, object]:
    found = predictions(accuracy, per_class)
    question = Question(
        found.classes, "lr", tuple(parse_arms(accuracy)), augmented=augmented, seed=0
    )
    return verdict_document(
        analyse(found, replicates=500, seed=0),
        question,
        order=found.models,
        design="cv",
        fold_table_sha256="0" * 64,
        legacy=None,
        settings={},
        warnings=[],
    )


BASE = dict.fromkeys(COMPARATORS, 0.6)


def test_document_has_the_published_shape() -> None:
    verdict = document(BASE | {"combined": 0.9, "combined_r2": 0.8})
    assert json.loads(json.dumps(verdict, allow_nan=False))
    assert {
        "design",
        "fold_table_sha256",
        "primary",
        "per_class",
        "arms",
        "legacy_protocol",
    } <= set(verdict)
    primary = verdict["primary"]
    assert primary["verdict"] == "helps"  # type: ignore[index]
    assert {"metric", "classifier", "arm", "verdict", "comparisons", "smallest_detectable"} <= set(
        primary  # type: ignore[call-overload]
    )
    assert set(primary["comparisons"][0]) == {"comparator", "difference", "interval", "p"}  # type: ignore[index]
    row = verdict["per_class"][0]  # type: ignore[index]
    assert {"class", "n_groups", "verdict", "difference", "interval", "p_holm"} <= set(row)
    arm = verdict["arms"][0]  # type: ignore[index]
    assert set(arm) == {"arm", "classifier", "scores", "valid", "invalid_reason"}
    assert set(arm["scores"]["balanced_accuracy"]) == {"value", "interval"}
    assert verdict["exploratory"]["dose_response"][0]["ratio"] == 2  # type: ignore[index]


def test_classes_with_few_groups_are_not_judged() -> None:
    rows = {r["class"]: r for r in document(BASE | {"combined": 0.9})["per_class"]}  # type: ignore[attr-defined]
    assert rows["a"]["verdict"] == "helps"
    assert rows["c"]["verdict"] == "not_estimable"
    assert rows["c"]["interval"] is None


def test_class_verdicts_need_every_comparator_too() -> None:
    rows = document(BASE | {"oversample": 0.9, "combined": 0.9})["per_class"]
    assert rows[0]["verdict"] == "no_evidence"  # type: ignore[index]
    assert rows[0]["reason"] == "better than real, not than oversample"  # type: ignore[index]


def test_equal_arms_give_no_evidence() -> None:
    assert document(BASE | {"combined": 0.6})["primary"]["verdict"] == "no_evidence"  # type: ignore[index]


def test_worse_than_real_hurts() -> None:
    verdict = document(BASE | {"combined": 0.3})
    assert verdict["primary"]["verdict"] == "hurts"  # type: ignore[index]
    assert verdict["per_class"][0]["verdict"] == "hurts"  # type: ignore[index]


def test_augment_is_no_comparator_of_augmented_images() -> None:
    verdict = document(BASE | {"augment": 0.9, "combined": 0.9}, augmented=True)
    names = [c["comparator"] for c in verdict["primary"]["comparisons"]]  # type: ignore[index]
    assert "augment" not in names
    assert verdict["primary"]["verdict"] == "helps"  # type: ignore[index]


def test_an_incomplete_arm_is_invalid_and_says_why() -> None:
    found = predictions(BASE | {"combined": 0.9, "synthetic": 0.5})
    found.probabilities[-1, 0, :3] = np.nan
    analysis = analyse(found, replicates=200, seed=0)
    question = Question(found.classes, "lr", (), augmented=False, seed=0)
    verdict = verdict_document(
        analysis,
        question,
        order=found.models,
        design="cv",
        fold_table_sha256="",
        legacy=None,
        settings={},
        warnings=[],
    )
    last = verdict["arms"][-1]
    assert (last["arm"], last["valid"], last["scores"]) == ("synthetic", False, {})
    assert "too few synthetic" in last["invalid_reason"]
    assert verdict["primary"]["verdict"] == "helps"


def test_a_gain_without_better_ranks_is_marked() -> None:
    assert document(BASE | {"combined": 0.9})["primary"]["threshold_effect_possible"] is False  # type: ignore[index]
    found = predictions(BASE | {"combined": 0.9})
    # real ranks perfectly below the threshold: only the decision is wrong
    right = np.eye(3)[found.labels] * 0.3
    found.probabilities[0] = found.probabilities[0] * 0.01 + right[None]
    found.probabilities[0, :, :, 2] += 1.0
    question = Question(found.classes, "lr", (), augmented=False, seed=0)
    verdict = verdict_document(
        analyse(found, replicates=200, seed=0),
        question,
        order=found.models,
        design="cv",
        fold_table_sha256="",
        legacy=None,
        settings={},
        warnings=[],
    )
    assert verdict["primary"]["threshold_effect_possible"] is True


@pytest.mark.parametrize("members", [{"real": 0.6}, {"real": 0.6, "oversample": 0.7}])
def test_without_the_primary_arm_nothing_is_claimed(members: dict[str, float]) -> None:
    verdict = document(members)
    assert verdict["primary"]["verdict"] == "not_estimable"  # type: ignore[index]
    assert {r["verdict"] for r in verdict["per_class"]} == {"not_estimable"}  # type: ignore[attr-defined]


@pytest.mark.parametrize("modality", ["rgb", "grey"])
def test_the_built_in_data_can_be_judged(modality: Modality) -> None:
    """The demonstration on it must not end in "not estimable"."""
    groups: dict[str, set[int]] = {}
    for drawing in drawings(modality=modality):
        groups.setdefault(drawing.label, set()).add(drawing.subject)
    assert sum(len(own) >= MIN_TEST_GROUPS for own in groups.values()) >= 3
