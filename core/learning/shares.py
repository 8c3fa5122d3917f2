"""Training on a share of the weak classes' groups, as if fewer patients had been photographed.

A share is a percentage of the training groups of each weak class, at least one group; the classes
of full size stay whole. The groups of a smaller share lie in every larger one. An arm that is run
on a share is called ``<arm>_g<percent>``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from core.learning.arms import parse_arms
from core.learning.cohort import Cohort, weak_classes
from core.learning.fold_run import FoldOutcome, FoldTask, LoadRows, Tick, run_fold
from core.learning.predictions import Block

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

REAL_SHARES = (10, 25, 50, 75)
"""Percentages at which the best remedy without synthesis is trained; at 100 it is an arm anyway."""
COMBINED_SHARES = (10, 25, 50)

ByShare = Mapping[int, Sequence[str]]
"""Arms by percentage."""


def arms_by_share(remedy: str, combined: str) -> dict[int, list[str]]:
    """Return what the question of worth needs to have fitted."""
    return {
        share: [remedy, *([combined] if share in COMBINED_SHARES else [])] for share in REAL_SHARES
    }


def share_arm(arm: str, share: int) -> str:
    """Return the name of an arm on a share of the weak classes' groups."""
    return f"{arm}_g{share}"


def weak_rows(members: Cohort, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return those of the rows whose class is weak."""
    weak = weak_classes(members.labels, len(members.classes))
    answer: NDArray[np.intp] = rows[weak[members.labels[rows]]]
    return answer


def subsample(
    members: Cohort, train: NDArray[np.intp], share: int, seed: int, fold: int
) -> NDArray[np.intp]:
    """Return the rows of a training side that stay when a share of the weak groups does.

    A group that holds any image of a weak class goes or stays whole, and counts for the most
    frequent of its weak classes. Which ones stay is drawn by seed and fold.
    """
    import numpy as np

    counts = _weak_counts(members, train)
    by_class: dict[int, list[int]] = {}
    for group, own in counts.items():
        by_class.setdefault(int(np.argmax(own)), []).append(group)
    names = dict(zip(members.groups.tolist(), members.group_of, strict=True))
    gone: set[int] = set()
    for groups in by_class.values():
        ordered = sorted(groups, key=lambda g: _turn(names[g], seed, fold))
        gone.update(ordered[max(1, -(-share * len(ordered) // 100)) :])
    kept: NDArray[np.intp] = train[~np.isin(members.groups[train], sorted(gone))]
    return kept


def _weak_counts(members: Cohort, train: NDArray[np.intp]) -> dict[int, NDArray[np.int64]]:
    """Return of each group with images of weak classes how many it has of each of those."""
    import numpy as np

    found: dict[int, NDArray[np.int64]] = {}
    for row in weak_rows(members, train).tolist():
        none = np.zeros(len(members.classes), dtype=np.int64)
        found.setdefault(int(members.groups[row]), none)[members.labels[row]] += 1
    return found


def _turn(group: str, seed: int, fold: int) -> bytes:
    return hashlib.sha256(f"{seed}\n{fold}\n{group}".encode()).digest()


def run_shares(
    task: FoldTask,
    arms: ByShare,
    load: LoadRows,
    tick: Tick,
    load_pixels: LoadRows | None = None,
) -> FoldOutcome:
    """Tune, fit and test arms on shares of a fold's training side.

    Everything is as in :func:`run_fold` with the smaller side: inner folds, firewall, and only
    synthetic images all of whose groups lie in it. Arms in the outcome are named by share.
    """
    found = FoldOutcome([], {}, [], [])
    for number, (share, ids) in enumerate(sorted(arms.items())):
        side = subsample(task.members, task.train, share, task.seed, task.fold)
        smaller = replace(task, train=side, arms=parse_arms(ids), copies=(), part=f"{share} %/")
        start = number

        def part(done: float, total: float, start: int = start) -> None:
            tick(start + done / total, len(arms))

        outcome = run_fold(smaller, load, part, load_pixels)
        found.blocks.extend(
            Block(share_arm(b.arm, share), b.classifier, b.probabilities) for b in outcome.blocks
        )
        found.training.update({share_arm(a, share): n for a, n in outcome.training.items()})
        found.notes.extend(f"{share} % of the weak classes' groups: {n}" for n in outcome.notes)
        found.tuned.extend(replace(t, arm=share_arm(t.arm, share)) for t in outcome.tuned)
    return found
