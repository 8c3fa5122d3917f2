"""Scores of segmentation on disk, for anyone to recompute, and as one array for inference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import JobFailed
from core.learning.cohort import Cohort
from core.learning.folds import FoldTable
from core.learning.segmentation.overlap import Overlap

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COUNTS = ("true_positive", "false_positive", "false_negative", "pixels")
MISSING = -1


@dataclass(frozen=True, slots=True)
class Scores:
    """All scores on the tested images.

    counts is arms x seeds x images x COUNTS, MISSING where an arm could not be trained; dice and
    iou follow from them image by image.
    """

    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    arms: tuple[str, ...]
    counts: NDArray[np.int64]

    def complete(self, arm: str) -> bool:
        """Tell whether the arm was asked for and every image has a score for every seed."""
        if arm not in self.arms:
            return False
        return not bool((self.counts[self.arms.index(arm)] == MISSING).any())

    def of(self, arm: str) -> NDArray[np.int64]:
        """Return seeds x images x COUNTS of an arm."""
        own: NDArray[np.int64] = self.counts[self.arms.index(arm)]
        return own


def image_dice(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Return Dice of ... x COUNTS; 1 where nothing is true and nothing was predicted."""
    import numpy as np

    hits, wrong = 2 * counts[..., 0], counts[..., 1] + counts[..., 2]
    total = hits + wrong
    return np.asarray(np.where(total > 0, hits / np.maximum(total, 1), 1.0))


def image_iou(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Return IoU of ... x COUNTS; 1 where nothing is true and nothing was predicted."""
    import numpy as np

    total = counts[..., 0] + counts[..., 1] + counts[..., 2]
    return np.asarray(np.where(total > 0, counts[..., 0] / np.maximum(total, 1), 1.0))


def write_part(
    path: Path,
    members: Cohort,
    rows: Sequence[int],
    found: Sequence[Overlap],
    *,
    seed: int,
    fold: int,
    arm: str,
) -> None:
    """Write the scores of one arm in one fold as Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    records = [members.records[i] for i in rows]
    size = len(records)
    columns: dict[str, Any] = {
        "image_id": pa.array([r.image_id for r in records], pa.string()),
        "group": pa.array([members.group_of[i] for i in rows], pa.string()),
        "seed": pa.array([seed] * size, pa.int64()),
        "fold": pa.array([fold] * size, pa.int32()),
        "arm": pa.array([arm] * size, pa.string()),
        "class": pa.array([r.label for r in records], pa.string()),
        "iou": pa.array([o.iou for o in found], pa.float64()),
        "dice": pa.array([o.dice for o in found], pa.float64()),
    }
    columns |= {n: pa.array([getattr(o, n) for o in found], pa.int64()) for n in COUNTS}
    pq.write_table(pa.table(columns), path, compression="zstd")


def merge_parts(parts: Sequence[Path], path: Path) -> None:
    """Concatenate the parts of all folds, in their order, into one file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pa.concat_tables([pq.read_table(part) for part in parts])
    pq.write_table(rows, path, compression="zstd")


def read_scores(path: Path, members: Cohort, table: FoldTable, arms: Sequence[str]) -> Scores:
    """Read the merged scores; JobFailed when a row is not of this fold table."""
    import numpy as np
    import pyarrow.parquet as pq

    rows = pq.read_table(path).to_pylist()
    place = {record.image_id: i for i, record in enumerate(members.records)}
    counts = np.full((len(arms), len(table.seeds), len(members), len(COUNTS)), MISSING, np.int64)
    for row in rows:
        seed, image = table.seeds.index(row["seed"]), place[row["image_id"]]
        if table.folds[seed, image] != row["fold"]:
            raise JobFailed("Scores do not follow the fold table", code="fold_table_changed")
        counts[arms.index(row["arm"]), seed, image] = [row[name] for name in COUNTS]
    return Scores(members.classes, members.labels, members.groups, tuple(arms), counts)
