"""Projections are repeatable and survive few, constant and identical images."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import InvalidInput
from core.quality.projection import Method, project


def _features(n: int = 40, d: int = 12) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.normal(size=(n, d)) * np.arange(1, d + 1) + 100).astype(np.float32)


def test_pca_is_that_of_standardised_features() -> None:
    features = _features()
    found = project(features, "pca", 0)
    scaled = (features - features.mean(0)) / features.std(0)
    values = np.linalg.svd(scaled, compute_uv=False) ** 2
    assert found.explained_variance == pytest.approx(values[:2] / values.sum(), rel=1e-4)
    spread = found.points.var(axis=0, ddof=1) * (len(features) - 1)
    assert spread == pytest.approx(values[:2], rel=1e-3)


@pytest.mark.parametrize("method", ["pca", "tsne", "umap"])
def test_same_seed_same_points(method: Method) -> None:
    first, second = (project(_features(), method, 3) for _ in range(2))
    assert np.array_equal(first.points, second.points)
    assert first.points.shape == (40, 2)
    assert (first.explained_variance is None) == (method != "pca")


@pytest.mark.parametrize("method", ["pca", "tsne", "umap"])
def test_the_fewest_images_work(method: Method) -> None:
    assert np.isfinite(project(_features(4), method, 0).points).all()
    with pytest.raises(InvalidInput) as caught:
        project(_features(3), method, 0)
    assert caught.value.code == "too_few_images"


@pytest.mark.parametrize("method", ["pca", "tsne", "umap"])
def test_identical_images_fall_together(method: Method) -> None:
    found = project(np.full((9, 12), 3.3, np.float32), method, 0)
    assert not found.points.any()


def test_constant_features_do_not_matter() -> None:
    features = _features()
    wider = np.concatenate([features, np.full((40, 3), 7.7, np.float32)], axis=1)
    one, other = project(features, "pca", 0), project(wider, "pca", 0)
    assert np.allclose(one.points, other.points, atol=1e-3)
