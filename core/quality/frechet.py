"""Frechet distance of two sets of features, at their n and extrapolated to endless images.

|m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2), Heusel et al. 2017; Dowson and Landau 1982.
Means and covariances (divisor n - 1) are in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.floating]
ROWS = 1024
"""Of a covariance, centred at once: no copy of all features is made."""
POINTS = 5
"""Sizes through which the line of frechet_infinity is laid."""


@dataclass(frozen=True, slots=True)
class Frechet:
    """A distance; ``scale`` is tr S1 + tr S2, estimable says that both n exceed the dimension."""

    value: float
    scale: float
    estimable: bool


def frechet_distance(first: Matrix, second: Matrix) -> Frechet:
    """Return the distance of two sets (n1 x d and n2 x d, both n >= 2).

    n <= d: the trace of the root is the nuclear norm of the centred cross-Gram matrix over
    sqrt((n1-1)(n2-1)), which is the same number without a d x d root; it is marked not estimable,
    because it says more about n than about the images.
    """
    if min(len(first), len(second)) < 2:
        raise ValueError("a Frechet distance needs two images on each side")
    mean_a: NDArray[np.float64] = np.mean(first, axis=0, dtype=np.float64)
    mean_b: NDArray[np.float64] = np.mean(second, axis=0, dtype=np.float64)
    estimable = min(len(first), len(second)) > first.shape[1]
    if estimable:
        s1, s2 = _covariance(first, mean_a), _covariance(second, mean_b)
        scale, root = float(np.trace(s1) + np.trace(s2)), _trace_of_root(s1, s2)
    else:
        a, b = first - mean_a, second - mean_b
        scale = float((a * a).sum() / (len(a) - 1) + (b * b).sum() / (len(b) - 1))
        root = _nuclear_norm(a, b) / float(np.sqrt((len(a) - 1) * (len(b) - 1)))
    gap = mean_a - mean_b
    value = max(0.0, float(gap @ gap) + scale - 2 * root)
    return Frechet(value, scale, estimable)


def _covariance(features: Matrix, mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the lower triangle of the covariance, zeros above it; rows are centred in blocks."""
    from scipy.linalg.blas import dsyrk

    count, dimension = features.shape
    total = np.zeros((dimension, dimension), order="F")
    block = np.empty((min(ROWS, count), dimension))
    for start in range(0, count, ROWS):
        part = features[start : start + ROWS]
        centred = np.subtract(part, mean, out=block[: len(part)])
        total = dsyrk(1 / (count - 1), centred.T, 1.0, total, lower=1, overwrite_c=1)
    return np.asarray(total)


def _trace_of_root(s1: NDArray[np.float64], s2: NDArray[np.float64]) -> float:
    """Return tr (S1 S2)^(1/2) of lower triangles.

    From L' S2 L with S1 = L L', or from the eigenvectors of S1 when it is singular.
    """
    from scipy.linalg import LinAlgError, cholesky, eigh, eigvalsh
    from scipy.linalg.lapack import dsygst

    try:
        # by symmetry, in half the work of two products; only the lower triangle is filled
        inner, _ = dsygst(s2, cholesky(s1, lower=True), itype=2, lower=1)
    except LinAlgError:
        values, vectors = eigh(s1, lower=True)
        half = vectors * np.sqrt(np.clip(values, 0.0, None))
        inner = half.T @ (s2 + np.tril(s2, -1).T) @ half
    values = eigvalsh(inner, lower=True, overwrite_a=True)
    return float(np.sqrt(np.clip(values, 0.0, None)).sum())


def _nuclear_norm(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return the sum of the singular values of A B'."""
    from scipy.linalg import svdvals

    return float(svdvals(a @ b.T).sum())


def frechet_infinity(first: Matrix, second: Matrix, rng: np.random.Generator) -> float:
    """Return the distance that n without end would give, Chong and Forsyth 2020.

    The distance is biased by about c / n. It is computed at POINTS sizes, equally spaced in 1 / n
    from all images (the smaller side's n) to a quarter, of nested random subsets of both sides; the
    value is the intercept of the straight line through them. ValueError when n is below
    4 (dimension + 1).
    """
    most, dimension = min(len(first), len(second)), first.shape[1]
    if most < infinity_minimum(dimension):
        raise ValueError(f"{most} images are fewer than 4 x ({dimension} + 1)")
    one, other = rng.permutation(len(first))[:most], rng.permutation(len(second))[:most]
    sizes = np.rint(1 / np.linspace(1 / most, 4 / most, POINTS)).astype(int)
    found = [frechet_distance(first[one[:n]], second[other[:n]]).value for n in sizes.tolist()]
    return float(np.polyfit(1 / sizes, found, 1)[1])


def infinity_minimum(dimension: int) -> int:
    """Return the images a side that keep every point of the line at or above the dimension."""
    return 4 * (dimension + 1)
