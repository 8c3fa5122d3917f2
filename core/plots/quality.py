"""Pictures of quality.json: metrics over features with their floors, likeness to the sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.plots.confusion import plain, png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_VALUE, _FLOOR, _MUTED = "#D55E00", "#0072B2", "#9e9e9e"
_COLUMNS = 3


@dataclass(frozen=True, slots=True)
class _Look:
    """How a kind of metric is shown."""

    title: str
    reading: str


_LOWER = "lower is closer to the real images"
_INSIDE = "higher is better, the floor is what real images reach"
_PANELS = {
    "fid": _Look("FID", _LOWER),
    "fd": _Look("Fréchet distance", _LOWER),
    "fd_infinity": _Look("Fréchet distance, n without end", _LOWER),
    "kid": _Look("Kernel distance (KID)", _LOWER),
    "precision": _Look("Precision: synthetic among real", _INSIDE),
    "recall": _Look("Recall: real among synthetic", _INSIDE),
    "density": _Look("Density: real around synthetic", _INSIDE),
    "coverage": _Look("Coverage: real with a synthetic one near", _INSIDE),
    "vendi": _Look("Vendi score: different images", "as diverse as real images: at the floor"),
    "distance_ratio": _Look("Distance to seen over held-out", "1: no closer to what was seen"),
    "authpct": _Look("AuthPct", "copies lower it; the floor is what held-out images reach"),
    "membership_auc": _Look("Membership AUC", "0.5: nothing tells who was seen"),
}
_MEASURES = {
    "ssim": ("SSIM", "1: the same picture"),
    "ms_ssim": ("MS-SSIM", "1: the same picture"),
    "lpips": ("LPIPS", "0: the same picture"),
}


def features_figure(rows: Sequence[Mapping[str, Any]]) -> bytes | None:
    """Return a PNG of the rows over features, a panel each metric; None when there are none.

    Orange: synthetic to real, with its 95 % interval where there is one. Blue: the floor, real to
    real at the same n, with the 95 % range over the splits. Grey: not estimable.
    """
    panels: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["backbone"] is not None:
            panels.setdefault(str(row["metric"]), []).append(row)
    if not panels:
        return None
    order = list(_PANELS)
    names = sorted(panels, key=lambda metric: order.index(_kind(panels[metric][0])))
    columns = min(_COLUMNS, len(names))
    height = -(-len(names) // columns)
    lines = max(len(mine) for mine in panels.values())
    figure = _figure(4.6 * columns + 1.2, 0.9 + height * (1.0 + 0.34 * lines))
    for place, metric in enumerate(names):
        axes = figure.add_subplot(height, columns, place + 1)
        mine = panels[metric]
        look = _PANELS[_kind(mine[0])]
        _draw_panel(axes, mine)
        axes.set_title(f"{look.title}\n{plain(str(mine[0]['backbone']))}", fontsize=10)
        axes.set_xlabel(look.reading, fontsize=8)
    _legend(figure)
    return png(figure)


def _kind(row: Mapping[str, Any]) -> str:
    """Return the metric without its backbone."""
    return str(row["metric"]).removesuffix(f"_{row['backbone']}")


def similarity_figure(
    measures: Mapping[str, tuple[Sequence[float], Sequence[float]]],
) -> bytes | None:
    """Return a PNG of how like each compared image is to its source, a panel each measure.

    Values are those of ``aligned`` and of ``raw``; None when there are none of any measure.
    """
    filled = {name: ways for name, ways in measures.items() if any(map(len, ways))}
    if not filled:
        return None
    figure = _figure(5.2 * len(filled) + 1.2, 3.8)
    for place, (name, (aligned, raw)) in enumerate(filled.items()):
        title, reading = _MEASURES[name]
        axes = figure.add_subplot(1, len(filled), place + 1)
        _draw_histogram(axes, aligned, raw)
        axes.set_xlabel(f"{title} of an image and its source ({reading})", fontsize=9)
        axes.set_ylabel("images")
        axes.set_title(f"{title} to the source", fontsize=10)
    return png(figure)


def _draw_histogram(axes: Axes, aligned: Sequence[float], raw: Sequence[float]) -> None:
    import numpy as np

    low, high = min(0.0, *aligned, *raw), max(1.0, *aligned, *raw)
    bins = np.linspace(low, high, 41).tolist()
    for values, colour, name in ((aligned, _VALUE, "aligned"), (raw, _FLOOR, "raw")):
        if len(values):
            median = float(np.median(values))
            text = f"{name} (n = {len(values):,}, median {median:.2f})"
            axes.hist(values, bins, color=colour, alpha=0.45, label=text)
            axes.hist(values, bins, color=colour, histtype="step", linewidth=1.2)
            axes.axvline(median, color=colour, linestyle="--", linewidth=1)
    axes.set_xlim(low, high)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="upper left")


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, min(height, 40.0)), dpi=150, layout="constrained")


def _draw_panel(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    for place, row in enumerate(rows):
        _draw_row(axes, place, row)
    names = [plain(str(r["class"] or "all classes")) + f"  n = {r['n']:,}" for r in rows]
    axes.set_yticks(range(len(rows)), names, fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.axvline(0, color="#cccccc", linewidth=0.8, zorder=0)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(visible=True, axis="x", color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _draw_row(axes: Axes, place: int, row: Mapping[str, Any]) -> None:
    value, floor = row["value"], row["floor"]
    if value is None:
        axes.annotate(
            "not estimable",
            (0.02, place),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=8,
            color=_MUTED,
        )
        return
    colour = _VALUE if row["estimable"] else _MUTED
    if row["interval"]:
        axes.plot(row["interval"], [place - 0.12] * 2, color=colour, linewidth=2, alpha=0.7)
    axes.plot(value, place - 0.12, "o", color=colour, markersize=5.5)
    if floor is not None:
        below = _FLOOR if row["estimable"] else _MUTED
        if row["floor_range"]:
            axes.plot(row["floor_range"], [place + 0.16] * 2, color=below, linewidth=2, alpha=0.6)
        axes.plot(floor, place + 0.16, "|", color=below, markersize=9, markeredgewidth=2)


def _legend(figure: Figure) -> None:
    from matplotlib.lines import Line2D

    looks = (
        ("o", _VALUE, "synthetic to real"),
        ("|", _FLOOR, "floor: real to real"),
        ("s", _MUTED, "not estimable at this n"),
    )
    handles = [
        Line2D([], [], linestyle="", marker=m, color=c, markersize=7, markeredgewidth=2, label=text)
        for m, c, text in looks
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
