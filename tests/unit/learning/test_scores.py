"""Scores agree with scikit-learn and with sums done by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from core.learning.scores import (
    class_scores,
    confusion,
    decision_scores,
    expected_calibration_error,
    mean_decision_scores,
    ranking_scores,
)

RNG = np.random.default_rng(5)
LABELS = RNG.integers(0, 4, 300)
CHANCES = RNG.dirichlet(np.ones(4), 300)
DECISIONS = CHANCES.argmax(axis=1)


def test_decision_scores_agree_with_sklearn() -> None:
    scores = decision_scores(confusion(LABELS, DECISIONS, 4))
    assert scores["balanced_accuracy"] == pytest.approx(
        metrics.balanced_accuracy_score(LABELS, DECISIONS)
    )
    assert scores["accuracy"] == pytest.approx(metrics.accuracy_score(LABELS, DECISIONS))
    assert scores["macro_f1"] == pytest.approx(metrics.f1_score(LABELS, DECISIONS, average="macro"))


def test_class_scores_agree_with_sklearn() -> None:
    ours = class_scores(confusion(LABELS, DECISIONS, 4))
    theirs = metrics.precision_recall_fscore_support(LABELS, DECISIONS)
    for mine, reference in zip(
        (ours.precision, ours.recall, ours.f1, ours.support), theirs, strict=True
    ):
        assert np.allclose(mine, reference)


def test_confusion_has_true_classes_in_rows() -> None:
    assert confusion(np.array([0, 0, 1]), np.array([1, 1, 0]), 2).tolist() == [[0, 2], [1, 0]]


def test_untested_classes_do_not_count() -> None:
    scores = decision_scores(confusion(np.array([0, 0, 1]), np.array([0, 2, 1]), 3))
    assert scores["balanced_accuracy"] == pytest.approx(0.75)


def test_means_are_over_seeds() -> None:
    decisions = np.stack([LABELS, (LABELS + 1) % 4])
    overall, classes = mean_decision_scores(LABELS, decisions, 4)
    assert overall["accuracy"] == pytest.approx(0.5)
    assert classes.recall.tolist() == [0.5] * 4


def test_ranks_are_taken_inside_each_fold_and_averaged() -> None:
    folds = np.arange(300) % 2
    ours = ranking_scores(LABELS, CHANCES[None], folds[None])
    expected = np.mean(
        [metrics.roc_auc_score(LABELS[folds == f] == 2, CHANCES[folds == f, 2]) for f in (0, 1)]
    )
    assert ours.auroc[2] == pytest.approx(expected)
    assert ours.macro()["macro_auroc"] == pytest.approx(ours.auroc.mean())


def test_a_class_with_four_positives_a_fold_is_not_ranked() -> None:
    labels = np.array([0] * 20 + [1] * 4)
    chances = np.random.default_rng(0).dirichlet([1, 1], 24)
    ours = ranking_scores(labels, chances[None], np.zeros((1, 24)))
    assert np.isnan(ours.auroc[1])
    assert not np.isnan(ours.auroc[0])


def test_nothing_ranked_is_none() -> None:
    ours = ranking_scores(np.array([0, 1]), np.eye(2)[None], np.zeros((1, 2)))
    assert ours.macro()["macro_auroc"] is None


def test_calibration_error_of_known_cases() -> None:
    sure = np.tile([1.0, 0.0], (60, 1))
    assert expected_calibration_error(np.zeros(60, int), sure) == 0
    assert expected_calibration_error(np.ones(60, int), sure) == 1
    half = np.tile([0.75, 0.25], (60, 1))
    truth = np.tile([0, 0, 0, 1], 15)
    assert expected_calibration_error(truth, half) == pytest.approx(0)
