"""Pictures of a verdict: the score of each arm, and the recall differences of each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core.plots.confusion import plain, png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {
    "helps": "#1b7837",
    "hurts": "#b2182b",
    "no_evidence": "#4d4d4d",
    "not_estimable": "#b0b0b0",
}


def arms_figure(arms: Sequence[Mapping[str, Any]], classifier: str, chance: float) -> bytes:
    """Return a PNG of balanced accuracy with 95 % intervals, an arm a line, ``real`` as the line.

    arms: the member of verdict.json; arms of other classifiers and arms without a score are left
    out. chance: 1 / classes, drawn dotted.
    """
    from matplotlib.figure import Figure

    shown = [a for a in arms if a["classifier"] == classifier and a["valid"]]
    figure = Figure(figsize=(7.2, 1.6 + 0.36 * len(shown)), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    for place, arm in enumerate(shown):
        score = arm["scores"]["balanced_accuracy"]
        colour = "#2166ac" if arm["arm"].startswith("combined") else "#4d4d4d"
        _estimate(axes, place, score["value"], score["interval"], colour)
        if arm["arm"] == "real":
            axes.axvline(score["value"], color="#4d4d4d", lw=1, ls="--", zorder=0)
    axes.axvline(chance, color="#b0b0b0", lw=1, ls=":", zorder=0)
    _lines(axes, [a["arm"] for a in shown])
    axes.set_xlabel("balanced accuracy (95 % interval); dashed: real, dotted: chance")
    axes.set_title(f"Arms, {plain(classifier.replace('_', ' '))}")
    return png(figure)


def forest_figure(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Return a PNG of recall differences of ``combined`` to ``real`` with Holm intervals.

    rows: the member ``per_class`` of verdict.json; a class without an estimate is named, grey.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 1.6 + 0.36 * len(rows)), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    for place, row in enumerate(rows):
        if row["difference"] is None:
            axes.text(
                0, place, " not estimable", va="center", fontsize=8, color=_COLOURS["not_estimable"]
            )
            continue
        _estimate(axes, place, row["difference"], row["interval"], _COLOURS[row["verdict"]])
    axes.axvline(0, color="black", lw=0.8, zorder=0)
    _lines(axes, [f"{plain(row['class'])} ({row['n_groups']})" for row in rows])
    axes.set_xlabel("recall, combined less real (Holm-adjusted interval); groups in brackets")
    axes.set_title("Recall by class")
    return png(figure)


def _estimate(
    axes: Axes, place: int, value: float, ends: Sequence[float] | None, colour: str
) -> None:
    if ends is not None:
        axes.plot(list(ends), [place, place], color=colour, lw=2, solid_capstyle="butt")
    axes.plot([value], [place], "o", color=colour, ms=5)


def _lines(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), list(names))
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x", color="#e6e6e6", lw=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
