"""Frechet and kernel distances of synthetic to real images, per class and at equal class mix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.quality.frechet import Index, disjoint_sides, frechet_floor
from core.quality.kernel import kernel_distance
from core.quality.rows import QualityRow

MINIMUM = 20
"""Fewer images than this on a side give no number at all."""
SPLITS = 20
MOST_KERNEL_IMAGES = 5000
"""The kernel distance is unbiased at any n; more images would only cost time."""


@dataclass(frozen=True, slots=True)
class Side:
    """Images of one side: features n x d, and the class and the groups of each image."""

    features: NDArray[np.float32]
    labels: tuple[str, ...]
    group_ids: tuple[tuple[str, ...], ...]

    def groups(self) -> list[str]:
        """Return one name a set of groups; an image without any is a group of its own."""
        return ["\n".join(sorted(g)) or f"#{row}" for row, g in enumerate(self.group_ids)]

    def rows_of(self, label: str) -> Index:
        return np.array([i for i, own in enumerate(self.labels) if own == label], dtype=np.intp)

    def part(self, rows: Index) -> Side:
        chosen = rows.tolist()
        return Side(
            self.features[rows],
            tuple(self.labels[i] for i in chosen),
            tuple(self.group_ids[i] for i in chosen),
        )


@dataclass(frozen=True, slots=True)
class Pair:
    """What is compared in one scope: the same classes on both sides."""

    label: str | None
    real: Side
    synthetic: Side
    contains_parents: bool


def pairs(real: Side, synthetic: Side) -> list[Pair]:
    """Return one pair over all shared classes and one a class.

    Reference images share no group with the parents of the class's synthetic images when enough of
    them exist: at least MINIMUM on each side of a split and half of what could be used otherwise.
    """
    labels = sorted(set(real.labels) & set(synthetic.labels))
    single = [_pair_of(real, synthetic, label) for label in labels]
    if not single:
        return []
    overall = Pair(
        None,
        _joined([p.real for p in single]),
        _joined([p.synthetic for p in single]),
        any(p.contains_parents for p in single),
    )
    return [overall, *single]


def _pair_of(real: Side, synthetic: Side, label: str) -> Pair:
    mine = synthetic.part(synthetic.rows_of(label))
    parents = {group for groups in mine.group_ids for group in groups}
    rows = real.rows_of(label)
    apart = np.array([i for i in rows if parents.isdisjoint(real.group_ids[i])], dtype=np.intp)
    usable = min(len(rows), 2 * len(mine.labels))
    enough = len(apart) >= max(2 * MINIMUM, usable / 2)
    chosen = apart if enough else rows
    contains_parents = not enough and len(apart) < len(rows)
    return Pair(label, real.part(chosen), mine, contains_parents)


def _joined(sides: Sequence[Side]) -> Side:
    return Side(
        np.concatenate([s.features for s in sides]),
        tuple(label for s in sides for label in s.labels),
        tuple(groups for s in sides for groups in s.group_ids),
    )


@dataclass(frozen=True, slots=True)
class Splits:
    """Draws three sets of the same class counts: real, other real, and synthetic images.

    The real ones are at most half of each class, and share no group. apart: the synthetic ones have
    no parent among the first.
    """

    pair: Pair
    apart: bool

    def draw(self, rng: np.random.Generator) -> tuple[Index, Index, Index]:
        real, made = self.pair.real, self.pair.synthetic
        have, theirs = Counter(real.labels), Counter(made.labels)
        quota = {label: min(have[label] // 2, theirs[label]) for label in have}
        one, other = disjoint_sides(real.labels, real.groups(), quota, rng)
        eligible = self._eligible(one)
        counts = {
            label: min(n, len(eligible[label]))
            for label, n in sorted(Counter(real.labels[i] for i in one).items())
        }
        drawn = [rng.permutation(eligible[label])[:n] for label, n in counts.items()]
        chosen = np.concatenate(drawn) if drawn else np.empty(0, dtype=np.intp)
        return _first(real, one, counts), _first(real, other, counts), chosen

    def _eligible(self, reference: Index) -> dict[str, Index]:
        made = self.pair.synthetic
        taken: set[str] = set()
        if self.apart:
            taken.update(g for row in reference for g in self.pair.real.group_ids[row])
        return {
            label: np.array(
                [i for i in made.rows_of(label) if taken.isdisjoint(made.group_ids[i])],
                dtype=np.intp,
            )
            for label in set(made.labels)
        }


def splits_of(pair: Pair) -> Splits:
    """Return splits whose reference holds no parents, if that leaves half of the images."""
    together = Splits(pair, apart=False)
    if not pair.contains_parents:
        return together
    apart = Splits(pair, apart=True)
    trials = [len(s.draw(np.random.default_rng(0))[0]) for s in (together, apart)]
    return apart if trials[1] >= max(MINIMUM, trials[0] / 2) else together


def _first(side: Side, rows: Index, counts: dict[str, int]) -> Index:
    """Return the first ``counts[label]`` of the rows of each class."""
    left = dict(counts)
    kept: list[int] = []
    for row in rows.tolist():
        if left.get(side.labels[row], 0) > 0:
            left[side.labels[row]] -= 1
            kept.append(row)
    return np.array(kept, dtype=np.intp)


def frechet_row(pair: Pair, backbone: str, rng: np.random.Generator) -> QualityRow:
    """Return the Frechet distance at m images a side, its floor at the same m, and their ratio.

    m = min(n_real / 2, n_synthetic) in each class, less where a parent would stand on the other
    side; both are means over the same SPLITS splits.
    """
    metric = f"fd_{backbone}"
    splits = splits_of(pair)
    contains = pair.contains_parents and not splits.apart
    m = len(splits.draw(np.random.default_rng(0))[0])
    if m < MINIMUM:
        return _too_few(metric, pair, backbone, m, contains)
    floor = frechet_floor(
        pair.real.features, pair.synthetic.features, splits.draw, rng, splits=SPLITS
    )
    dimension = pair.real.features.shape[1]
    estimable = floor.m > dimension
    return QualityRow(
        metric,
        pair.label,
        backbone,
        floor.m,
        floor.synthetic,
        floor=floor.value,
        floor_range=(floor.low, floor.high),
        ratio=floor.ratio,
        estimable=estimable,
        reason=None
        if estimable
        else f"{floor.m} images a side are not more than the {dimension} features: the number "
        "depends on n, read it beside its floor and the kernel distance only",
        reference_contains_parents=contains,
    )


def kernel_row(pair: Pair, backbone: str, rng: np.random.Generator) -> QualityRow:
    """Return the kernel distance at equal n, its interval over groups and its floor.

    The reference is all real images, or one half of them where the parents are in the other.
    """
    metric = f"kid_{backbone}"
    splits = splits_of(pair)
    contains = pair.contains_parents and not splits.apart
    real, made = pair.real, pair.synthetic
    if splits.apart:
        one, _, chosen = splits.draw(rng)
        real, made = real.part(one), made.part(chosen)
    have, theirs = Counter(real.labels), Counter(made.labels)
    counts = _capped({label: min(have[label], theirs[label]) for label in have})
    n = sum(counts.values())
    if n < MINIMUM:
        return _too_few(metric, pair, backbone, n, contains)
    real, made = real.part(_drawn(real, counts, rng)), made.part(_drawn(made, counts, rng))
    found = kernel_distance(real.features, made.features, real.groups(), made.groups(), rng)
    return QualityRow(
        metric,
        pair.label,
        backbone,
        n,
        found.value,
        interval=found.interval,
        floor=_kernel_floor(pair, splits, rng),
        reason=None if found.interval else "too few groups for an interval",
        reference_contains_parents=contains,
    )


def _kernel_floor(pair: Pair, splits: Splits, rng: np.random.Generator) -> float | None:
    """Return the mean kernel distance of real to real images over the splits."""
    found: list[float] = []
    for _ in range(SPLITS):
        one, other, _ = splits.draw(rng)
        if len(one) < MINIMUM:
            return None
        one, other = one[:MOST_KERNEL_IMAGES], other[:MOST_KERNEL_IMAGES]
        same = ["one"] * len(one)
        a, b = pair.real.features[one], pair.real.features[other]
        found.append(kernel_distance(a, b, same, same, rng).value)
    return float(np.mean(found))


def _capped(counts: dict[str, int]) -> dict[str, int]:
    """Shrink all classes alike until MOST_KERNEL_IMAGES are left."""
    share = min(1.0, MOST_KERNEL_IMAGES / max(1, sum(counts.values())))
    return {label: int(n * share) for label, n in counts.items()}


def _drawn(side: Side, counts: dict[str, int], rng: np.random.Generator) -> Index:
    """Draw so many images of each class, without putting back."""
    parts = [rng.permutation(side.rows_of(label))[: counts[label]] for label in sorted(counts)]
    return np.concatenate(parts)


def _too_few(metric: str, pair: Pair, backbone: str, n: int, contains: bool) -> QualityRow:
    return QualityRow(
        metric,
        pair.label,
        backbone,
        n,
        None,
        estimable=False,
        reason=f"{n} images on a side, at least {MINIMUM} are needed",
        reference_contains_parents=contains,
    )


RowOf = Callable[[Pair, str, np.random.Generator], QualityRow]
ROWS: dict[str, RowOf] = {"fd": frechet_row, "kid": kernel_row}
"""By the name under which a job asks for them."""
