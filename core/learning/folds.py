"""The frozen table of folds that all arms of an experiment share."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from core.errors import InvalidInput, JobFailed
from core.learning.cohort import Cohort
from core.learning.splits import grouped_folds

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

Design = Literal["cv", "holdout"]

TRAIN = -1
DROPPED = -2

_TEST_NAMES = {"test", "testing", "holdout", "hold-out"}
_TRAIN_NAMES = {"train", "training", "val", "valid", "validation", "dev"}


@dataclass(frozen=True, slots=True)
class FoldTable:
    """Which fold tests which image: ``folds`` is seeds x images.

    0..: the fold that tests the image. TRAIN (-1): always training side. DROPPED (-2): in neither,
    because its group is on the test side or its side is unknown (``holdout`` only).
    """

    seeds: tuple[int, ...]
    folds: NDArray[np.int64]
    sha256: str

    @property
    def tested(self) -> NDArray[np.bool_]:
        """Images that are tested: the same for every seed."""
        import numpy as np

        return np.asarray((self.folds >= 0).all(axis=0))

    @property
    def dropped(self) -> int:
        return int((self.folds[0] == DROPPED).sum())

    @property
    def count(self) -> int:
        """Folds of each seed."""
        return int(self.folds.max()) + 1

    def pairs(self) -> list[tuple[int, int]]:
        """Return (seed, fold) of every model side, in order."""
        return [(seed, fold) for seed in self.seeds for fold in range(self.count)]

    def sides(self, seed: int, fold: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the rows of the training side and of the test side of a fold."""
        import numpy as np

        row = self.folds[self.seeds.index(seed)]
        test = row == fold
        return np.flatnonzero(~test & (row != DROPPED)), np.flatnonzero(test)


def seeds_of(seed: int, repeats: int) -> tuple[int, ...]:
    """Return the seeds of the repeats, from the experiment's own seed on."""
    return tuple((seed + r) % 2**32 for r in range(repeats))


def fold_table(
    members: Cohort, *, design: Design, folds: int, repeats: int, seed: int
) -> FoldTable:
    """Return the fold table of an experiment; the same cohort and settings give the same table.

    InvalidInput: ``too_few_groups`` (cv), ``no_official_split`` (holdout without ``source_split``
    in the metadata).
    """
    import numpy as np

    seeds = seeds_of(seed, repeats)
    if design == "holdout":
        side = _official(members)
        table = np.tile(side, (repeats, 1))
    else:
        labels = [members.classes[label] for label in members.labels.tolist()]
        table = np.stack([grouped_folds(labels, members.group_of, folds, s) for s in seeds])
    ids = [record.image_id for record in members.records]
    return FoldTable(seeds, table, _hash(ids, seeds, table))


def table_of_seed(table: FoldTable, members: Cohort, seed: int) -> FoldTable:
    """Return the part of a table that is of one seed, as :func:`fold_table` gives it alone."""
    folds = table.folds[[table.seeds.index(seed)]]
    ids = [record.image_id for record in members.records]
    return FoldTable((seed,), folds, _hash(ids, (seed,), folds))


def check_same(table: FoldTable, sha256: str) -> None:
    """Raise JobFailed when a shard has not the fold table of its experiment."""
    if table.sha256 != sha256:
        raise JobFailed(
            f"The fold table has hash {table.sha256}, the experiment froze {sha256}: the dataset "
            "version or the program differs between workers",
            code="fold_table_changed",
        )


def _official(members: Cohort) -> NDArray[np.int64]:
    """Read the official split; a group with an image on the test side is tested or dropped."""
    import numpy as np

    sides = [str(r.metadata.get("source_split") or "").strip().lower() for r in members.records]
    test = np.array([side in _TEST_NAMES for side in sides])
    train = np.array([side in _TRAIN_NAMES for side in sides])
    if not test.any() or not train.any():
        raise InvalidInput(
            "The design holdout needs an official split: images marked train and images marked "
            "test in the dataset's metadata (source_split). Use the design cv.",
            code="no_official_split",
        )
    shared = np.isin(members.groups, members.groups[test])
    answer = np.full(len(members), DROPPED, dtype=np.int64)
    answer[train & ~shared] = TRAIN
    answer[test] = 0
    if not (answer == TRAIN).any():
        raise InvalidInput(
            "Every training image of the official split shares a group with its test side.",
            code="no_official_split",
        )
    return answer


def _hash(ids: Sequence[str], seeds: Sequence[int], folds: NDArray[np.int64]) -> str:
    lines = sorted(
        f"{image_id}\t{seed}\t{fold}"
        for seed, row in zip(seeds, folds.tolist(), strict=True)
        for image_id, fold in zip(ids, row, strict=True)
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def write_folds(table: FoldTable, members: Cohort, path: Path) -> None:
    """Write the table as Parquet: image_id, label, group, seed, fold (-1 train, -2 dropped)."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    repeats = len(table.seeds)
    columns = {
        "image_id": [r.image_id for r in members.records] * repeats,
        "label": [r.label for r in members.records] * repeats,
        "group": list(members.group_of) * repeats,
        "seed": np.repeat(np.array(table.seeds, dtype=np.int64), len(members)),
        "fold": table.folds.reshape(-1).astype(np.int32),
    }
    written = pa.table(columns).replace_schema_metadata({"sha256": table.sha256})
    pq.write_table(written, path, compression="zstd")
