"""Frechet distance of two sets of features, at their n and extrapolated to endless images.

|m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2), Heusel et al. 2017; Dowson and Landau 1982.
Means and covariances (divisor n - 1) are in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.floating]
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
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    mean_a, mean_b = a.mean(axis=0), b.mean(axis=0)
    a, b = a - mean_a, b - mean_b
    estimable = min(len(a), len(b)) > a.shape[1]
    if estimable:
        s1, s2 = a.T @ a / (len(a) - 1), b.T @ b / (len(b) - 1)
        scale, root = float(np.trace(s1) + np.trace(s2)), _trace_of_root(s1, s2)
    else:
        scale = float((a * a).sum() / (len(a) - 1) + (b * b).sum() / (len(b) - 1))
        root = _nuclear_norm(a, b) / float(np.sqrt((len(a) - 1) * (len(b) - 1)))
    gap = mean_a - mean_b
    value = max(0.0, float(gap @ gap) + scale - 2 * root)
    return Frechet(value, scale, estimable)


def _trace_of_root(s1: NDArray[np.float64], s2: NDArray[np.float64]) -> float:
    """Return tr (S1 S2)^(1/2): from L' S2 L with S1 = L L', or from eigenvectors when singular."""
    from scipy.linalg import LinAlgError, cholesky, eigh, eigvalsh
    from scipy.linalg.lapack import dsygst

    try:
        # L' S2 L by symmetry, in half the work of two products; only the lower triangle is filled
        inner, _ = dsygst(s2, cholesky(s1, lower=True), itype=2, lower=1)
    except LinAlgError:
        values, vectors = eigh(s1)
        half = vectors * np.sqrt(np.clip(values, 0.0, None))
        inner = half.T @ s2 @ half
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
