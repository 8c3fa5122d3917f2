"""Rows of Frechet and kernel distances of synthetic to real images, with floors at the same n."""

from __future__ import annotations

import numpy as np

from core.quality import kernel
from core.quality.frechet import frechet_distance, frechet_infinity, infinity_minimum
from core.quality.resampling import group_draws, percentiles
from core.quality.rows import QualityRow, metric_name
from core.quality.sides import MINIMUM, Drawn, Pair, draw_splits

MOST_KERNEL_IMAGES = 2000
"""On a side, in each split: the distance is unbiased at any n, more would only cost time."""


def frechet_rows(pair: Pair, backbone: str, rng: np.random.Generator) -> list[QualityRow]:
    """Return the Frechet distance at m images a side, its floor at the same m, and their ratio.

    m = min(n_real / 2, n_synthetic) in each class, less where a parent would stand on the other
    side; both are means over the same splits.
    """
    metric = metric_name("fd", backbone)
    drawn = draw_splits(pair, rng)
    if drawn.n < MINIMUM:
        return [refused(metric, drawn, backbone, MINIMUM)]
    among, across = [], []
    for one, other, made in drawn.features():
        among.append(frechet_distance(one, other).value)
        across.append(frechet_distance(one, made).value)
    dimension = pair.real.features.shape[1]
    estimable = drawn.n > dimension
    reason = (
        f"{drawn.n} images a side are not more than the {dimension} features: the number "
        "depends on n, read it beside its floor and the kernel distance only"
    )
    reason = "" if estimable else reason
    return [_distance_row(metric, drawn, backbone, across, among, estimable, reason)]


def infinity_rows(pair: Pair, backbone: str, rng: np.random.Generator) -> list[QualityRow]:
    """Return the Frechet distance extrapolated to endless images; its floor should be near zero."""
    metric = metric_name("fd_infinity", backbone)
    drawn = draw_splits(pair, rng)
    least = max(MINIMUM, infinity_minimum(pair.real.features.shape[1]))
    if drawn.n < least:
        return [refused(metric, drawn, backbone, least)]
    among, across = [], []
    for one, other, made in drawn.features():
        among.append(frechet_infinity(one, other, rng))
        across.append(frechet_infinity(one, made, rng))
    return [_distance_row(metric, drawn, backbone, across, among, True, "")]


def _distance_row(
    metric: str,
    drawn: Drawn,
    backbone: str,
    across: list[float],
    among: list[float],
    estimable: bool,
    reason: str,
) -> QualityRow:
    value, floor = float(np.mean(across)), float(np.mean(among))
    return QualityRow(
        metric,
        drawn.pair.label,
        backbone,
        drawn.n,
        value,
        floor=floor,
        floor_range=percentiles(np.array(among)),
        ratio=value / floor if floor > 0 and not metric.startswith("fd_infinity") else None,
        estimable=estimable,
        reason=reason or None,
        reference_contains_parents=drawn.contains_parents,
    )


def kernel_rows(pair: Pair, backbone: str, rng: np.random.Generator) -> list[QualityRow]:
    """Return the kernel distance, its interval over groups, and its floor, at the same m.

    Value and floor are means over the same splits. Each replicate of the interval draws groups once
    and counts them so in all splits.
    """
    metric = metric_name("kid", backbone)
    drawn = draw_splits(pair, rng, most=MOST_KERNEL_IMAGES)
    if drawn.n < MINIMUM:
        return [refused(metric, drawn, backbone, MINIMUM)]
    real, made = pair.real, pair.synthetic
    real_draws = group_draws(real.groups(), real.labels, rng)
    made_draws = group_draws(made.groups(), made.labels, rng)
    if real_draws is None or made_draws is None:
        real_draws = made_draws = None
    values, floors = [], []
    for one, other, chosen in drawn.splits:
        x, y, z = real.features[one], made.features[chosen], real.features[other]
        x_draws = None if real_draws is None else real_draws[:, one]
        y_draws = None if made_draws is None else made_draws[:, chosen]
        own = kernel.within(x, x_draws)
        values.append(own + kernel.within(y, y_draws) - 2 * kernel.across(x, y, x_draws, y_draws))
        floors.append(float(own[0] + kernel.within(z)[0] - 2 * kernel.across(x, z)[0]))
    means = np.mean(values, axis=0)
    interval = percentiles(means[1:])
    row = QualityRow(
        metric,
        pair.label,
        backbone,
        drawn.n,
        float(means[0]),
        interval=interval,
        floor=float(np.mean(floors)),
        floor_range=percentiles(np.array(floors)),
        reason=None if interval else "too few groups for an interval",
        reference_contains_parents=drawn.contains_parents,
    )
    return [row]


def refused(metric: str, drawn: Drawn, backbone: str, least: int) -> QualityRow:
    """Return the row of a metric that needs at least ``least`` images on a side."""
    return QualityRow(
        metric,
        drawn.pair.label,
        backbone,
        drawn.n,
        None,
        estimable=False,
        reason=f"{drawn.n} images on a side, at least {least} are needed",
        reference_contains_parents=drawn.contains_parents,
    )
