"""Values of a mesh's corners drawn into its texture space."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.bool_]


def bake(
    corner_uv: NDArray[Any], corners: NDArray[Any], size: int
) -> tuple[NDArray[np.float32], Flags]:
    """Interpolate corner values (F, 3, K) over the square; (size, size, K) and where there is any.

    ``corner_uv`` (F, 3, 2) in [0, 1], v up; row 0 of the result is the top. Every texel whose
    centre lies in a triangle has its value, the last one's where several do; all others are 0.
    """
    x, y = corner_uv[..., 0] * size - 0.5, (1 - corner_uv[..., 1]) * size - 0.5
    left, top = (np.ceil(side.min(axis=1)).astype(int) for side in (x, y))
    wide, high = (
        np.floor(side.max(axis=1)).astype(int) - first for side, first in ((x, left), (y, top))
    )
    out = np.zeros((size, size, corners.shape[-1]), np.float32)
    covered = np.zeros((size, size), bool)
    for down in range(max(high.max() + 1, 0)):
        for right in range(max(wide[high >= down].max(initial=-1) + 1, 0)):
            some = np.flatnonzero((high >= down) & (wide >= right))
            columns, rows = left[some] + right, top[some] + down
            share = _barycentric(x[some], y[some], columns, rows)
            hit = (share.min(axis=1) >= -1e-9) & (columns >= 0) & (rows >= 0)
            hit &= (columns < size) & (rows < size)
            value = np.einsum("fc,fck->fk", share[hit], corners[some[hit]])
            out[rows[hit], columns[hit]] = value
            covered[rows[hit], columns[hit]] = True
    return out, covered


def _barycentric(
    x: NDArray[Any], y: NDArray[Any], column: NDArray[Any], row: NDArray[Any]
) -> NDArray[np.float64]:
    """Return the shares (F, 3) of the corners at a point; NaN-free, far outside when degenerate."""

    def doubled(a: int, b: int) -> NDArray[np.float64]:
        first = (x[:, a] - column) * (y[:, b] - row)
        area: NDArray[np.float64] = first - (x[:, b] - column) * (y[:, a] - row)
        return area

    areas = np.stack([doubled(1, 2), doubled(2, 0), doubled(0, 1)], axis=1)
    total = areas.sum(axis=1, keepdims=True)
    shares: NDArray[np.float64] = areas / np.where(total == 0, np.inf, total)
    shares[total[:, 0] == 0] = -1.0
    return shares


def spread(labels: NDArray[np.uint8], covered: Flags, texels: int) -> NDArray[np.uint8]:
    """Return labels (H, W) continued so far beyond what is covered, and 0 further away."""
    result = np.where(covered, labels, np.uint8(0))
    known = covered.copy()
    for _ in range(texels):
        grown, reached = result.copy(), known.copy()
        for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
            new = np.roll(known, step, axis) & ~reached
            grown[new] = np.roll(result, step, axis)[new]
            reached |= new
        result, known = grown, reached
    return result
