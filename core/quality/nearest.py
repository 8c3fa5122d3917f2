"""Distances between images in feature space, in tiles: memory for a few of them, at any n."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.floating]
TILE = 2048


def nearest(
    x: Matrix, y: Matrix, apart: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return the distance of each image of x to its nearest of y, and which that is.

    ``apart`` (n1 x n2) leaves pairs out; an image without any pair left is infinitely far (of 0).
    """
    centre = y.mean(axis=0, dtype=np.float64).astype(y.dtype)
    best = np.full(len(x), np.inf)
    which = np.zeros(len(x), dtype=np.intp)
    for rows in tiles(len(x)):
        for columns in tiles(len(y)):
            distances = squared_distances(x[rows], y[columns], centre)
            if apart is not None:
                distances[apart[rows, columns]] = np.inf
            place = distances.argmin(axis=1)
            found = distances[np.arange(len(place)), place]
            nearer = found < best[rows]
            which[rows] = np.where(nearer, columns.start + place, which[rows])
            best[rows] = np.where(nearer, found, best[rows])
    return np.sqrt(best), which


def tiles(count: int) -> Iterator[slice]:
    return (slice(first, min(count, first + TILE)) for first in range(0, count, TILE))


def squared_distances(x: Matrix, y: Matrix, centre: Matrix) -> Matrix:
    """Return squared distances; both sides are centred first, which keeps float32 exact enough."""
    a, b = x - centre, y - centre
    inner = a @ b.T
    inner *= -2
    inner += np.einsum("nd,nd->n", a, a)[:, np.newaxis]
    inner += np.einsum("nd,nd->n", b, b)
    result: Matrix = np.maximum(inner, 0, out=inner)
    return result
