"""Rows of the bench: what was measured, against what, and whether the goal was met."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Row:
    """One result; ``ratio`` is against a peer of the same run, None for an absolute goal."""

    name: str
    value: float
    unit: str
    against: str
    ratio: float | None
    goal: str
    ok: bool


def ratio_row(
    name: str, value: float, peer: float, unit: str, against: str, at_least: float
) -> Row:
    """Compare two rates of one run; the goal is a ratio of at least ``at_least``."""
    ratio = value / peer
    text = f"{against} {peer:.4g} {unit}"
    return Row(name, value, unit, text, ratio, f">= {at_least:g}x", ratio >= at_least)


def bound_row(
    name: str,
    value: float,
    unit: str,
    bound: float,
    kind: Literal["most", "least"] = "most",
    *,
    note: str = "-",
    also: bool = True,
) -> Row:
    """Compare a number with an absolute bound; ``also`` is what else must hold."""
    ok = also and (value <= bound if kind == "most" else value >= bound)
    sign = "<=" if kind == "most" else ">="
    return Row(name, value, unit, note, None, f"{sign} {bound:g} {unit}", ok)


def alternating(
    ours: Callable[[], None], peer: Callable[[], None], rounds: int = ROUNDS
) -> tuple[float, float]:
    """Return the median seconds of both sides, run in turn so that both see the same machine."""
    times: tuple[list[float], list[float]] = ([], [])
    ours()
    peer()
    for _ in range(rounds):
        for side, run in zip(times, (ours, peer), strict=True):
            start = time.perf_counter()
            run()
            side.append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def quantile(values: list[float], share: float) -> float:
    """Return the value below which ``share`` of the values lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
