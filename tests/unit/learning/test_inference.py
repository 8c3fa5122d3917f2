"""The bootstrap: the right resamples, honest intervals, Holm."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.learning import inference
from core.learning.inference import (
    bootstrap,
    holm,
    interval,
    p_value,
    simultaneous_band,
    smallest_detectable,
    strata,
    with_seeds,
)
from core.learning.scores import confusion, decision_scores


def test_replicates_are_scores_of_resampled_groups() -> None:
    """Each replicate must equal the score of an explicit resample with the same groups."""
    rng = np.random.default_rng(0)
    labels, groups = rng.integers(0, 3, 60), np.arange(60) // 2
    groups = np.unique(groups, return_inverse=True)[1]
    decisions = rng.integers(0, 3, (2, 2, 60))
    drawn = bootstrap(labels, groups, decisions, 3, 40, seed=9)
    again = np.random.default_rng(9)
    stratum = strata(labels, groups)
    picks = []
    for label in np.unique(stratum):
        own = np.flatnonzero(stratum == label)
        picks.append(own[again.integers(0, len(own), size=(40, len(own)))])
    for b in range(40):
        chosen = np.concatenate([p[b] for p in picks])
        rows = np.concatenate([np.flatnonzero(groups == g) for g in chosen])
        for model in range(2):
            each = [
                decision_scores(confusion(labels[rows], decisions[model, s][rows], 3))
                for s in range(2)
            ]
            for name in ("balanced_accuracy", "accuracy", "macro_f1"):
                expected = np.mean([e[name] for e in each])
                assert drawn.metric(name)[b, model] == pytest.approx(expected)


def test_the_seed_fixes_the_replicates() -> None:
    labels = np.repeat([0, 1], 30)
    decisions = np.random.default_rng(0).integers(0, 2, (1, 1, 60))
    runs = [bootstrap(labels, np.arange(60), decisions, 2, 300, seed).recall for seed in (1, 1, 2)]
    assert (runs[0] == runs[1]).all()
    assert not (runs[0] == runs[2]).all()


def test_identical_arms_differ_by_nothing() -> None:
    labels = np.repeat([0, 1], 30)
    one = np.random.default_rng(0).integers(0, 2, (1, 2, 60))
    drawn = bootstrap(labels, np.arange(60), np.concatenate([one, one]), 2, 200, 0)
    scores = drawn.metric("balanced_accuracy")
    assert interval(scores[:, 0] - scores[:, 1]) == (0.0, 0.0)
    assert p_value(scores[:, 0] - scores[:, 1]) == 1.0


def test_images_of_a_group_move_together() -> None:
    """Ten copies of each image must not make the interval any narrower."""
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1], 40)
    decisions = np.where(rng.random(80) < 0.7, labels, 1 - labels)
    once = bootstrap(labels, np.arange(80), decisions[None, None], 2, 4000, 0)
    groups = np.repeat(np.arange(80), 10)
    many = bootstrap(
        np.repeat(labels, 10), groups, np.repeat(decisions, 10)[None, None], 2, 4000, 0
    )
    assert np.allclose(once.accuracy, many.accuracy)


def test_coverage_of_a_paired_difference_is_honest() -> None:
    """95 % intervals of a known difference hold it in 92 to 98 % of simulated experiments."""
    rng = np.random.default_rng(11)
    labels, groups = np.repeat([0, 1], [200, 60]), np.repeat(np.arange(130), 2)
    truth, held, runs = 0.10, 0, 250
    for run in range(runs):
        hard = np.repeat(rng.normal(size=130), 2) * 0.15
        base, better = 0.65 + hard, 0.65 + truth + hard
        noise = rng.random(260)
        decisions = np.stack(
            [
                np.where(noise < base, labels, 1 - labels),
                np.where(noise < better, labels, 1 - labels),
            ]
        )
        drawn = bootstrap(labels, groups, decisions[:, None], 2, 400, run).metric(
            "balanced_accuracy"
        )
        low, high = interval(drawn[:, 1] - drawn[:, 0])
        held += low <= truth <= high
    assert 0.90 <= held / runs <= 0.99


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_monotone_and_never_smaller_than_p(values: list[float]) -> None:
    adjusted = holm(values)
    for p, (corrected, level) in zip(values, adjusted, strict=True):
        assert p <= corrected <= 1
        assert 0.95 <= level < 1
    order = np.argsort(values, kind="stable")
    assert (np.diff([adjusted[i][0] for i in order]) >= 0).all()


def test_holm_of_a_textbook_case() -> None:
    assert [p for p, _ in holm([0.01, 0.04, 0.03])] == pytest.approx([0.03, 0.06, 0.06])


def test_p_value_counts_both_tails_and_is_never_zero() -> None:
    assert p_value(np.full(100, 1.0)) == pytest.approx(0.01)
    assert p_value(np.array([-1.0] * 10 + [1.0] * 90)) == pytest.approx(0.21)


def test_smallest_detectable_scales_with_the_standard_error() -> None:
    draws = np.random.default_rng(0).normal(0, 0.02, 50_000)
    assert smallest_detectable(draws) == pytest.approx(2.8015 * 0.02, rel=0.02)


def test_resampling_seeds_widens_where_seeds_differ() -> None:
    rng = np.random.default_rng(0)
    by_seed = rng.normal(0, 0.01, (4000, 1)) + np.array([[-0.1, 0.0, 0.1]])
    wide = np.std(with_seeds(by_seed, 0))
    assert wide > 3 * np.std(by_seed.mean(axis=1))


def test_the_band_holds_all_estimates_together() -> None:
    rng = np.random.default_rng(0)
    draws = rng.normal(0, [0.01, 0.03, 0.02], (5000, 3))
    band = simultaneous_band(np.zeros(3), draws)
    inside = np.all(
        [(low <= draws[:, k]) & (draws[:, k] <= high) for k, (low, high) in enumerate(band)], axis=0
    )
    assert inside.mean() == pytest.approx(0.95, abs=0.002)


def test_pieces_of_a_block_change_no_replicate(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    labels, decisions = rng.integers(0, 3, 40), rng.integers(0, 3, (4, 2, 40))
    whole = bootstrap(labels, np.arange(40), decisions, 3, 50, 0)
    monkeypatch.setattr(inference, "_CELLS", 51 * 40 + 1)  # one block of draws, 39 rows a piece
    pieces = bootstrap(labels, np.arange(40), decisions, 3, 50, 0)
    assert (whole.balanced_accuracy == pieces.balanced_accuracy).all()
    assert (whole.recall == pieces.recall).all()


def test_many_models_on_few_groups_need_little_memory() -> None:
    """300 models and 10,000 replicates: pieces, where a whole block would take 0.3 GB."""
    labels = np.repeat([0, 1], 20)
    decisions = np.random.default_rng(0).integers(0, 2, (300, 1, 40))
    kept = 10_000 * 300 * (1 + 1 + 1 + 2) * 8
    tracemalloc.start()
    bootstrap(labels, np.arange(40), decisions, 2, 10_000, 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < kept + 200e6
