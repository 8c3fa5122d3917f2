"""The knee of a dose-response curve."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from core.learning.exploratory import knee

RATIOS = [0.0, 0.5, 1.0, 2.0, 5.0]


def draws(values: list[float], spread: float) -> NDArray[np.float64]:
    return np.array(values) + np.random.default_rng(0).normal(0, spread, (3000, len(values)))


@pytest.mark.parametrize(
    ("values", "expected", "best"),
    [
        ([0.5, 0.6, 0.7, 0.702, 0.701], 1.0, 2.0),  # a plateau from 1 on
        ([0.5, 0.52, 0.6, 0.7, 0.8], 5.0, 5.0),  # still rising
        ([0.7, 0.6, 0.5, 0.4, 0.3], 0.0, 0.0),  # every dose is worse
        ([0.6, 0.601, 0.602, 0.6, 0.599], 0.0, 1.0),  # no dose can be told from none
    ],
)
def test_the_knee_is_the_smallest_dose_like_the_best(
    values: list[float], expected: float, best: float
) -> None:
    found = knee(RATIOS, np.array(values), draws(values, 0.005))
    assert (found["ratio"], found["best_ratio"]) == (expected, best)
    assert len(found["differences_to_best"]) == 4
    for row in found["differences_to_best"]:
        assert row["band"][0] <= row["difference"] <= row["band"][1]


def test_less_certain_scores_make_an_earlier_knee() -> None:
    values = [0.5, 0.6, 0.65, 0.7, 0.75]
    found = [
        knee(RATIOS, np.array(values), draws(values, spread))["ratio"] for spread in (0.001, 0.1)
    ]
    assert found[0] == 5.0
    assert found[1] < 5.0
