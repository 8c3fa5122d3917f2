"""Resampling of whole groups: what belongs together, and how often it is drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.ingest.groups import UnionFind

Draws = NDArray[np.uint16]
MIN_GROUPS = 5
"""Fewer groups in a class say nothing about the spread over groups."""
BOOTSTRAP = 1000
_AT_ONCE = 50


def merged_groups(group_ids: Sequence[Sequence[str]]) -> list[str]:
    """Return the name of each image's set of groups, overlapping sets joined.

    A synthetic image has the groups of all its parents: two that share one parent depend on each
    other, and so do all that such a chain connects. An image without any group stands alone.
    """
    sets = UnionFind(len(group_ids))
    first: dict[str, int] = {}
    for row, groups in enumerate(group_ids):
        for group in groups:
            sets.union(row, first.setdefault(group, row))
    return [f"#{sets.find(row)}" for row in range(len(group_ids))]


def group_draws(
    groups: Sequence[str],
    strata: Sequence[str],
    rng: np.random.Generator,
    *,
    draws: int = BOOTSTRAP,
) -> Draws | None:
    """Return how often each image is drawn, draws x n; None below MIN_GROUPS groups in a stratum.

    Groups are resampled whole, within the stratum (the class) of their first image, so that a
    replicate keeps the mix of classes as far as groups do.
    """
    names, first, member = np.unique(np.asarray(groups), return_index=True, return_inverse=True)
    stratum = np.asarray(strata)[first]
    times = np.empty((draws, len(names)), dtype=np.uint16)
    for name in np.unique(stratum):
        places = np.flatnonzero(stratum == name)
        if len(places) < MIN_GROUPS:
            return None
        share = np.full(len(places), 1 / len(places))
        for start in range(0, draws, _AT_ONCE):
            stop = min(draws, start + _AT_ONCE)
            drawn = rng.multinomial(len(places), share, size=stop - start)
            times[start:stop, places] = drawn
    return times[:, member]


def ratio_interval(
    sums: NDArray[np.floating], counts: NDArray[np.floating], draws: Draws | None
) -> tuple[float, float] | None:
    """Return the 95 % interval of sum(sums) / sum(counts); None without draws."""
    if draws is None:
        return None
    weights = draws.astype(np.float64)
    below = weights @ counts
    ratios = (weights @ sums)[below > 0] / below[below > 0]
    return percentiles(ratios)


def percentiles(replicates: NDArray[np.floating]) -> tuple[float, float] | None:
    """Return the 2.5 % and 97.5 % points of the finite replicates; None when there are none."""
    finite = replicates[np.isfinite(replicates)]
    if not len(finite):
        return None
    low, high = np.percentile(finite, [2.5, 97.5])
    return float(low), float(high)
