"""Scatter plots of projected features, in colours that colour-blind readers tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from core.plots.confusion import plain, png

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

# Okabe and Ito 2008, without yellow, which vanishes on white; black last.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7F7F7F", "#000000")
MARKERS = "o^s"
SOURCE_COLOURS = {"real": "#0072B2", "synthetic": "#D55E00"}
SOURCE_MARKERS = {"real": "o", "synthetic": "^"}
MOST_NAMES = 24
"""More classes than this share the last look, and the legend says so."""


def class_scatter(
    points: NDArray[np.float64], labels: Sequence[str], title: str, axes_labels: tuple[str, str]
) -> bytes:
    """Return a PNG of n x 2 points, a colour and marker a class, the largest class first."""
    counts: dict[str, int] = {}
    for label in labels:
        counts[label] = counts.get(label, 0) + 1
    names = sorted(counts, key=lambda name: (-counts[name], name))
    if len(names) > MOST_NAMES:
        kept = set(names[: MOST_NAMES - 1])
        rest = f"{len(names) - len(kept)} more classes"
        labels = [label if label in kept else rest for label in labels]
        names = [*names[: MOST_NAMES - 1], rest]
    looks = {
        name: (COLOURS[i % len(COLOURS)], MARKERS[i // len(COLOURS)])
        for i, name in enumerate(names)
    }
    return _scatter(points, labels, looks, title, axes_labels)


def source_scatter(
    points: NDArray[np.float64], sources: Sequence[str], title: str, axes_labels: tuple[str, str]
) -> bytes:
    """Return a PNG of n x 2 points, real against synthetic."""
    looks = {
        name: (SOURCE_COLOURS[name], SOURCE_MARKERS[name])
        for name in ("real", "synthetic")
        if name in sources
    }
    return _scatter(points, sources, looks, title, axes_labels)


def _scatter(
    points: NDArray[np.float64],
    names: Sequence[str],
    looks: dict[str, tuple[str, str]],
    title: str,
    axes_labels: tuple[str, str],
) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, 5.4), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    shown, outside = framed(points)
    _draw_points(axes, shown, names, looks, outside)
    axes.set_title(plain(title, 80), fontsize=11)
    axes.set_xlabel(axes_labels[0])
    axes.set_ylabel(axes_labels[1])
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
    _draw_legend(axes, names, looks)
    return png(figure)


def framed(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return points moved to the edge of a frame that the bulk fills, and which ones were moved.

    A few far outliers would shrink everything else to a spot: where the whole range of an axis is
    more than twice that of the middle 98 %, the frame is the latter with a margin of a quarter.
    """
    import numpy as np

    low, high = points.min(axis=0), points.max(axis=0)
    inner_low, inner_high = np.percentile(points, [1, 99], axis=0)
    margin = 0.25 * (inner_high - inner_low)
    wide = (high - low > 2 * (inner_high - inner_low)) & (margin > 0)
    low = np.where(wide, np.maximum(low, inner_low - margin), low)
    high = np.where(wide, np.minimum(high, inner_high + margin), high)
    shown = np.clip(points, low, high)
    return shown, (shown != points).any(axis=1)


def _draw_points(
    axes: Axes,
    points: NDArray[np.float64],
    names: Sequence[str],
    looks: dict[str, tuple[str, str]],
    outside: NDArray[np.bool_],
) -> None:
    """Draw all points in a few mixed layers, so that no category covers the others."""
    import numpy as np

    area = float(np.clip(9000 / max(1, len(points)), 9, 34))
    opacity = float(np.clip(60 / max(1, len(points)) ** 0.5, 0.35, 0.85))
    owner = np.asarray(names)
    layer = np.random.default_rng(0).integers(0, 8, len(points))
    for level in range(8):
        for name, (colour, marker) in looks.items():
            mine = (owner == name) & (layer == level)
            look: dict[str, Any] = {"s": area, "marker": marker, "zorder": 2 + level}
            full = look | {"c": colour, "alpha": opacity, "linewidths": 0.25, "edgecolors": "w"}
            hollow = look | {"facecolors": "none", "edgecolors": colour, "linewidths": 1.0}
            for part, how in ((mine & ~outside, full), (mine & outside, hollow)):
                axes.scatter(points[part, 0], points[part, 1], **how)
    if outside.any():
        note = f"{int(outside.sum())} outlying points are drawn hollow at the edge"
        axes.text(0.99, 0.01, note, transform=axes.transAxes, ha="right", fontsize=7.5, zorder=20)


def _draw_legend(axes: Axes, names: Sequence[str], looks: dict[str, tuple[str, str]]) -> None:
    from matplotlib.lines import Line2D

    counts = dict.fromkeys(looks, 0)
    for name in names:
        counts[name] += 1
    handles = [
        Line2D(
            [],
            [],
            linestyle="",
            marker=marker,
            color=colour,
            markersize=6,
            label=f"{plain(name)} ({counts[name]:,})",
        )
        for name, (colour, marker) in looks.items()
    ]
    axes.figure.legend(
        handles=handles,
        loc="outside right upper",
        frameon=False,
        fontsize=8,
        handletextpad=0.3,
    )
