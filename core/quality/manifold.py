"""Precision, recall, density and coverage: which images lie among those of the other side.

Kynkaanniemi et al. 2019 and Naeem et al. 2020. A side's manifold is the union of balls around its
images that reach to their k-th nearest neighbour of the same side. Distances are computed in tiles:
besides its inputs this needs memory for a few tiles, at any n.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.quality.nearest import Matrix, squared_distances, tiles

NEIGHBOURS = 5


@dataclass(frozen=True, slots=True)
class Manifold:
    """What each image contributes; the metrics are the means.

    precision (of a synthetic image): it lies in a ball of the real ones. density (of a synthetic
    image): in how many of them, over k. recall (of a real image): it lies in a ball of the
    synthetic ones. coverage (of a real image): its own ball holds a synthetic one.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    density: NDArray[np.float64]
    coverage: NDArray[np.float64]


def manifold(real: Matrix, synthetic: Matrix, k: int = NEIGHBOURS) -> Manifold:
    """Compare n1 x d with n2 x d features; ValueError unless both n are above k."""
    if min(len(real), len(synthetic)) <= k:
        raise ValueError(f"{k} nearest neighbours need more than {k} images on each side")
    centre = real.mean(axis=0, dtype=np.float64).astype(real.dtype)
    real_reach, made_reach = _reach(real, centre, k), _reach(synthetic, centre, k)
    inside = np.zeros(len(synthetic))
    recalled, covered = np.zeros(len(real), bool), np.zeros(len(real), bool)
    for rows in tiles(len(real)):
        for columns in tiles(len(synthetic)):
            distances = squared_distances(real[rows], synthetic[columns], centre)
            hit = distances < real_reach[rows, np.newaxis]
            inside[columns] += hit.sum(axis=0)
            covered[rows] |= hit.any(axis=1)
            recalled[rows] |= (distances < made_reach[columns]).any(axis=1)
    return Manifold(
        (inside > 0).astype(np.float64),
        recalled.astype(np.float64),
        inside / k,
        covered.astype(np.float64),
    )


def _reach(x: Matrix, centre: Matrix, k: int) -> Matrix:
    """Return the squared distance of each image to its k-th nearest other one."""
    found = np.empty(len(x), dtype=x.dtype)
    for rows in tiles(len(x)):
        nearest = np.full((rows.stop - rows.start, k), np.inf, dtype=x.dtype)
        for columns in tiles(len(x)):
            distances = squared_distances(x[rows], x[columns], centre)
            if rows.start == columns.start:
                np.fill_diagonal(distances, np.inf)
            distances.partition(min(k, distances.shape[1]) - 1, axis=1)
            nearest = np.concatenate([nearest, distances[:, :k]], axis=1)
            nearest.partition(k - 1, axis=1)
            nearest = nearest[:, :k]
        found[rows] = nearest.max(axis=1)
    return found
