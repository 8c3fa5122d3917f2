"""Frechet distance of two sets of features, and the floor that real images have among themselves.

|m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2), Heusel et al. 2017; Dowson and Landau 1982.
Means and covariances (divisor n - 1) are in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.floating]
Index = NDArray[np.intp]


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
    scale = float((a * a).sum() / (len(a) - 1) + (b * b).sum() / (len(b) - 1))
    dimension = a.shape[1]
    estimable = min(len(a), len(b)) > dimension
    if estimable:
        root = _trace_of_root(a.T @ a / (len(a) - 1), b.T @ b / (len(b) - 1))
    else:
        root = _nuclear_norm(a, b) / float(np.sqrt((len(a) - 1) * (len(b) - 1)))
    gap = mean_a - mean_b
    value = max(0.0, float(gap @ gap) + scale - 2 * root)
    return Frechet(value, scale, estimable)


def _trace_of_root(s1: NDArray[np.float64], s2: NDArray[np.float64]) -> float:
    """Return tr (S1 S2)^(1/2): from L' S2 L with S1 = L L', or from eigenvectors when singular."""
    from scipy.linalg import LinAlgError, cholesky, eigh, eigvalsh

    try:
        lower = cholesky(s1, lower=True)
    except LinAlgError:
        values, vectors = eigh(s1)
        lower = vectors * np.sqrt(np.clip(values, 0.0, None))
    inner = lower.T @ s2 @ lower
    values = eigvalsh((inner + inner.T) / 2)
    return float(np.sqrt(np.clip(values, 0.0, None)).sum())


def _nuclear_norm(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return the sum of the singular values of A B'."""
    from scipy.linalg import svdvals

    return float(svdvals(a @ b.T).sum())


@dataclass(frozen=True, slots=True)
class Floor:
    """Real against real at m images a side: mean and 95 % range over the splits.

    synthetic is the mean distance of real to synthetic images at the same m and the same splits,
    ratio that mean over the floor.
    """

    m: int
    splits: int
    value: float
    low: float
    high: float
    synthetic: float
    ratio: float | None


def frechet_floor(
    real: Matrix,
    synthetic: Matrix,
    sample: Callable[[np.random.Generator], tuple[Index, Index, Index]],
    rng: np.random.Generator,
    *,
    splits: int = 20,
) -> Floor:
    """Return the floor over ``splits`` random splits.

    ``sample(rng)`` draws rows: two sides of real images that share no group, and as many synthetic
    ones.
    """
    among: list[float] = []
    across: list[float] = []
    sizes: list[int] = []
    for _ in range(splits):
        one, other, made = sample(rng)
        among.append(frechet_distance(real[one], real[other]).value)
        across.append(frechet_distance(real[one], synthetic[made]).value)
        sizes.append(len(one))
    value, against = float(np.mean(among)), float(np.mean(across))
    low, high = np.percentile(among, [2.5, 97.5])
    ratio = against / value if value > 0 else None
    return Floor(min(sizes), splits, value, float(low), float(high), against, ratio)


def disjoint_sides(
    labels: Sequence[str], groups: Sequence[str], quota: dict[str, int], rng: np.random.Generator
) -> tuple[Index, Index]:
    """Draw two sets of rows of the same class counts that share no group.

    Each side gets at most ``quota[label]`` rows of a class: groups are dealt whole, in random
    order, to the side that lacks more; both are then cut to the smaller count of each class.
    """
    members: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    sides: tuple[dict[str, list[int]], dict[str, list[int]]] = ({}, {})
    names = sorted(members)
    for position in rng.permutation(len(names)):
        rows = members[names[position]]
        touched = {labels[row] for row in rows}
        held = [sum(len(side.get(label, ())) for label in touched) for side in sides]
        side = sides[0] if held[0] <= held[1] else sides[1]
        for row in rows:
            mine = side.setdefault(labels[row], [])
            if len(mine) < quota.get(labels[row], 0):
                mine.append(row)
    one: list[int] = []
    other: list[int] = []
    for label in sorted(quota):
        left, right = sides[0].get(label, []), sides[1].get(label, [])
        count = min(len(left), len(right))
        one += left[:count]
        other += right[:count]
    return np.array(one, dtype=np.intp), np.array(other, dtype=np.intp)
