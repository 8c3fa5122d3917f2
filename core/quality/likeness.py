"""How like their sources, and each other, the synthetic images of each class are (SSIM)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.manifest import ImageRecord
from core.quality.rows import QualityRow
from core.quality.similarity import aligned_ssim, raw_ssim
from core.synthesis.contract import Pixels

PER_CLASS = 100
"""So many images (and pairs) of a class are compared, drawn by seed."""
MIN_GROUPS = 5
BOOTSTRAP = 1000

SOURCE_METRICS = {
    "ssim_aligned": "no image with a single parent and a recorded transform",
    "ssim_raw": "no image with a single parent",
}
"""What is compared with the source, and the reason when nothing can be."""

LoadPixels = Callable[[str], Pixels]
Draw = Callable[..., np.random.Generator]


@dataclass(frozen=True, slots=True)
class Compared:
    """SSIM of one synthetic image and its source; None where it could not be computed."""

    label: str
    group: str
    aligned: float | None
    raw: float | None

    def value(self, metric: str) -> float | None:
        return self.aligned if metric == "ssim_aligned" else self.raw


@dataclass(frozen=True, slots=True)
class Likeness:
    """The rows of quality.json, and the single comparisons for the histogram."""

    rows: tuple[QualityRow, ...]
    compared: tuple[Compared, ...]


def likeness(
    real: Sequence[ImageRecord],
    synthetic: Sequence[ImageRecord],
    load: LoadPixels,
    rng: Draw,
    *,
    threads: int = 1,
    progress: Callable[[float], None] = lambda _done: None,
) -> Likeness:
    """Return SSIM aligned, raw and within each class, and their means over the classes.

    ``load`` decodes a blob, ``rng(*key)`` gives the generator of a key. Images without a single
    parent are left out and counted, of ``aligned`` also those whose transform is not recorded.
    """
    labels = sorted({record.label for record in synthetic})
    compared: list[Compared] = []
    rows: list[QualityRow] = []
    with ThreadPoolExecutor(threads) as pool:
        for done, label in enumerate(labels):
            progress(done / len(labels))
            mine = [r for r in synthetic if r.label == label]
            single = [r for r in mine if len(r.parent_sha256) == 1]
            chosen = _chosen(single, rng("ssim", label))
            found = list(pool.map(lambda record: _compare(record, load), chosen))
            compared += found
            rows += _source_rows(label, found, len(mine) - len(single), rng("ssim", label, "b"))
            theirs = [r for r in real if r.label == label]
            within, count = _within(mine, load, rng("within", label, "synthetic"), pool)
            among, _ = _within(theirs, load, rng("within", label, "real"), pool)
            rows.append(_within_row(label, within, count, among))
    overall = _overall(rows, compared, rng)
    return Likeness((*overall, *rows), tuple(compared))


def _chosen(records: Sequence[ImageRecord], rng: np.random.Generator) -> list[ImageRecord]:
    places = np.sort(rng.permutation(len(records))[:PER_CLASS])
    return [records[i] for i in places]


def _compare(record: ImageRecord, load: LoadPixels) -> Compared:
    image, source = load(record.sha256), load(record.parent_sha256[0])
    transform = record.provenance.get("transform")
    aligned = None
    if transform is not None:
        aligned = aligned_ssim(image, source, np.asarray(transform, dtype=np.float64))
    group = "\n".join(sorted(record.group_ids)) or record.parent_sha256[0]
    return Compared(record.label, group, aligned, raw_ssim(image, source))


def _source_rows(
    label: str, found: Sequence[Compared], parentless: int, rng: np.random.Generator
) -> Iterator[QualityRow]:
    """Yield the rows ``ssim_aligned`` and ``ssim_raw`` of a class."""
    for metric, wanting in SOURCE_METRICS.items():
        values, groups = _usable(found, metric)
        left_out = parentless + len(found) - len(values)
        if not groups:
            yield QualityRow(
                metric, label, None, 0, None, estimable=False, reason=wanting, left_out=left_out
            )
            continue
        interval = _interval(values, groups, rng)
        yield QualityRow(
            metric,
            label,
            None,
            len(values),
            float(values.mean()),
            interval=interval,
            reason=None if interval else "too few groups for an interval",
            left_out=left_out,
        )


def _usable(found: Sequence[Compared], metric: str) -> tuple[NDArray[np.float64], list[str]]:
    """Return the values of a metric and their groups, where there is a value."""
    kept = [(value, c.group) for c in found if (value := c.value(metric)) is not None]
    return np.array([value for value, _ in kept]), [group for _, group in kept]


def _interval(
    values: NDArray[np.float64], groups: Sequence[str], rng: np.random.Generator
) -> tuple[float, float] | None:
    """Return the 95 % interval of the mean by bootstrap over groups."""
    means = _replicates(values, groups, rng)
    if means is None:
        return None
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def _replicates(
    values: NDArray[np.float64], groups: Sequence[str], rng: np.random.Generator
) -> NDArray[np.float64] | None:
    _, member = np.unique(np.asarray(groups), return_inverse=True)
    count = int(member.max()) + 1
    if count < MIN_GROUPS:
        return None
    sums, sizes = np.bincount(member, weights=values), np.bincount(member)
    times = rng.multinomial(count, np.full(count, 1 / count), size=BOOTSTRAP)
    result: NDArray[np.float64] = (times @ sums) / (times @ sizes)
    return result


def _within(
    records: Sequence[ImageRecord],
    load: LoadPixels,
    rng: np.random.Generator,
    pool: ThreadPoolExecutor,
) -> tuple[float | None, int]:
    """Return the mean raw SSIM of random pairs of different images, and the number of pairs."""
    if len(records) < 2:
        return None, 0
    most = len(records) * (len(records) - 1) // 2
    drawn: set[tuple[int, int]] = set()
    while len(drawn) < min(PER_CLASS, most):
        one, other = sorted(int(i) for i in rng.choice(len(records), 2, replace=False))
        drawn.add((one, other))

    def alike(pair: tuple[int, int]) -> float | None:
        return raw_ssim(load(records[pair[0]].sha256), load(records[pair[1]].sha256))

    values = [value for value in pool.map(alike, sorted(drawn)) if value is not None]
    return (float(np.mean(values)) if values else None), len(values)


def _within_row(label: str, value: float | None, pairs: int, among: float | None) -> QualityRow:
    return QualityRow(
        "ssim_within",
        label,
        None,
        pairs,
        value,
        floor=among,
        estimable=value is not None,
        reason=None if value is not None else "fewer than two images to compare",
    )


def _overall(
    rows: Sequence[QualityRow], compared: Sequence[Compared], rng: Draw
) -> Iterator[QualityRow]:
    """Yield the mean over classes of each metric: every class weighs the same."""
    for metric in ("ssim_aligned", "ssim_raw", "ssim_within"):
        mine = [row for row in rows if row.metric == metric]
        values = [row.value for row in mine if row.value is not None]
        floors = [row.floor for row in mine if row.floor is not None]
        interval = None
        if metric in SOURCE_METRICS:
            interval = _overall_interval(metric, compared, rng)
        yield QualityRow(
            metric,
            None,
            None,
            sum(row.n for row in mine),
            float(np.mean(values)) if values else None,
            interval=interval,
            floor=float(np.mean(floors)) if floors else None,
            estimable=bool(values),
            reason=None if values else "no class could be compared",
            left_out=sum(row.left_out for row in mine),
        )


def _overall_interval(
    metric: str, compared: Sequence[Compared], rng: Draw
) -> tuple[float, float] | None:
    """Return the interval of the mean over classes; classes are resampled apart."""
    parts: list[NDArray[np.float64]] = []
    for label in sorted({c.label for c in compared}):
        values, groups = _usable([c for c in compared if c.label == label], metric)
        if not groups:
            continue
        means = _replicates(values, groups, rng("ssim", label, metric))
        if means is None:
            return None
        parts.append(means)
    if not parts:
        return None
    low, high = np.percentile(np.mean(parts, axis=0), [2.5, 97.5])
    return float(low), float(high)
