"""A confusion matrix as a picture: rows are true classes, shaded by row, with counts."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

_LONGEST = 24


def confusion_figure(matrix: NDArray[Any], classes: Sequence[str], title: str) -> bytes:
    """Return a PNG of a classes x classes matrix of counts; shades are shares of each true class.

    A row without images stays white. Class names longer than 24 characters are cut.
    """
    import numpy as np
    from matplotlib.figure import Figure

    counts = np.asarray(matrix)
    sums = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(sums, 1)
    size = min(24.0, 3.2 + 0.62 * len(classes))
    figure = Figure(figsize=(size, size * 0.92), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    figure.colorbar(image, ax=axes, fraction=0.045, label="share of the true class")
    _name_axes(axes, classes, title)
    _write_counts(axes, counts, shares)
    return png(figure)


def _name_axes(axes: Axes, classes: Sequence[str], title: str) -> None:
    names = [plain(name) for name in classes]
    places = list(range(len(names)))
    axes.set_xticks(places, names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(places, names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(plain(title, 80))


def _write_counts(axes: Axes, counts: NDArray[Any], shares: NDArray[Any]) -> None:
    """Write share over count in each cell; with more than 20 classes the shades speak alone."""
    if len(counts) > 20:
        return
    for row, line in enumerate(counts.tolist()):
        for column, count in enumerate(line):
            share = float(shares[row, column])
            axes.text(
                column,
                row,
                f"{share:.2f}\n{count:g}",
                ha="center",
                va="center",
                fontsize=7.5,
                color="white" if share > 0.55 else "black",
            )


def plain(name: str, longest: int = _LONGEST) -> str:
    """Return a name as matplotlib may draw it: no formula, one line, not too long."""
    text = " ".join(name.split()).replace("$", r"\$")
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def png(figure: Any) -> bytes:
    """Return a matplotlib figure as PNG bytes without the time in them."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
