"""Pictures of curves: scores over the dose of synthetic images, and calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core.plots.confusion import png

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def dose_figure(doses: Sequence[Mapping[str, Any]], knee: Mapping[str, Any] | None) -> bytes:
    """Return a PNG of differences to ``real`` over the dose, with the band that holds together.

    doses: ``exploratory.dose_response`` of verdict.json. knee: ``exploratory.knee``; its dose is
    marked, and dose 0 is ``real`` itself.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.6), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    ratios = [0.0, *(float(d["ratio"]) for d in doses)]
    values = [0.0, *(float(d["difference"]) for d in doses)]
    low, high = ([0.0, *(float(d["band"][end]) for d in doses)] for end in (0, 1))
    axes.fill_between(ratios, low, high, color="#2166ac", alpha=0.18, lw=0)
    axes.plot(ratios, values, "o-", color="#2166ac", ms=5)
    axes.axhline(0, color="black", lw=0.8, zorder=0)
    if knee is not None:
        axes.axvline(float(knee["ratio"]), color="#b2182b", lw=1, ls="--", zorder=0)
    axes.set_xlabel("synthetic images per real image of a weak class; dashed: knee")
    axes.set_ylabel("balanced accuracy less real")
    axes.set_title("Dose and response (simultaneous 95 % band)")
    axes.grid(color="#e6e6e6", lw=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return png(figure)


def calibration_figure(curves: Mapping[str, Sequence[tuple[float, float, int]]]) -> bytes:
    """Return a PNG of how often the decision was right over its mean probability, arm by arm.

    curves: by arm, (mean probability, share right, images) of each equal-mass bin.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.8, 4.6), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="#b0b0b0", lw=1, ls="--", zorder=0)
    colours = ("#4d4d4d", "#2166ac", "#e0a030", "#1b7837")
    for (arm, bins), colour in zip(curves.items(), colours, strict=False):
        axes.plot([b[0] for b in bins], [b[1] for b in bins], "o-", ms=4, color=colour, label=arm)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("mean probability of the decided class")
    axes.set_ylabel("share of decisions that were right")
    axes.set_title("Calibration (15 equal-mass bins)")
    axes.legend(frameon=False, fontsize=8)
    axes.grid(color="#e6e6e6", lw=0.6)
    return png(figure)


def worth_figure(worth: Mapping[str, Any]) -> bytes:
    """Return a PNG of the learning curve of the best remedy, and of ``combined`` on its shares.

    worth: the member of verdict.json, with a curve. Points are the scores with their intervals; the
    line is monotone, and dotted lines lead from each diamond to where the line is as high, or to
    the end of the line.
    """
    import numpy as np
    from matplotlib.figure import Figure

    from core.learning.worth import isotonic

    figure = Figure(figsize=(7.2, 4.0), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    curve = worth["curve"]
    sizes = [p["images"] for p in curve]
    line = isotonic(np.array([[p["score"] for p in curve]]))[0]
    axes.plot(sizes, line, "-", color="#4d4d4d", lw=1.5, label=f"{worth['remedy']}, made monotone")
    _scores(axes, curve, "o", "#4d4d4d", "")
    known = [p for p in worth["combined"] if p["score"] is not None]
    _scores(axes, known, "D", "#2166ac", "combined")
    for point in known:
        ends = [point["images"], point["images"] + point["worth"]]
        axes.plot(ends, [point["score"]] * 2, ":", color="#2166ac", lw=1.2)
    axes.set_xlabel("real training images of the weak classes (means over folds)")
    axes.set_ylabel("balanced accuracy (95 % interval)")
    axes.set_title("Worth in real images")
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    axes.grid(color="#e6e6e6", lw=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return png(figure)


def _scores(
    axes: Axes, points: Sequence[Mapping[str, Any]], mark: str, colour: str, label: str
) -> None:
    for place, point in enumerate(points):
        axes.plot([point["images"]] * 2, point["interval"], color=colour, lw=1, alpha=0.6)
        name = label if not place else ""
        axes.plot([point["images"]], [point["score"]], mark, color=colour, ms=5, label=name or None)
