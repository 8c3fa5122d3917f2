"""Grouped, stratified splits and folds: a group is never cut in two."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from core.errors import InvalidInput
from core.manifest import Split

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SPLITS: tuple[Split, ...] = ("train", "val", "test")

_FORCED_ORDER: tuple[Split, ...] = ("train", "test", "val")
"""With two groups only, a class is trained and tested rather than trained and validated."""

Groups = Sequence[Sequence[str]] | Sequence[str]
"""Of each image its group, or all of its groups; images that share one belong together."""


def components(groups: Groups) -> list[str]:
    """Return of each image the name of its component: the smallest of all group ids it is tied to.

    Images that share a group id are tied, transitively. InvalidInput (``missing_group``) for an
    image without any group.
    """
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        top = name
        while parent[top] != top:
            top = parent[top]
        while parent[name] != top:
            parent[name], name = top, parent[name]
        return top

    listed = [(g,) if isinstance(g, str) else tuple(g) for g in groups]
    for index, ids in enumerate(listed):
        if not ids:
            raise InvalidInput(f"Image number {index} has no group", code="missing_group")
        for name in ids:
            parent.setdefault(name, name)
        first = root(ids[0])
        for name in ids[1:]:
            other = root(name)
            first, larger = min(first, other), max(first, other)
            parent[larger] = first
    return [root(ids[0]) for ids in listed]


def group_counts(labels: Sequence[str], groups: Groups) -> dict[str, int]:
    """Return how many independent groups each class has, by class name."""
    members: dict[str, set[str]] = {}
    for label, component in zip(labels, components(groups), strict=True):
        members.setdefault(label, set()).add(component)
    return {label: len(members[label]) for label in sorted(members)}


@dataclass(slots=True)
class _Component:
    name: str
    rows: list[int] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


def assign_splits(
    labels: Sequence[str],
    groups: Groups,
    *,
    fractions: tuple[float, float, float] = (0.70, 0.15, 0.15),
    seed: int = 0,
) -> list[Split]:
    """Return the split of each image: train, val and test in these fractions of every class.

    Groups stay whole. A class with at least three groups of its own appears in every split (with
    groups of several classes, as far as they allow); with two it is in train and test, with one in
    train. The answer depends on the seed and the groups' names, not on the order of the images.
    """
    _check_fractions(fractions)
    found = _components(labels, groups)
    shares = dict(zip(SPLITS, fractions, strict=True))
    by_class: dict[str, list[_Component]] = {}
    totals: dict[str, int] = {}
    for component in found:
        for label, count in component.counts.items():
            by_class.setdefault(label, []).append(component)
            totals[label] = totals.get(label, 0) + count
    allotment = _Allotment(shares, totals)
    for label in sorted(by_class, key=lambda name: (len(by_class[name]), name)):
        allotment.fill(label, sorted(by_class[label], key=lambda c: _order(c, label, seed)))
    splits: list[Split] = ["train"] * len(labels)
    for component in found:
        for row in component.rows:
            splits[row] = allotment.split_of[component.name]
    return splits


def _check_fractions(fractions: tuple[float, float, float]) -> None:
    if min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-9:
        raise InvalidInput(f"Fractions of splits must be >= 0 and sum to 1, not {fractions}")


def _components(labels: Sequence[str], groups: Groups) -> list[_Component]:
    found: dict[str, _Component] = {}
    for row, (label, name) in enumerate(zip(labels, components(groups), strict=True)):
        component = found.setdefault(name, _Component(name))
        component.rows.append(row)
        component.counts[label] = component.counts.get(label, 0) + 1
    return list(found.values())


def _order(component: _Component, label: str, seed: int) -> tuple[int, str]:
    """Sort large components first, equal ones at random by the seed."""
    digest = hashlib.sha256(f"{seed}\n{component.name}".encode()).hexdigest()
    return -component.counts[label], digest


class _Allotment:
    """Which component went where, and how many images of each class each split still wants."""

    def __init__(self, shares: dict[Split, float], totals: dict[str, int]) -> None:
        self.split_of: dict[str, Split] = {}
        self._used = [split for split in SPLITS if shares[split] > 0]
        self._wanted = {
            split: {label: shares[split] * total for label, total in totals.items()}
            for split in SPLITS
        }
        self._spare = {split: shares[split] * sum(totals.values()) for split in SPLITS}

    def fill(self, label: str, ordered: Sequence[_Component]) -> None:
        """Place the components of a class that no rarer class has placed yet."""
        present = {self.split_of[c.name] for c in ordered if c.name in self.split_of}
        waiting = [c for c in ordered if c.name not in self.split_of]
        for position, component in enumerate(waiting):
            missing = [split for split in self._used if split not in present]
            forced = missing and len(waiting) - position <= len(missing)
            split = self._neediest(label, missing if forced else self._used, bool(forced))
            self._place(component, split)
            present.add(split)

    def _neediest(self, label: str, among: Sequence[Split], forced: bool) -> Split:
        def need(split: Split) -> tuple[float, float, int]:
            wanted = round(self._wanted[split][label], 9)
            tie = 0.0 if forced else round(self._spare[split], 9)
            return wanted, tie, -_FORCED_ORDER.index(split)

        return max(among, key=need)

    def _place(self, component: _Component, split: Split) -> None:
        self.split_of[component.name] = split
        for label, count in component.counts.items():
            self._wanted[split][label] -= count
            self._spare[split] -= count


def grouped_folds(
    labels: Sequence[str], groups: Groups, folds: int, seed: int
) -> NDArray[np.int64]:
    """Return the test fold of each image, 0..folds-1 (StratifiedGroupKFold, shuffled by the seed).

    Groups stay whole. A class with fewer groups than folds is missing from some folds' test sides;
    a class with a single group is tested in the one fold that could not be trained on it, so that
    its recall there is 0: :func:`sparse_classes` names both. InvalidInput (``too_few_groups``) when
    a fold would stay empty or no class has a group for every fold.
    """
    import numpy as np
    from sklearn.model_selection import StratifiedGroupKFold

    if folds < 2:
        raise InvalidInput(f"Cross-validation needs at least 2 folds, not {folds}")
    counts = group_counts(labels, groups)
    most = max(counts.values(), default=0)
    if most < folds:
        raise _too_few(most, folds)
    y = np.unique(np.asarray(labels, dtype=object).astype(str), return_inverse=True)[1]
    g = np.unique(np.asarray(components(groups), dtype=object).astype(str), return_inverse=True)[1]
    rank = _canonical_order(y, g)
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    answer = np.full(len(y), -1, dtype=np.int64)
    with warnings.catch_warnings():
        # scikit-learn warns of classes with fewer members than folds; sparse_classes reports them
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        for fold, (_, test) in enumerate(splitter.split(rank, y[rank], g[rank])):
            answer[rank[test]] = fold
    if len(np.unique(answer)) < folds:
        raise _too_few(most, folds)
    return answer


def _canonical_order(y: NDArray[Any], g: NDArray[Any]) -> NDArray[np.intp]:
    """Sort images by group and class, so that the order they came in does not matter."""
    import numpy as np

    return np.lexsort((y, g))


def _too_few(most: int, folds: int) -> InvalidInput:
    return InvalidInput(
        f"{folds} folds need a class with at least {folds} independent groups; the largest has "
        f"{most}. Use fewer folds or import more patients, lesions or images.",
        code="too_few_groups",
    )


def sparse_classes(labels: Sequence[str], groups: Groups, folds: int) -> dict[str, int]:
    """Return the classes that have fewer groups than folds, with their numbers of groups."""
    return {name: n for name, n in group_counts(labels, groups).items() if n < folds}
