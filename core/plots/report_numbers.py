"""Numbers as a reader of a paper expects them, and the axes of the small interval bars."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

NOTHING = "–"
"""Stands where there is no number; never an empty cell, never a zero."""

WIDTH = 160.0
"""Width of an interval bar in SVG units."""

_LARGEST = 1e9
"""Beyond this an estimate is broken and gets no say in the scale."""

_STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def finite(value: Any) -> float | None:
    """Return a real, finite number or None; booleans are no numbers."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) else None


def number(value: Any, digits: int = 3) -> str:
    """Write a number with fixed digits and a true minus sign; large and tiny ones in short form."""
    known = finite(value)
    if known is None:
        return NOTHING
    magnitude = abs(known)
    if magnitude >= 1e6 or 0 < magnitude < 10**-digits / 2:
        text = f"{known:.2e}"
    else:
        text = f"{known:,.{1 if magnitude >= 100 else digits}f}"
    return _minus(text if float(text.replace(",", "")) else text.lstrip("-"))


def signed(value: Any, digits: int = 3) -> str:
    """Write a difference: always with its sign."""
    text = number(value, digits)
    known = finite(value)
    return f"+{text}" if known is not None and known > 0 else text


def count(value: Any) -> str:
    """Write a whole number with thin grouping."""
    known = finite(value)
    return NOTHING if known is None else _minus(f"{round(known):,}")


def bounds(interval: Any) -> tuple[float, float] | None:
    """Return an interval's two finite ends or None."""
    if not isinstance(interval, Sequence) or isinstance(interval, str) or len(interval) != 2:
        return None
    low, high = finite(interval[0]), finite(interval[1])
    return None if low is None or high is None else (low, high)


def interval_text(interval: Any, *, with_sign: bool = False) -> str:
    """Write an interval as ``low to high``; a dash between signed numbers would be misread."""
    ends = bounds(interval)
    if ends is None:
        return NOTHING
    write = signed if with_sign else number
    return f"{write(ends[0])} to {write(ends[1])}"


def p_text(value: Any) -> str:
    """Write a p value as journals do: three decimals, ``< 0.001`` below."""
    known = finite(value)
    if known is None:
        return NOTHING
    return "< 0.001" if known < 0.001 else f"{min(known, 1.0):.3f}"


def _minus(text: str) -> str:
    return text.replace("-", "−")


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled place on an axis, x in SVG units."""

    x: float
    text: str


@dataclass(frozen=True, slots=True)
class Bar:
    """An estimate with its interval on an axis, in SVG units; ``low``/``high`` None: point only."""

    x: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Axis:
    """The common scale of all bars of one table, and a reference line (chance, or zero)."""

    low: float
    high: float
    reference: float | None
    ticks: tuple[Tick, ...]

    @property
    def reference_x(self) -> float | None:
        return None if self.reference is None else self.place(self.reference)

    def place(self, value: float) -> float:
        """Return the SVG x of a value, kept inside the picture."""
        share = (value - self.low) / (self.high - self.low)
        return round(4 + (WIDTH - 8) * min(max(share, 0.0), 1.0), 1)

    def bar(self, value: Any, interval: Any) -> Bar | None:
        """Return the bar of an estimate; None where there is no estimate."""
        known, ends = finite(value), bounds(interval)
        if known is None:
            return None
        if ends is None:
            return Bar(self.place(known), None, None)
        return Bar(self.place(known), self.place(ends[0]), self.place(ends[1]))


def axis_over(values: Iterable[float], reference: float | None, *, sign: bool = False) -> Axis:
    """Return an axis with round ends that holds all values and the reference."""
    known = [v for v in values if abs(v) < _LARGEST]
    if reference is not None:
        known.append(reference)
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    high = max(high, low + 0.02, low + 1e-3 * abs(low))
    step = next((s for s in _STEPS if (high - low) / s <= 4), (high - low) / 4)
    low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    bare = Axis(low, high, reference, ())
    digits = max(0, -math.floor(math.log10(step) + 1e-9)) if step < 1 else 0
    marks = [low + step * i for i in range(round((high - low) / step) + 1)]
    shown = marks if len(marks) <= 4 else marks[:: math.ceil(len(marks) / 4)]
    write = signed if sign else number
    ticks = tuple(Tick(bare.place(m), write(m, digits)) for m in shown)
    return Axis(low, high, reference, ticks)
