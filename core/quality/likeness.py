"""How like their sources, and each other, the synthetic images of each class are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.manifest import ImageRecord
from core.quality.alignment import Aligned, aligned, padded
from core.quality.resampling import group_draws, merged_groups, percentiles
from core.quality.rows import QualityRow
from core.synthesis.contract import Pixels

PER_CLASS = 100
"""So many images (and pairs) of a class are compared, drawn by seed."""

LoadPixels = Callable[[str], Pixels]
Draw = Callable[..., np.random.Generator]
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measure:
    """A likeness of two images of one size where both are valid.

    None: they are too small for it; ``needs`` says what it needs, for the reason of its rows.
    """

    name: str
    compare: Callable[[Pixels, Pixels, NDArray[np.bool_]], float | None]
    needs: str


@dataclass(frozen=True, slots=True)
class Compared:
    """One synthetic image and its source; values by metric, None where it could not be computed."""

    label: str
    group_ids: tuple[str, ...]
    values: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Likeness:
    """The rows of quality.json, and the single comparisons for the histograms."""

    rows: tuple[QualityRow, ...]
    compared: tuple[Compared, ...]

    def values(self, metric: str) -> list[float]:
        """Return the values of a metric of all compared images."""
        return [v for c in self.compared if (v := c.values[metric]) is not None]


@dataclass(frozen=True, slots=True)
class _Class:
    """What was found of a class: comparisons with sources, and among its own images."""

    label: str
    compared: tuple[Compared, ...]
    parentless: int
    among_synthetic: Mapping[str, Values]
    among_real: Mapping[str, Values]


def likeness(
    real: Sequence[ImageRecord],
    synthetic: Sequence[ImageRecord],
    measures: Sequence[Measure],
    load: LoadPixels,
    rng: Draw,
    *,
    threads: int = 1,
    progress: Callable[[float], None] = lambda _done: None,
) -> Likeness:
    """Return each measure aligned, raw and within each class, and their means over the classes.

    ``load`` decodes a blob, ``rng(*key)`` gives the generator of a key. Images without a single
    parent are left out and counted, of ``aligned`` also those whose transform is not recorded.
    """
    labels = sorted({record.label for record in synthetic})
    classes: list[_Class] = []
    with ThreadPoolExecutor(threads) as pool:
        for done, label in enumerate(labels):
            progress(done / len(labels))
            mine = [r for r in synthetic if r.label == label]
            theirs = [r for r in real if r.label == label]
            single = [r for r in mine if len(r.parent_sha256) == 1]
            chosen = _chosen(single, rng("likeness", label))
            found = pool.map(lambda record: _compare(record, measures, load), chosen)
            classes.append(
                _Class(
                    label,
                    tuple(found),
                    len(mine) - len(single),
                    _within(mine, measures, load, rng("within", label, "synthetic"), pool),
                    _within(theirs, measures, load, rng("within", label, "real"), pool),
                )
            )
    rows = [row for m in measures for row in _measure_rows(m, classes, rng)]
    return Likeness(tuple(rows), tuple(c for found in classes for c in found.compared))


def _chosen(records: Sequence[ImageRecord], rng: np.random.Generator) -> list[ImageRecord]:
    places = np.sort(rng.permutation(len(records))[:PER_CLASS])
    return [records[i] for i in places]


def _compare(record: ImageRecord, measures: Sequence[Measure], load: LoadPixels) -> Compared:
    image, source = load(record.sha256), load(record.parent_sha256[0])
    transform = record.provenance.get("transform")
    pairs: dict[str, Aligned | None] = {"raw": padded(image, source), "aligned": None}
    if transform is not None:
        pairs["aligned"] = aligned(image, source, np.asarray(transform, dtype=np.float64))
    values = {
        f"{measure.name}_{way}": None if pair is None else _value(measure, pair)
        for measure in measures
        for way, pair in pairs.items()
    }
    return Compared(record.label, record.group_ids or record.parent_sha256, values)


def _value(measure: Measure, pair: Aligned) -> float | None:
    return measure.compare(pair.first, pair.second, pair.valid)


def _within(
    records: Sequence[ImageRecord],
    measures: Sequence[Measure],
    load: LoadPixels,
    rng: np.random.Generator,
    pool: ThreadPoolExecutor,
) -> dict[str, Values]:
    """Return each measure of random pairs of different images, as they are."""
    most = len(records) * (len(records) - 1) // 2
    drawn: set[tuple[int, int]] = set()
    while len(drawn) < min(PER_CLASS, most):
        one, other = sorted(int(i) for i in rng.choice(len(records), 2, replace=False))
        drawn.add((one, other))

    def alike(places: tuple[int, int]) -> list[float | None]:
        pair = padded(*(load(records[place].sha256) for place in places))
        return [_value(measure, pair) for measure in measures]

    found = list(pool.map(alike, sorted(drawn)))
    return {
        measure.name: np.array([v[place] for v in found if v[place] is not None], dtype=np.float64)
        for place, measure in enumerate(measures)
    }


def _measure_rows(measure: Measure, classes: Sequence[_Class], rng: Draw) -> Iterator[QualityRow]:
    """Yield the rows of a measure: the means over classes, then each class."""
    for way, need in (("aligned", "a single parent, a recorded transform"), ("raw", "one parent")):
        metric = f"{measure.name}_{way}"
        parts = [_SourceValues.of(found, metric, rng(metric, found.label)) for found in classes]
        wanting = f"no image with {need} and {measure.needs}"
        yield _overall_source(metric, parts, wanting)
        yield from (part.row(metric, wanting) for part in parts)
    metric = f"{measure.name}_within"
    rows = [_within_row(metric, measure, found) for found in classes]
    yield _overall_within(metric, rows)
    yield from rows


@dataclass(frozen=True, slots=True)
class _SourceValues:
    """A metric of the images of a class and their sources; replicates of the mean, over groups."""

    label: str
    values: Values
    replicates: Values | None
    left_out: int

    @classmethod
    def of(cls, found: _Class, metric: str, rng: np.random.Generator) -> _SourceValues:
        kept = [(v, c.group_ids) for c in found.compared if (v := c.values[metric]) is not None]
        values = np.array([value for value, _ in kept])
        left_out = found.parentless + len(found.compared) - len(values)
        if not kept:
            return cls(found.label, values, None, left_out)
        groups = merged_groups([ids for _, ids in kept])
        draws = group_draws(groups, [found.label] * len(kept), rng)
        replicates = None
        if draws is not None:
            weights = draws.astype(np.float64)
            replicates = weights @ values / weights.sum(axis=1)
        return cls(found.label, values, replicates, left_out)

    def row(self, metric: str, wanting: str) -> QualityRow:
        reason = None if self.replicates is not None else "too few groups for an interval"
        return QualityRow(
            metric,
            self.label,
            None,
            len(self.values),
            float(self.values.mean()) if len(self.values) else None,
            interval=None if self.replicates is None else percentiles(self.replicates),
            estimable=len(self.values) > 0,
            reason=reason if len(self.values) else wanting,
            left_out=self.left_out,
        )


def _overall_source(metric: str, parts: Sequence[_SourceValues], wanting: str) -> QualityRow:
    """Return the mean over classes, every class weighs the same; classes are resampled apart."""
    usable = [part for part in parts if len(part.values)]
    replicates = [part.replicates for part in usable if part.replicates is not None]
    interval = None
    if usable and len(replicates) == len(usable):
        interval = percentiles(np.mean(replicates, axis=0))
    reason = None if interval else "too few groups for an interval"
    return QualityRow(
        metric,
        None,
        None,
        sum(len(part.values) for part in usable),
        float(np.mean([part.values.mean() for part in usable])) if usable else None,
        interval=interval,
        estimable=bool(usable),
        reason=reason if usable else wanting,
        left_out=sum(part.left_out for part in parts),
    )


def _within_row(metric: str, measure: Measure, found: _Class) -> QualityRow:
    values, among = found.among_synthetic[measure.name], found.among_real[measure.name]
    return QualityRow(
        metric,
        found.label,
        None,
        len(values),
        float(values.mean()) if len(values) else None,
        floor=float(among.mean()) if len(among) else None,
        estimable=len(values) > 0,
        reason=None if len(values) else f"fewer than two images with {measure.needs}",
    )


def _overall_within(metric: str, rows: Sequence[QualityRow]) -> QualityRow:
    """Return the mean over the classes that have a value, and the floor over the same classes."""
    usable = [row for row in rows if row.value is not None]
    values = [row.value for row in rows if row.value is not None]
    floors = [row.floor for row in usable if row.floor is not None]
    return QualityRow(
        metric,
        None,
        None,
        sum(row.n for row in usable),
        float(np.mean(values)) if values else None,
        floor=float(np.mean(floors)) if floors and len(floors) == len(values) else None,
        estimable=bool(usable),
        reason=None if usable else "no class could be compared",
    )
