"""Kernel distance (KID): unbiased squared MMD with a cubic kernel, Binkowski et al. 2018.

The kernel is (x'y / d + 1)^3. It is computed in square tiles, in the number format of the features,
and added up in float64: besides its inputs it needs memory for a few tiles, at any n.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from core.quality.resampling import Draws

Matrix = NDArray[np.floating]
Means = NDArray[np.float64]
TILE = 2048


def kernel_distance(
    real: Matrix,
    synthetic: Matrix,
    real_draws: Draws | None = None,
    synthetic_draws: Draws | None = None,
) -> Means:
    """Return KID of n1 x d and n2 x d features (both n >= 2); it may be below zero.

    The first value is over all images, each further one belongs to a row of the draws (how often
    each image counts; both or neither). ValueError for fewer than two images.
    """
    return (
        within(real, real_draws)
        + within(synthetic, synthetic_draws)
        - 2 * across(real, synthetic, real_draws, synthetic_draws)
    )


def within(x: Matrix, draws: Draws | None = None) -> Means:
    """Return the mean kernel of pairs of different images of one side, over all and for each draw.

    An image that is drawn twice is not paired with itself, so that each replicate stays unbiased.
    A draw of a single image has no pairs: nan.
    """
    if len(x) < 2:
        raise ValueError("a kernel distance needs two images on each side")
    total = np.zeros(1 + _count(draws))
    for rows in _tiles(len(x)):
        for columns in _tiles(len(x), rows.start):
            kernel = _kernel(x[rows], x[columns])
            if rows.start == columns.start:
                np.fill_diagonal(kernel, 0)
                total += _sums(kernel, rows, columns, draws, draws)
            else:
                total += 2 * _sums(kernel, rows, columns, draws, draws)
    pairs = np.array([len(x) * (len(x) - 1.0)])
    if draws is not None:
        size, squares = _moments(draws)
        pairs = np.append(pairs, size**2 - squares)
    result: Means = np.divide(total, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
    return result


def across(
    x: Matrix, y: Matrix, x_draws: Draws | None = None, y_draws: Draws | None = None
) -> Means:
    """Return the mean kernel of pairs of both sides, over all and for each draw."""
    total = np.zeros(1 + _count(x_draws))
    for rows in _tiles(len(x)):
        for columns in _tiles(len(y)):
            total += _sums(_kernel(x[rows], y[columns]), rows, columns, x_draws, y_draws)
    pairs = np.array([float(len(x) * len(y))])
    if x_draws is not None and y_draws is not None:
        pairs = np.append(pairs, _moments(x_draws)[0] * _moments(y_draws)[0])
    result: Means = total / pairs
    return result


def _count(draws: Draws | None) -> int:
    return 0 if draws is None else len(draws)


def _moments(draws: Draws) -> tuple[Means, Means]:
    """Return for each draw how many images it has, and the sum of its squared weights."""
    size = draws.sum(axis=1, dtype=np.float64)
    squares = np.array([float((row.astype(np.float64) ** 2).sum()) for row in draws])
    return size, squares


def _tiles(count: int, start: int = 0) -> Iterator[slice]:
    return (slice(first, min(count, first + TILE)) for first in range(start, count, TILE))


def _kernel(x: Matrix, y: Matrix) -> Matrix:
    inner = x @ y.T
    inner /= x.shape[1]
    inner += 1
    kernel: Matrix = inner * inner
    kernel *= inner
    return kernel


def _sums(
    kernel: Matrix, rows: slice, columns: slice, x_draws: Draws | None, y_draws: Draws | None
) -> Means:
    """Return the sum of a tile, plain and weighted by each draw."""
    plain = np.array([kernel.sum(dtype=np.float64)])
    if x_draws is None or y_draws is None:
        return plain
    across_rows = x_draws[:, rows].astype(kernel.dtype) @ kernel
    across_rows *= y_draws[:, columns]
    return np.append(plain, across_rows.sum(axis=1, dtype=np.float64))
