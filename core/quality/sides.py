"""The two sides of a comparison: real and synthetic images, per class and at equal class mix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.quality.resampling import merged_groups

Index = NDArray[np.intp]
MINIMUM = 20
"""Fewer images than this on a side give no number at all."""
SPLITS = 20
"""Random splits of the real images over which values and floors are averaged."""


@dataclass(frozen=True, slots=True)
class Side:
    """Images of one side: features n x d, and the class and the groups of each image."""

    features: NDArray[np.float32]
    labels: tuple[str, ...]
    group_ids: tuple[tuple[str, ...], ...]

    def groups(self) -> list[str]:
        """Return the group of each image; sets of groups that overlap are one."""
        return merged_groups(self.group_ids)

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
    no parent among the first. most: images on a side; all classes shrink alike to that.
    """

    pair: Pair
    apart: bool
    most: int | None = None

    def draw(self, rng: np.random.Generator) -> tuple[Index, Index, Index]:
        real, made = self.pair.real, self.pair.synthetic
        have, theirs = Counter(real.labels), Counter(made.labels)
        quota = {label: min(have[label] // 2, theirs[label]) for label in have}
        share = min(1.0, (self.most or np.inf) / max(1, sum(quota.values())))
        quota = {label: int(n * share) for label, n in quota.items()}
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


def splits_of(pair: Pair, most: int | None = None) -> Splits:
    """Return splits whose reference holds no parents, if that leaves half of the images."""
    together = Splits(pair, apart=False, most=most)
    if not pair.contains_parents:
        return together
    apart = Splits(pair, apart=True, most=most)
    trials = [len(s.draw(np.random.default_rng(0))[0]) for s in (together, apart)]
    return apart if trials[1] >= max(MINIMUM, trials[0] / 2) else together


@dataclass(frozen=True, slots=True)
class Drawn:
    """SPLITS splits of a pair: rows of real, other real and synthetic images, equally many.

    n is the size of the smallest; contains_parents: the reference holds parents of the synthetic
    images.
    """

    pair: Pair
    contains_parents: bool
    splits: tuple[tuple[Index, Index, Index], ...]

    @property
    def n(self) -> int:
        return min(len(one) for one, _, _ in self.splits)

    def features(
        self,
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]]:
        """Yield the features of the three sets of each split."""
        real, made = self.pair.real.features, self.pair.synthetic.features
        for one, other, chosen in self.splits:
            yield real[one], real[other], made[chosen]


def draw_splits(pair: Pair, rng: np.random.Generator, *, most: int | None = None) -> Drawn:
    """Draw the splits of a pair, at most ``most`` images on a side."""
    splits = splits_of(pair, most)
    contains = pair.contains_parents and not splits.apart
    return Drawn(pair, contains, tuple(splits.draw(rng) for _ in range(SPLITS)))


def _first(side: Side, rows: Index, counts: dict[str, int]) -> Index:
    """Return the first ``counts[label]`` of the rows of each class."""
    left = dict(counts)
    kept: list[int] = []
    for row in rows.tolist():
        if left.get(side.labels[row], 0) > 0:
            left[side.labels[row]] -= 1
            kept.append(row)
    return np.array(kept, dtype=np.intp)


def disjoint_sides(
    labels: Sequence[str], groups: Sequence[str], quota: dict[str, int], rng: np.random.Generator
) -> tuple[Index, Index]:
    """Draw two sets of rows of the same class counts that share no group.

    Each side gets at most ``quota[label]`` rows of a class: groups are dealt whole, in random
    order, to the side that lacks more; both are then cut to the smaller count of each class.
    """
    members: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    sides: tuple[dict[str, list[int]], dict[str, list[int]]] = ({}, {})
    names = sorted(members)
    for position in rng.permutation(len(names)):
        rows = members[names[position]]
        touched = {labels[row] for row in rows}
        held = [sum(len(side.get(label, ())) for label in touched) for side in sides]
        side = sides[0] if held[0] <= held[1] else sides[1]
        for row in rows:
            mine = side.setdefault(labels[row], [])
            if len(mine) < quota.get(labels[row], 0):
                mine.append(row)
    one: list[int] = []
    other: list[int] = []
    for label in sorted(quota):
        left, right = sides[0].get(label, []), sides[1].get(label, [])
        count = min(len(left), len(right))
        one += left[:count]
        other += right[:count]
    return np.array(one, dtype=np.intp), np.array(other, dtype=np.intp)
