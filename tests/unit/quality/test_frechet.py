"""The Frechet distance agrees with references, also where covariances are singular."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from core.features.torchvision_loader import load_torchvision
from core.quality import frechet
from core.quality.frechet import frechet_distance, frechet_infinity, infinity_minimum


class Value(NamedTuple):
    value: float


def _features(n: int, d: int, seed: int, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(n, d)) @ rng.normal(size=(d, d))
    return np.asarray(mixed / np.sqrt(d) + shift)


def _reference(a: np.ndarray, b: np.ndarray) -> float:
    s1, s2 = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    gap = a.mean(axis=0) - b.mean(axis=0)
    return float(gap @ gap + np.trace(s1) + np.trace(s2) - 2 * np.trace(sqrtm(s1 @ s2)).real)


@pytest.mark.parametrize(("n1", "n2", "d"), [(200, 150, 12), (400, 400, 64), (65, 300, 64)])
def test_agrees_with_matrix_square_root(n1: int, n2: int, d: int) -> None:
    a, b = _features(n1, d, 1), _features(n2, d, 2, 0.3)
    found = frechet_distance(a, b)
    assert found.estimable
    assert abs(found.value - _reference(a, b)) <= 1e-6 * found.scale


def test_agrees_with_torch_fidelity() -> None:
    import torch

    load_torchvision()
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    a, b = _features(300, 40, 3), _features(260, 40, 4, 0.2)
    statistics = [fid_features_to_statistics(torch.from_numpy(x)) for x in (a, b)]
    theirs = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    found = frechet_distance(a, b)
    assert abs(found.value - theirs) <= 1e-6 * found.scale


def test_dead_features_at_any_n() -> None:
    a, b = _features(300, 30, 5), _features(300, 30, 6, 0.1)
    a[:, :7], b[:, :7] = 0, 0
    found = frechet_distance(a, b)
    assert found.estimable
    assert abs(found.value - _reference(a[:, 7:], b[:, 7:])) <= 1e-6 * found.scale


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 30), st.integers(2, 30), st.integers(0, 9))
def test_nuclear_norm_is_the_same_number(n1: int, n2: int, seed: int) -> None:
    """Below the dimension: the trace of the root from the eigenvalues of S1 S2."""
    d = 31
    a, b = _features(n1, d, seed), _features(n2, d, seed + 100, 0.5)
    found = frechet_distance(a, b)
    s1, s2 = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    values, vectors = np.linalg.eigh(s1)
    half = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    inner = np.clip(np.linalg.eigvalsh(half @ s2 @ half), 0, None)
    gap = a.mean(axis=0) - b.mean(axis=0)
    expected = gap @ gap + np.trace(s1) + np.trace(s2) - 2 * np.sqrt(inner).sum()
    assert not found.estimable
    # square roots of rounding noise: the reference itself is no better than this
    assert abs(found.value - expected) <= 1e-5 * found.scale


def test_of_itself_is_zero_and_of_a_shift_its_square() -> None:
    a = _features(100, 8, 7)
    assert frechet_distance(a, a).value == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, a + 2).value == pytest.approx(8 * 4)


def test_one_image_is_refused() -> None:
    with pytest.raises(ValueError, match="two images"):
        frechet_distance(np.zeros((1, 3)), np.zeros((5, 3)))


def test_infinity_takes_the_bias_away() -> None:
    """Two samples of one distribution: zero, where the plain distance is above it."""
    plain, endless = [], []
    for seed in range(12):
        a, b = (np.random.default_rng(2 * seed + i).normal(size=(600, 20)) for i in (0, 1))
        plain.append(frechet_distance(a, b).value)
        endless.append(frechet_infinity(a, b, np.random.default_rng(seed)))
    assert min(plain) > 0.3
    assert abs(np.mean(endless)) < 0.15 * np.mean(plain)


def test_infinity_is_the_line_through_the_references_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a, b = _features(200, 12, 3), _features(230, 12, 4, 0.2)
    found = frechet_infinity(a, b, np.random.default_rng(0))
    monkeypatch.setattr(frechet, "frechet_distance", lambda x, y: Value(_reference(x, y)))
    assert frechet_infinity(a, b, np.random.default_rng(0)) == pytest.approx(found, rel=1e-6)


def test_infinity_refuses_few_images() -> None:
    least = infinity_minimum(12)
    rng = np.random.default_rng(0)
    frechet_infinity(_features(least, 12, 1), _features(least, 12, 2), rng)
    with pytest.raises(ValueError, match="fewer than"):
        frechet_infinity(_features(least, 12, 1), _features(least - 1, 12, 2), rng)
