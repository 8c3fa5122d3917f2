"""One dataset of features judged honestly, with one error of the course project at a time, and with
all of them together.

Every protocol has the same forest of 100 trees. The honest ones differ from each other in nothing
but the one error that each is named after.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from core.learning.inference import bootstrap, interval
from core.learning.protocol import LegacyTable, legacy_protocol
from core.learning.scores import confusion, decision_scores
from core.learning.splits import grouped_folds

FOLDS = 5
REPLICATES = 2000
TREES = 100

Rows = NDArray[np.intp]
Decided = tuple[Rows, NDArray[np.int64]]
"""Tested rows, and what was decided of them; a row stands in it once."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Real images, then synthetic ones, then augmented copies that pass as real.

    features: rows x features. labels: class numbers. groups: those of a row's real parents. made:
    0 real, 1 synthetic, 2 a copy that passes as real. names: of the classes.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    made: NDArray[np.int64]
    names: tuple[str, ...]

    def rows(self, *kinds: int) -> Rows:
        return np.flatnonzero(np.isin(self.made, kinds))


@dataclass(frozen=True, slots=True)
class Finding:
    """A protocol's score with its 95 % interval over groups (None: it has none to give)."""

    key: str
    says: str
    score: float
    interval: tuple[float, float] | None
    honest: bool

    def as_json(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "says": self.says,
            "score": round(self.score, 4),
            "interval": None if self.interval is None else [round(v, 4) for v in self.interval],
            "honest": self.honest,
        }


def findings(pool: Pool, seed: int, threads: int) -> list[Finding]:
    """Return the honest scores, each error alone, and all together."""
    judge = _Judge(pool, seed, threads)
    real, combined = judge.honest(False), judge.honest(True)
    found = [
        judge.finding("real", "Honest: real images only", real, honest=True),
        judge.finding("combined", "Honest: real and synthetic", combined, honest=True),
        judge.finding("images", "Photographs are split, not patients or lesions", judge.images()),
        judge.finding(
            "parents", "Synthetic images of test photographs are trained on", judge.parents()
        ),
        judge.finding("synthetic", "Scored on synthetic images too", judge.scored_on_synthetic()),
        judge.accuracy("accuracy", "Accuracy in the place of balanced accuracy", combined),
        judge.best("best", "One split, the kindest of five", combined),
    ]
    if len(pool.rows(2)):
        says = "“Real” holds augmented copies, and photographs are split"
        found.append(judge.finding("copies", says, judge.copies()))
    return found + judge.together()


class _Judge:
    """Fits and scores; all protocols share the folds of one seed."""

    def __init__(self, pool: Pool, seed: int, threads: int) -> None:
        self._pool, self._seed, self._threads = pool, seed, threads
        self._real = pool.rows(0)
        self._folds = self._cut(pool.groups)

    def honest(self, with_synthetic: bool) -> Decided:
        """Train on what shares no group with the test side; test on real images."""
        made = self._pool.rows(1) if with_synthetic else self._real[:0]
        return self._crossed(self._real, self._folds, made, self._real, apart=True)

    def images(self) -> Decided:
        """Split images: two photographs of one lesion may stand on both sides."""
        folds = self._cut(np.arange(len(self._pool.labels)))
        return self._crossed(self._real, folds, self._real[:0], self._real, apart=False)

    def parents(self) -> Decided:
        """Train on all synthetic images, those of the tested photographs among them."""
        made = self._pool.rows(1)
        return self._crossed(self._real, self._folds, made, self._real, apart=False)

    def scored_on_synthetic(self) -> Decided:
        """Keep the groups apart, but test on the synthetic images of the test groups too."""
        made = self._pool.rows(1)
        tested = np.concatenate([self._real, made])
        return self._crossed(self._real, self._folds, made, tested, apart=True)

    def copies(self) -> Decided:
        """Fill small classes with copies first, and split what there is then by images."""
        rows = self._pool.rows(0, 2)
        folds = self._cut(np.arange(len(self._pool.labels)), rows)
        return self._crossed(rows, folds, rows[:0], rows, apart=False)

    def together(self) -> list[Finding]:
        """Return the course project's own three numbers: accuracies of its protocol."""
        kinds = {"real": (0, 2), "synthetic": (1,), "combined": (0, 1, 2)}
        tables = {name: self._table(self._pool.rows(*which)) for name, which in kinds.items()}
        told = legacy_protocol(
            tables, threads=self._threads, real_is_augmented=bool(len(self._pool.rows(2)))
        )
        return [
            Finding(
                f"legacy_{name}", f"All together: “{name}”", told[name]["accuracy"], None, False
            )
            for name in kinds
            if told[name]["accuracy"] is not None
        ]

    def finding(self, key: str, says: str, decided: Decided, *, honest: bool = False) -> Finding:
        """Return balanced accuracy and its interval over groups."""
        rows, answers = decided
        labels, size = self._pool.labels[rows], len(self._pool.names)
        groups = np.unique(self._pool.groups[rows], return_inverse=True)[1]
        drawn = bootstrap(labels, groups, answers[None, None], size, REPLICATES, self._seed)
        score = decision_scores(confusion(labels, answers, size))["balanced_accuracy"]
        ends = interval(drawn.metric("balanced_accuracy")[:, 0])
        return Finding(key, says, score, ends, honest)

    def accuracy(self, key: str, says: str, decided: Decided) -> Finding:
        rows, answers = decided
        labels, size = self._pool.labels[rows], len(self._pool.names)
        groups = np.unique(self._pool.groups[rows], return_inverse=True)[1]
        drawn = bootstrap(labels, groups, answers[None, None], size, REPLICATES, self._seed)
        score = decision_scores(confusion(labels, answers, size))["accuracy"]
        return Finding(key, says, score, interval(drawn.metric("accuracy")[:, 0]), False)

    def best(self, key: str, says: str, decided: Decided) -> Finding:
        """Return the highest balanced accuracy of a single fold."""
        rows, answers = decided
        scores = []
        for fold in range(FOLDS):
            here = self._folds[rows] == fold
            matrix = confusion(self._pool.labels[rows][here], answers[here], len(self._pool.names))
            scores.append(decision_scores(matrix)["balanced_accuracy"])
        return Finding(key, says, max(scores), None, False)

    def _cut(self, groups: NDArray[Any], rows: Rows | None = None) -> NDArray[np.int64]:
        """Return of each row of the pool its fold: that of its group; -1 for a group of none."""
        chosen = self._real if rows is None else rows
        names = [str(group) for group in groups[chosen]]
        labels = [self._pool.names[label] for label in self._pool.labels[chosen]]
        fold_of = dict(zip(names, grouped_folds(labels, names, FOLDS, self._seed), strict=True))
        return np.array([fold_of.get(str(group), -1) for group in groups], dtype=np.int64)

    def _crossed(
        self, train: Rows, folds: NDArray[np.int64], made: Rows, tested: Rows, *, apart: bool
    ) -> Decided:
        """Fit each fold on the other ones and on made images; apart: those of other folds only."""
        found: list[Decided] = []
        for fold in range(FOLDS):
            more = made[folds[made] != fold] if apart else made
            side = np.concatenate([train[folds[train] != fold], more])
            here = tested[folds[tested] == fold]
            found.append((here, self._fitted(side).predict(self._pool.features[here])))
        return np.concatenate([rows for rows, _ in found]), np.concatenate([a for _, a in found])

    def _fitted(self, rows: Rows) -> Any:
        forest = RandomForestClassifier(TREES, random_state=42, n_jobs=self._threads)
        return forest.fit(self._pool.features[rows], self._pool.labels[rows])

    def _table(self, rows: Rows) -> LegacyTable:
        names = [self._pool.names[label] for label in self._pool.labels[rows]]
        return LegacyTable(self._pool.features[rows], names)
