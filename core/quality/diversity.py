"""Rows of precision, recall, density, coverage and of the Vendi score, beside real images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core.quality.distances import refused
from core.quality.manifold import Manifold, manifold
from core.quality.resampling import group_draws, percentiles, ratio_interval
from core.quality.rows import QualityRow, metric_name
from core.quality.sides import Drawn, Pair, Side, draw_splits
from core.quality.vendi import vendi_score

LEAST = 50
"""With fewer images on a side, neighbours and diversity tell of n, not of the images."""
MOST_IMAGES = 3000
"""On a side, in each split; larger classes are drawn from."""
OF_SYNTHETIC = ("precision", "density")
OF_REAL = ("recall", "coverage")


def manifold_rows(pair: Pair, backbone: str, rng: np.random.Generator) -> list[QualityRow]:
    """Return precision, recall, density and coverage at m images a side; floor: real against real.

    Values and floors are means over the same splits. An interval resamples the groups of the images
    that are judged (of precision and density the synthetic ones, else the real ones), given the
    other side: a bootstrap of both would shrink the balls around images that are drawn twice.
    """
    drawn = draw_splits(pair, rng, most=MOST_IMAGES)
    names = (*OF_SYNTHETIC, *OF_REAL)
    if drawn.n < LEAST:
        return [refused(metric_name(name, backbone), drawn, backbone, LEAST) for name in names]
    found = [(manifold(one, made), manifold(one, other)) for one, other, made in drawn.features()]
    rows: list[QualityRow] = []
    for name in names:
        judged = pair.synthetic if name in OF_SYNTHETIC else pair.real
        interval = _interval(name, drawn, judged, [value for value, _ in found], rng)
        floors = np.array([getattr(floor, name).mean() for _, floor in found])
        rows.append(
            QualityRow(
                metric_name(name, backbone),
                pair.label,
                backbone,
                drawn.n,
                float(np.mean([getattr(value, name).mean() for value, _ in found])),
                interval=interval,
                floor=float(floors.mean()),
                floor_range=percentiles(floors),
                reason=None if interval else "too few groups for an interval",
                reference_contains_parents=drawn.contains_parents,
            )
        )
    return rows


def _interval(
    name: str, drawn: Drawn, judged: Side, found: list[Manifold], rng: np.random.Generator
) -> tuple[float, float] | None:
    """Return the interval of a mean, from what each image contributed in all splits."""
    sums: NDArray[np.float64] = np.zeros(len(judged.labels))
    times = np.zeros(len(judged.labels))
    for (one, _, made), values in zip(drawn.splits, found, strict=True):
        rows = made if name in OF_SYNTHETIC else one
        sums[rows] += getattr(values, name)
        times[rows] += 1
    draws = group_draws(judged.groups(), judged.labels, rng)
    return ratio_interval(sums, times, draws)


def vendi_rows(pair: Pair, backbone: str, rng: np.random.Generator) -> list[QualityRow]:
    """Return the Vendi score of m synthetic images, beside that of m real ones (floor).

    It has no interval by resampling: an image that is drawn twice adds nothing to diversity.
    """
    metric = metric_name("vendi", backbone)
    drawn = draw_splits(pair, rng, most=MOST_IMAGES)
    if drawn.n < LEAST:
        return [refused(metric, drawn, backbone, LEAST)]
    scores = [(vendi_score(made), vendi_score(one)) for one, _, made in drawn.features()]
    values, floors = np.array(scores).T
    row = QualityRow(
        metric,
        pair.label,
        backbone,
        drawn.n,
        float(values.mean()),
        floor=float(floors.mean()),
        floor_range=percentiles(floors),
        ratio=float(values.mean() / floors.mean()),
        reference_contains_parents=drawn.contains_parents,
    )
    return [row]
