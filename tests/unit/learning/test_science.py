"""Tests of the tests: what the judgement does on data whose truth is known.

The small form runs always, the full one with ``make science``.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from core.learning.analysis import Analysis, ModelScores
from core.learning.arms import COMPARATORS
from core.learning.comparison import Question, compare
from core.learning.inference import bootstrap, interval
from core.learning.scores import RankingScores, confusion, mean_decision_scores
from core.learning.verdict import judge

SIZES = (60, 40, 25)
CLASSES = len(SIZES)


def decided(
    labels: NDArray[np.int64], shares: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return arms x 2 seeds x images; an image is right with the share of its arm.

    Two images a group are of one difficulty, and the seeds are two draws of one model.
    """
    hard = np.repeat(rng.normal(0, 0.15, (len(labels) + 1) // 2), 2)[: len(labels)]
    chance = np.clip(shares[:, None, None] + hard, 0, 1)
    right = rng.random((len(shares), 2, len(labels))) < chance
    return np.where(right, labels, (labels + 1) % CLASSES)


def experiment(shares: dict[str, float], trial: int, replicates: int) -> tuple[Analysis, Question]:
    """Simulate one experiment of arms with these shares of right decisions."""
    labels = np.repeat(np.arange(CLASSES), np.array(SIZES) * 2)
    rng = np.random.default_rng([trial, 77])
    made = decided(labels, np.array(list(shares.values())), rng)
    models = tuple((arm, "lr") for arm in shares)
    nothing = np.full(CLASSES, np.nan)
    scores = {
        model: ModelScores(
            *model,
            *mean_decision_scores(labels, rows, CLASSES),
            ranking=RankingScores(nothing, nothing, np.nan),
            matrix=confusion(labels, rows[0], CLASSES),
            by_seed=[],
            intervals={},
        )
        for model, rows in zip(models, made, strict=True)
    }
    drawn = bootstrap(labels, np.arange(len(labels)) // 2, made, CLASSES, replicates, seed=trial)
    question = Question(("a", "b", "c"), "lr", (), augmented=False, seed=trial)
    return Analysis(models, scores, (), drawn, np.array(SIZES)), question


def at_most(expected: float, trials: int) -> float:
    """Return what a binomial count of this expected share exceeds once in 700 runs."""
    return trials * expected + 3 * (trials * expected * (1 - expected)) ** 0.5


def verdicts(comparators: tuple[str, ...], trials: int, replicates: int) -> Counter[str]:
    shares = dict.fromkeys([*comparators, "combined"], 0.65)
    found: Counter[str] = Counter()
    for trial in range(trials):
        analysis, question = experiment(shares, trial, replicates)
        found[judge(compare(analysis, question), comparators)[0]] += 1
    return found


@pytest.mark.parametrize("comparators", [("real",), COMPARATORS], ids=["one", "five"])
def test_arms_of_one_distribution_rarely_help(comparators: tuple[str, ...]) -> None:
    """A/A: 200 experiments say "helps" in at most 5 %, plus binomial error."""
    found = verdicts(comparators, 200, 300)
    assert found["helps"] <= at_most(0.05, 200)
    assert found["helps"] + found["hurts"] <= at_most(0.10, 200)
    assert found["no_evidence"] >= 170


def coverage(trials: int, replicates: int) -> float:
    """Return how often the interval of a difference of known size holds it."""
    shares = {"real": 0.60, "combined": 0.68}
    truth = true_difference(shares)
    held = 0
    for trial in range(trials):
        analysis, question = experiment(shares, trial, replicates)
        (found,) = compare(analysis, question)
        low, high = interval(found.replicates)
        held += low <= truth <= high
    return held / trials


def true_difference(shares: dict[str, float]) -> float:
    """Return the expected difference: difficulties are clipped, so by numerical integration."""
    hard = np.random.default_rng(0).normal(0, 0.15, 1_000_000)
    real, combined = (np.clip(share + hard, 0, 1).mean() for share in shares.values())
    return float(combined - real)


def test_intervals_hold_the_truth() -> None:
    """95 % intervals hold a known difference in 92 to 98 % of simulated experiments."""
    assert 0.92 <= coverage(400, 300) <= 0.98


def test_a_true_difference_is_found() -> None:
    shares = dict.fromkeys(COMPARATORS, 0.55) | {"combined": 0.85}
    analysis, question = experiment(shares, 0, 300)
    assert judge(compare(analysis, question), COMPARATORS)[0] == "helps"


@pytest.mark.slow
@pytest.mark.parametrize("comparators", [("real",), COMPARATORS], ids=["one", "five"])
def test_arms_of_one_distribution_rarely_help_in_full(comparators: tuple[str, ...]) -> None:
    found = verdicts(comparators, 2000, 2000)
    assert found["helps"] <= at_most(0.05, 2000)


@pytest.mark.slow
def test_intervals_hold_the_truth_in_full() -> None:
    assert 0.92 <= coverage(4000, 2000) <= 0.98
