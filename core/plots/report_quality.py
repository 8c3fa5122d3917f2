"""The tables of quality.json in a report: one a family of metrics, classes down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from core.plots.report_numbers import NOTHING, bounds, count, finite, number

_FAMILIES = (
    (
        "Distance to real images",
        ("fid", "fd", "fd_infinity", "kid"),
        "Lower is closer. A Fréchet distance depends on the number of images: read it against its "
        "floor, the distance of real images to real images at the same n. It is called FID only "
        "with the Inception weights of that name. KID is unbiased in n, and may be below zero.",
    ),
    (
        "Coverage and diversity",
        ("precision", "recall", "density", "coverage", "vendi"),
        "Precision and density: synthetic images that lie among real ones. Recall and coverage: "
        "real images that have synthetic ones near. Vendi: how many different images the set is "
        "worth. The floor is what as many real images reach among themselves: higher than it is "
        "no merit, copies score high on precision and density.",
    ),
    (
        "Likeness to the source, and within a class",
        ("ssim", "ms_ssim", "lpips"),
        "SSIM and MS-SSIM: 1 is the same picture; LPIPS: 0 is. Aligned: the source moved by the "
        "recorded transform. Raw: both as they are. Within: pairs of synthetic images of a class, "
        "its floor pairs of real ones; more alike than those is a loss of diversity.",
    ),
    (
        "Privacy",
        ("copies_exact", "copies_near", "distance_ratio", "authpct", "membership_auc"),
        "Copies: the share of images that show a real one which they do not declare; none is none "
        "found. Distance ratio: how far the nearest image that the generator saw is, over the "
        "nearest held-out one; below 1 is closer to what it saw. AuthPct: the share that is "
        "farther from its nearest seen image than that is from the next one, floor: the same of "
        "held-out images. Membership AUC: whether being near a synthetic image gives away that an "
        "image was seen; 0.5 gives nothing away. None of them proves that nothing leaks.",
    ),
)
_NAMES = {
    "fid": "FID",
    "fd": "Fréchet distance",
    "fd_infinity": "Fréchet distance, n without end",
    "kid": "KID",
    "vendi": "Vendi score",
    "ms_ssim": "MS-SSIM",
    "ssim": "SSIM",
    "lpips": "LPIPS",
    "copies_exact": "Exact copies",
    "copies_near": "Near copies",
    "authpct": "AuthPct",
    "membership_auc": "Membership AUC",
}
_WAYS = ("aligned", "raw", "within")


@dataclass(frozen=True, slots=True)
class Cell:
    """A quality number with what it may not be read without."""

    value: str
    details: tuple[str, ...] = ()
    muted: bool = False
    mark: str = ""


@dataclass(frozen=True, slots=True)
class QualityTable:
    """Metrics across, classes down; ``note`` says how to read them."""

    title: str
    metrics: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    note: str


@dataclass(frozen=True, slots=True)
class QualityTables:
    """A table each family that has rows; ``marks`` explain why cells are grey."""

    tables: tuple[QualityTable, ...] = ()
    marks: tuple[tuple[str, str], ...] = ()


def quality_tables(rows: Iterable[Mapping[str, Any]]) -> QualityTables:
    """Return quality.json with metrics across and scopes down, overall first."""
    known = [row for row in rows if isinstance(row, Mapping)]
    marks: dict[str, str] = {}
    tables: list[QualityTable] = []
    for title, kinds, note in (*_FAMILIES, ("Further", (), "")):
        mine = [row for row in known if _family(row) == title]
        if mine:
            tables.append(_table(title, kinds, note, mine, marks))
    return QualityTables(tuple(tables), tuple((mark, why) for why, mark in marks.items()))


def _family(row: Mapping[str, Any]) -> str:
    kind = _split(row)[0]
    return next((title for title, kinds, _ in _FAMILIES if kind in kinds), "Further")


def _split(row: Mapping[str, Any]) -> tuple[str, str]:
    """Return a metric's kind, and what it was measured by: a backbone, or a way to compare."""
    metric, backbone = str(row.get("metric", "")), row.get("backbone")
    if backbone and metric.endswith(f"_{backbone}"):
        return metric.removesuffix(f"_{backbone}"), str(backbone)
    kind, _, way = metric.rpartition("_")
    return (kind, way) if way in _WAYS else (metric, "")


def _table(
    title: str,
    kinds: tuple[str, ...],
    note: str,
    rows: list[Mapping[str, Any]],
    marks: dict[str, str],
) -> QualityTable:
    found = {str(row.get("metric", "")): row for row in rows}
    order = {kind: place for place, kind in enumerate(kinds)}
    metrics = sorted(found, key=lambda m: order.get(_split(found[m])[0], 0))
    grid: dict[tuple[bool, str], dict[str, Cell]] = {}
    for row in rows:
        label = row.get("class")
        key = (label is not None, "All classes" if label is None else str(label))
        grid.setdefault(key, {})[str(row.get("metric", ""))] = _cell(row, marks)
    empty = Cell(NOTHING)
    lines = tuple(
        (name, tuple(cells.get(m, empty) for m in metrics))
        for (_, name), cells in sorted(grid.items(), key=lambda item: item[0][0])
    )
    return QualityTable(title, tuple(_title(found[m]) for m in metrics), lines, note)


def _title(row: Mapping[str, Any]) -> str:
    """Return a metric as it may be called: FID only for the metric of that name."""
    kind, by = _split(row)
    name = _NAMES.get(kind, kind.replace("_", " ").capitalize())
    if not by:
        return name
    return f"{name} {by}" if by in _WAYS else f"{name} ({by})"


def _cell(row: Mapping[str, Any], marks: dict[str, str]) -> Cell:
    value, floor = finite(row.get("value")), finite(row.get("floor"))
    kind = _split(row)[0]
    estimable = row.get("estimable") is not False and value is not None
    digits = 4 if kind == "kid" else 3
    details = [f"n = {count(row.get('n'))}"] if finite(row.get("n")) is not None else []
    if bounds(row.get("interval")) is not None:
        low, high = row["interval"]
        details.append(f"{number(low, digits)} to {number(high, digits)}")
    if floor is not None:
        details.append(f"floor {number(floor, digits)}")
        if value is not None and floor > 0 and kind in ("fd", "fid", "vendi"):
            details.append(f"{number(value / floor, 1)}× floor")
    if finite(row.get("left_out")):
        details.append(f"{count(row['left_out'])} left out")
    mark = ""
    reason = str(row.get("reason") or ("" if estimable else "not estimable"))
    if row.get("reference_contains_parents"):
        reason = "; ".join(filter(None, (reason, "the real images hold parents of these")))
    if reason:
        mark = marks.setdefault(reason, str(len(marks) + 1))
    return Cell(number(value, digits), tuple(details), not estimable, mark)
