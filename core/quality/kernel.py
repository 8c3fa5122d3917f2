"""Kernel distance (KID): unbiased squared MMD with a cubic kernel, Binkowski et al. 2018."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.floating]
BLOCK = 1024


@dataclass(frozen=True, slots=True)
class KernelDistance:
    """The distance over all images, with a 95 % interval over groups; it may be below zero."""

    value: float
    interval: tuple[float, float] | None


def kernel_distance(
    real: Matrix,
    synthetic: Matrix,
    real_groups: Sequence[str],
    synthetic_groups: Sequence[str],
    rng: np.random.Generator,
    *,
    bootstrap: int = 1000,
    min_groups: int = 5,
) -> KernelDistance:
    """Return KID of n1 x d and n2 x d features, kernel (x'y / d + 1)^3, no subsets.

    The interval resamples groups on both sides; an image that is drawn twice is not paired with
    itself, so that each replicate stays unbiased. None with fewer than ``min_groups`` groups.
    """
    if min(len(real), len(synthetic)) < 2:
        raise ValueError("a kernel distance needs two images on each side")
    draws_r = _weights(real_groups, bootstrap, rng, min_groups)
    draws_s = _weights(synthetic_groups, bootstrap, rng, min_groups)
    with_interval = len(draws_r) > 1 and len(draws_s) > 1
    if not with_interval:
        draws_r, draws_s = draws_r[:1], draws_s[:1]
    x, y = np.asarray(real, np.float64), np.asarray(synthetic, np.float64)
    values = (
        _within(x, draws_r)
        + _within(y, draws_s)
        - 2 * _sums(x, y, draws_r, draws_s) / (draws_r.sum(axis=1) * draws_s.sum(axis=1))
    )
    if not with_interval:
        return KernelDistance(float(values[0]), None)
    replicates = values[1:][np.isfinite(values[1:])]
    low, high = np.percentile(replicates, [2.5, 97.5])
    return KernelDistance(float(values[0]), (float(low), float(high)))


def _weights(
    groups: Sequence[str], draws: int, rng: np.random.Generator, min_groups: int
) -> NDArray[np.float64]:
    """Return how often each image is drawn, (1 + draws) x n; the first row is all ones."""
    _, member = np.unique(np.asarray(groups), return_inverse=True)
    count = int(member.max()) + 1
    ones = np.ones((1, len(member)))
    if count < min_groups or draws < 1:
        return ones
    times = rng.multinomial(count, np.full(count, 1 / count), size=draws)
    return np.concatenate([ones, times[:, member].astype(np.float64)])


def _within(x: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean kernel of pairs of different images of one side, for each draw."""
    own = ((x * x).sum(axis=1) / x.shape[1] + 1) ** 3
    squares = weights * weights
    pairs = weights.sum(axis=1) ** 2 - squares.sum(axis=1)
    total = _sums(x, x, weights, weights) - squares @ own
    result: NDArray[np.float64] = np.divide(
        total, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0
    )
    return result


def _sums(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    weights_x: NDArray[np.float64],
    weights_y: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return w_x' K w_y for each draw, without ever holding all of K."""
    total = np.zeros(len(weights_x))
    for start in range(0, len(x), BLOCK):
        rows = slice(start, start + BLOCK)
        kernel = (x[rows] @ y.T / x.shape[1] + 1) ** 3
        total += np.einsum("bn,bn->b", weights_x[:, rows], weights_y @ kernel.T)
    return total
