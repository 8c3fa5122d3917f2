"""Areas under the curves: scikit-learn's, weighted by how often each image was drawn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from core.learning.inference import interval, rank_bootstrap
from core.learning.ranking import areas, mean_areas


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 40), st.sampled_from([3, 50]))
def test_weighted_areas_agree_with_scikit_learn(seed: int, size: int, levels: int) -> None:
    """Ties included: few levels give many."""
    rng = np.random.default_rng(seed)
    positive = rng.random(size) < 0.4
    positive[:2] = True, False
    scores = rng.integers(0, levels, size) / levels
    weights = rng.integers(0, 4, (3, size))
    weights[:, :2] = np.maximum(weights[:, :2], 1)
    auroc, auprc = areas(positive, scores, weights)
    for row, drawn in enumerate(weights):
        expected = metrics.roc_auc_score(positive, scores, sample_weight=drawn)
        assert auroc[row] == pytest.approx(expected, abs=1e-9)
        expected = metrics.average_precision_score(positive, scores, sample_weight=drawn)
        assert auprc[row] == pytest.approx(expected, abs=1e-9)


def test_without_a_positive_or_a_negative_image_there_is_no_area() -> None:
    positive = np.array([True, True, False])
    auroc, auprc = areas(positive, np.array([0.2, 0.9, 0.4]), np.array([[0, 0, 1], [1, 1, 0]]))
    assert np.isnan(auroc).all()
    assert np.isnan(auprc).all()


def test_replicates_are_areas_of_resampled_groups_inside_each_fold() -> None:
    rng = np.random.default_rng(1)
    labels, groups = np.repeat([0, 1], 40), np.arange(80) // 2
    chances = rng.dirichlet([1, 1], (1, 2, 80))
    folds = np.stack([np.arange(80) % 2, np.arange(80) // 2 % 2])
    drawn = rank_bootstrap(labels, groups, chances, folds, 30, seed=5)
    assert drawn.auroc.shape == (30, 1, 2)
    weights = rng.integers(0, 3, (1, 80))
    mean, _ = mean_areas(labels, chances[0], folds, weights)
    each = [
        metrics.roc_auc_score(
            labels[here] == 1, chances[0, seed, here, 1], sample_weight=weights[0, here]
        )
        for seed in range(2)
        for fold in range(2)
        if len(here := np.flatnonzero(folds[seed] == fold))
    ]
    assert mean[0, 1] == pytest.approx(np.mean(each))
    low, high = interval(drawn.macro("macro_auroc")[:, 0])
    assert low < mean_areas(labels, chances[0], folds, np.ones((1, 80)))[0].mean() < high


def test_copies_of_images_in_a_group_make_no_interval_narrower() -> None:
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1], 30)
    chances = rng.dirichlet([1, 1], (1, 1, 60))
    once = rank_bootstrap(labels, np.arange(60), chances, np.zeros((1, 60)), 400, 0)
    many = rank_bootstrap(
        np.repeat(labels, 5),
        np.repeat(np.arange(60), 5),
        np.repeat(chances, 5, axis=2),
        np.zeros((1, 300)),
        400,
        0,
    )
    assert np.allclose(once.auroc, many.auroc)
