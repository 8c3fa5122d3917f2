"""Features of all images in two dimensions: PCA, t-SNE or UMAP."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInput

Method = Literal["pca", "tsne", "umap"]
MINIMUM = 4
"""Fewer images have no picture worth drawing."""
NEIGHBOUR_DIMENSIONS = 50
"""t-SNE and UMAP look for neighbours in so many principal components."""


@dataclass(frozen=True, slots=True)
class Projection:
    """Coordinates n x 2; explained_variance are the shares of both components, of PCA only."""

    points: NDArray[np.float64]
    explained_variance: tuple[float, float] | None


def project(
    features: NDArray[np.float32], method: Method, seed: int, threads: int = 1
) -> Projection:
    """Project n x d features, each standardised first (constant ones stay zero).

    The same seed gives the same points. InvalidInput ``too_few_images`` below MINIMUM images.
    """
    if len(features) < MINIMUM:
        raise InvalidInput(
            f"A projection needs at least {MINIMUM} images, there are {len(features)}",
            code="too_few_images",
        )
    scaled = _standardised(features)
    if not scaled.any():
        explained = (0.0, 0.0) if method == "pca" else None
        return Projection(np.zeros((len(features), 2)), explained)
    if method == "pca":
        scores, shares = _components(scaled, 2)
        return Projection(scores, (float(shares[0]), float(shares[1])))
    scores, _ = _components(scaled, min(NEIGHBOUR_DIMENSIONS, *scaled.shape))
    if method == "tsne":
        return Projection(_tsne(scores, seed, threads), None)
    return Projection(_umap(scores, seed), None)


def _standardised(features: NDArray[np.float32]) -> NDArray[np.float32]:
    mean = features.mean(axis=0, dtype=np.float64)
    deviation = features.std(axis=0, dtype=np.float64)
    constant = deviation <= 1e-6 * np.maximum(1.0, np.abs(mean))
    scaled: NDArray[np.float32] = features - mean.astype(np.float32)
    scaled /= np.where(constant, 1.0, deviation).astype(np.float32)
    scaled[:, constant] = 0
    return scaled


def _components(
    scaled: NDArray[np.float32], count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return principal component scores and the shares of the variance they explain."""
    from sklearn.decomposition import PCA

    pca = PCA(n_components=count, svd_solver="covariance_eigh")
    scores = np.asarray(pca.fit_transform(scaled), dtype=np.float64)
    return scores, np.asarray(pca.explained_variance_ratio_, dtype=np.float64)


def _tsne(scores: NDArray[np.float64], seed: int, threads: int) -> NDArray[np.float64]:
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(scores) - 1) / 3)
    tsne = TSNE(2, perplexity=perplexity, init="pca", random_state=seed, n_jobs=threads)
    return np.asarray(tsne.fit_transform(scores), dtype=np.float64)


def _umap(scores: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Run UMAP on one thread, which is what makes it repeatable.

    A handful of images is too few for its spectral start, which then is random, by seed.
    """
    with warnings.catch_warnings():
        # umap warns at import that its tensorflow variant is not there; nobody asked for it
        warnings.simplefilter("ignore", ImportWarning)
        from umap import UMAP

    start = "spectral" if len(scores) > 30 else "random"
    umap = UMAP(
        n_components=2,
        n_neighbors=min(15, len(scores) - 1),
        init=start,
        random_state=seed,
        n_jobs=1,
    )
    return np.asarray(umap.fit_transform(scores), dtype=np.float64)
