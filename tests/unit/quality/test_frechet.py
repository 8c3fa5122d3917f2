"""The Frechet distance agrees with references, also where covariances are singular."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from core.features.torchvision_loader import load_torchvision
from core.quality.frechet import disjoint_sides, frechet_distance, frechet_floor


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


@given(st.integers(0, 1000), st.integers(1, 12), st.integers(1, 20))
def test_sides_share_no_group_and_have_the_same_classes(seed: int, groups: int, quota: int) -> None:
    rng = np.random.default_rng(seed)
    labels = [str(v) for v in rng.integers(0, 3, 50)]
    names = [f"g{v}" for v in rng.integers(0, groups, 50)]
    one, other = disjoint_sides(labels, names, {"0": quota, "1": quota}, rng)
    assert not {names[i] for i in one} & {names[i] for i in other}
    assert sorted(labels[i] for i in one) == sorted(labels[i] for i in other)
    assert all([labels[i] for i in one].count(label) <= quota for label in "01")
    assert "2" not in {labels[i] for i in one}
    assert len(set(one) | set(other)) == len(one) + len(other)


def test_sides_fill_their_quota_where_groups_are_single() -> None:
    labels, names = ["a"] * 20 + ["b"] * 10, [str(i) for i in range(30)]
    one, other = disjoint_sides(labels, names, {"a": 10, "b": 5}, np.random.default_rng(0))
    assert len(one) == len(other) == 15


def test_floor_tells_noise_from_difference() -> None:
    real, same, far = (_features(400, 5, 1, s)[rows] for s, rows in _cuts())
    names = [str(i) for i in range(len(real))]

    def sample(draw: np.random.Generator):  # type: ignore[no-untyped-def]
        one, other = disjoint_sides(["x"] * len(real), names, {"x": 100}, draw)
        return one, other, draw.permutation(100)

    near = frechet_floor(real, same, sample, np.random.default_rng(0))
    away = frechet_floor(real, far, sample, np.random.default_rng(0))
    assert near.value == away.value
    assert near.low <= near.value <= near.high
    assert (near.m, near.splits) == (100, 20)
    assert near.ratio is not None
    assert near.ratio < 2
    assert away.ratio is not None
    assert away.ratio > 20


def _cuts() -> list[tuple[float, slice]]:
    return [(0.0, slice(0, 200)), (0.0, slice(200, 400)), (2.0, slice(200, 400))]
