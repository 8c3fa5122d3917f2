"""Pictures of quality.json: distances with their floors, and similarity to the sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core.plots.confusion import plain, png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_VALUE, _FLOOR, _MUTED = "#D55E00", "#0072B2", "#9e9e9e"
_TITLES = {"fd": "Fréchet distance", "kid": "Kernel distance (KID)"}


def distances_figure(rows: Sequence[Mapping[str, Any]]) -> bytes | None:
    """Return a PNG of the rows ``fd_*`` and ``kid_*``, a panel each; None when there are none.

    Orange: synthetic to real, with its 95 % interval where there is one. Blue: the floor, real to
    real at the same n, with the 95 % range over the splits. Grey: not estimable.
    """
    panels = {kind: _of(rows, f"{kind}_") for kind in _TITLES}
    panels = {kind: mine for kind, mine in panels.items() if mine}
    if not panels:
        return None
    lines = max(len(mine) for mine in panels.values())
    figure = _figure(4.6 * len(panels) + 1.2, 1.9 + 0.34 * lines)
    for place, (kind, mine) in enumerate(panels.items()):
        axes = figure.add_subplot(1, len(panels), place + 1)
        _draw_panel(axes, mine)
        backbone = str(mine[0]["backbone"])
        axes.set_title(f"{_TITLES[kind]}, {plain(backbone)}", fontsize=10)
        axes.set_xlabel("lower is closer to the real images", fontsize=8)
    _legend(figure)
    return png(figure)


def similarity_figure(aligned: Sequence[float], raw: Sequence[float]) -> bytes | None:
    """Return a PNG of the SSIM of each compared image and its source; None when there are none."""
    import numpy as np

    if not len(aligned) and not len(raw):
        return None
    figure = _figure(6.4, 3.8)
    axes = figure.add_subplot()
    low = min(0.0, *aligned, *raw)
    bins = np.linspace(low, 1.0, 41).tolist()
    for values, colour, name in ((aligned, _VALUE, "aligned"), (raw, _FLOOR, "raw")):
        if len(values):
            median = float(np.median(values))
            text = f"{name} (n = {len(values):,}, median {median:.2f})"
            axes.hist(values, bins, color=colour, alpha=0.45, label=text)
            axes.hist(values, bins, color=colour, histtype="step", linewidth=1.2)
            axes.axvline(median, color=colour, linestyle="--", linewidth=1)
    axes.set_xlim(low, 1.0)
    axes.set_xlabel("SSIM of a synthetic image and its source (1: the same picture)")
    axes.set_ylabel("images")
    axes.set_title("Structural similarity to the source", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    return png(figure)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, min(height, 40.0)), dpi=150, layout="constrained")


def _of(rows: Sequence[Mapping[str, Any]], prefix: str) -> list[Mapping[str, Any]]:
    return [row for row in rows if str(row["metric"]).startswith(prefix)]


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
            "too few images",
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
