"""Charts about a dataset: how many images each class has, before and after synthesis."""

from __future__ import annotations

import io
import unicodedata
import warnings
from collections.abc import Mapping
from typing import Any

MOST_CLASSES = 60
"""Bars in one chart; the largest classes are shown and the others counted."""

_REAL, _SYNTHETIC = "#33547a", "#e0a030"
_LONGEST = 30


def class_balance(real: Mapping[str, int], synthetic: Mapping[str, int] | None = None) -> bytes:
    """Draw real and synthetic images per class as stacked horizontal bars; returns a PNG.

    Classes stand in falling order of real images, then by name. The same counts give the same
    bytes. Any text is a valid class name: it is drawn literally, shortened to 30 characters.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = dict(synthetic or {})
    names = sorted(set(real) | set(made), key=lambda n: (-real.get(n, 0), n))
    shown, hidden = names[:MOST_CLASSES], names[MOST_CLASSES:]
    figure = Figure(figsize=(7.2, 1.0 + 0.27 * max(len(shown), 2)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _bars(axes, [real.get(n, 0) for n in shown], [made.get(n, 0) for n in shown])
    _names(axes, shown, hidden)
    return _png(figure)


def _bars(axes: Any, real: list[int], made: list[int]) -> None:
    rows = range(len(real))
    axes.barh(rows, real, height=0.72, color=_REAL, label="real")
    if any(made):
        axes.barh(rows, made, left=real, height=0.72, color=_SYNTHETIC, label="synthetic")
        axes.figure.legend(frameon=False, loc="outside upper right", ncols=2, fontsize=8)
    widest = max((r + m for r, m in zip(real, made, strict=True)), default=0)
    for row, (r, m) in enumerate(zip(real, made, strict=True)):
        text = f"{r:,}" if not m else f"{r:,} + {m:,}"
        axes.text(r + m + 0.008 * max(widest, 1), row, text, va="center", fontsize=7.5)
    axes.set_xlim(0, max(widest, 1) * 1.14)


def _names(axes: Any, shown: list[str], hidden: list[str]) -> None:
    axes.set_yticks(range(len(shown)), [plain(name) for name in shown], fontsize=8)
    for label in axes.get_yticklabels():
        label.set_parse_math(False)  # a "$" in a name is a dollar
    axes.set_ylim(max(len(shown), 1) - 0.5, -0.5)
    note = f" ({len(hidden)} smaller classes not drawn)" if hidden else ""
    axes.set_xlabel(f"images{note}", fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def plain(name: str, longest: int = _LONGEST) -> str:
    """Return a name on one line, without control characters, cut in the middle when too long."""
    kept = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in name).strip() or "?"
    if len(kept) <= longest:
        return kept
    head = (longest - 1) * 2 // 3
    return f"{kept[:head]}…{kept[-(longest - 1 - head) :]}"


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # a script that the font lacks is drawn as boxes; the names stand in the tables too
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(buffer, format="png", dpi=160, metadata={"Software": None})
    return buffer.getvalue()
