"""KID agrees with torch-fidelity at any tile, and its replicates with their definition."""

from __future__ import annotations

import numpy as np
import pytest

from core.features.torchvision_loader import load_torchvision
from core.quality import kernel
from core.quality.kernel import across, kernel_distance, within
from core.quality.resampling import Draws, group_draws


def _draws(n: int, size: int = 1, seed: int = 0, draws: int = 50) -> Draws:
    names = [str(i // size) for i in range(n)]
    found = group_draws(names, ["a"] * n, np.random.default_rng(seed), draws=draws)
    assert found is not None
    return found


def _theirs(a: np.ndarray, b: np.ndarray) -> float:
    import torch

    load_torchvision()
    from torch_fidelity.metric_kid import kid_features_to_metric

    found = kid_features_to_metric(
        torch.from_numpy(a),
        torch.from_numpy(b),
        kid_subsets=1,
        kid_subset_size=len(a),
        verbose=False,
    )
    return float(found["kernel_inception_distance_mean"])


@pytest.mark.parametrize("tile", [17, 90, 2048])
def test_agrees_with_torch_fidelity(monkeypatch: pytest.MonkeyPatch, tile: int) -> None:
    monkeypatch.setattr(kernel, "TILE", tile)
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(90, 24)), rng.normal(0.2, 1.1, size=(90, 24))
    assert kernel_distance(a, b)[0] == pytest.approx(_theirs(a, b), rel=1e-10)
    single = kernel_distance(a.astype(np.float32), b.astype(np.float32))[0]
    assert single == pytest.approx(_theirs(a, b), abs=1e-6 * float(across(a, b)[0]))


def test_replicates_are_weighted_sums_without_pairs_of_one_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kernel, "TILE", 16)
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(40, 5)), rng.normal(size=(50, 5))
    draws = _draws(40, 2, draws=6), _draws(50, draws=6)
    found = within(x, draws[0]), across(x, y, *draws)
    own, cross = (x @ x.T / 5 + 1) ** 3, (x @ y.T / 5 + 1) ** 3
    np.fill_diagonal(own, 0)
    for place in range(6):
        w, v = (d[place].astype(float) for d in draws)
        expected = w @ own @ w / (w.sum() ** 2 - (w**2).sum())
        assert found[0][place + 1] == pytest.approx(expected)
        assert found[1][place + 1] == pytest.approx(w @ cross @ v / w.sum() / v.sum())


def test_is_unbiased_at_small_n() -> None:
    rng = np.random.default_rng(2)
    values = [
        kernel_distance(rng.normal(size=(8, 4)), rng.normal(size=(8, 4)))[0] for _ in range(800)
    ]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(len(values))


def test_a_draw_of_one_image_has_no_pairs() -> None:
    once = np.array([[1, 0, 0], [3, 0, 0], [1, 1, 0]], dtype=np.uint16)
    found = within(np.eye(3), once)
    assert np.isfinite(found[[0, 3]]).all()
    assert np.isnan(found[[1, 2]]).all()


def test_one_image_is_refused() -> None:
    with pytest.raises(ValueError, match="two images"):
        kernel_distance(np.zeros((1, 3)), np.zeros((5, 3)))
