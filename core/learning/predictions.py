"""Predictions on disk, for anyone to recompute, and as one array for inference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import JobFailed
from core.learning.cohort import Cohort
from core.learning.folds import FoldTable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from core.learning.comparison import Question


@dataclass(frozen=True, slots=True)
class Block:
    """What one arm and classifier predicted in one fold: test images x classes, float32."""

    arm: str
    classifier: str
    probabilities: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Predictions:
    """All predictions on the tested images.

    models are (arm, classifier). probabilities is models x seeds x images x classes, NaN where a
    model could not be fitted. folds is seeds x images.
    """

    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    seeds: tuple[int, ...]
    folds: NDArray[np.int64]
    models: tuple[tuple[str, str], ...]
    probabilities: NDArray[np.float32]

    def complete(self, model: int) -> bool:
        """Tell whether every image has a prediction for every seed."""
        import numpy as np

        return not bool(np.isnan(self.probabilities[model]).any())

    def decisions(self, model: int) -> NDArray[np.int64]:
        """Return seeds x images: the most probable class, the first one on a tie."""
        answer: NDArray[np.int64] = self.probabilities[model].argmax(axis=-1)
        return answer


def write_part(
    path: Path, members: Cohort, rows: NDArray[Any], seed: int, fold: int, blocks: Sequence[Block]
) -> int:
    """Write the predictions of one fold as Parquet and return the number of rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    ids = [members.records[i].image_id for i in rows.tolist()]
    labels = [members.records[i].label for i in rows.tolist()]
    tables = [_table(ids, labels, seed, fold, block, members.classes) for block in blocks]
    empty = _schema(members.classes).empty_table()
    written = pa.concat_tables([empty, *tables])
    pq.write_table(written, path, compression="zstd")
    return int(written.num_rows)


def _schema(classes: Sequence[str]) -> Any:
    import pyarrow as pa

    from core.manifest import canonical_json

    return pa.schema(
        [
            ("image_id", pa.string()),
            ("seed", pa.int64()),
            ("fold", pa.int32()),
            ("arm", pa.string()),
            ("classifier", pa.string()),
            ("label", pa.string()),
            ("predicted", pa.string()),
            ("probabilities", pa.list_(pa.float32(), len(classes))),
        ],
        metadata={"classes": canonical_json(list(classes))},
    )


def _table(
    ids: list[str], labels: list[str], seed: int, fold: int, block: Block, classes: Sequence[str]
) -> Any:
    import numpy as np
    import pyarrow as pa

    size = len(ids)
    chances = np.ascontiguousarray(block.probabilities, dtype=np.float32)
    columns = [
        pa.array(ids),
        pa.array(np.full(size, seed, dtype=np.int64)),
        pa.array(np.full(size, fold, dtype=np.int32)),
        pa.array([block.arm] * size),
        pa.array([block.classifier] * size),
        pa.array(labels),
        pa.array([classes[i] for i in chances.argmax(axis=1).tolist()]),
        pa.FixedSizeListArray.from_arrays(pa.array(chances.reshape(-1)), len(classes)),
    ]
    return pa.Table.from_arrays(columns, schema=_schema(classes))


def merge_parts(parts: Sequence[Path], path: Path, members: Cohort, question: Question) -> None:
    """Concatenate the parts of all folds, in their order, into one file.

    The column ``group`` and what is asked (``classifier``, ``comparators``: schema metadata) make
    the file enough to recompute the primary verdict.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from core.manifest import canonical_json

    rows = pa.concat_tables([pq.read_table(part) for part in parts])
    records = zip(members.records, members.group_of, strict=True)
    group_of = {record.image_id: group for record, group in records}
    groups = pa.array([group_of[name] for name in rows["image_id"].to_pylist()], pa.string())
    asked = {
        "classifier": question.classifier,
        "comparators": canonical_json(list(question.comparators)),
    }
    rows = rows.append_column("group", groups)
    rows = rows.replace_schema_metadata({**(rows.schema.metadata or {}), **asked})
    pq.write_table(rows, path, compression="zstd")


def read_predictions(
    path: Path, members: Cohort, table: FoldTable, models: Sequence[tuple[str, str]]
) -> Predictions:
    """Read the merged predictions; JobFailed when a row is not of this fold table."""
    import numpy as np
    import pyarrow.parquet as pq

    kept = np.flatnonzero(table.tested)
    chances = np.full(
        (len(models), len(table.seeds), len(kept), len(members.classes)), np.nan, dtype=np.float32
    )
    rows = pq.read_table(path)
    model = _index(rows, ("arm", "classifier"), list(models))
    seed = _index(rows, ("seed",), [(s,) for s in table.seeds])
    image = _index(rows, ("image_id",), [(members.records[i].image_id,) for i in kept.tolist()])
    folds = table.folds[:, kept]
    if not np.array_equal(folds[seed, image], rows["fold"].to_numpy()):
        raise JobFailed("Predictions do not follow the fold table", code="fold_table_changed")
    flat = rows["probabilities"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    chances[model, seed, image] = flat.reshape(-1, len(members.classes))
    groups = np.unique(members.groups[kept], return_inverse=True)[1].astype(np.int64)
    return Predictions(
        classes=members.classes,
        labels=members.labels[kept],
        groups=groups,
        seeds=table.seeds,
        folds=folds,
        models=tuple(models),
        probabilities=chances,
    )


def _index(rows: Any, columns: tuple[str, ...], keys: Sequence[tuple[Any, ...]]) -> Any:
    """Return of each row the place of its key; a row of no key is an error."""
    import numpy as np

    place = {key: i for i, key in enumerate(keys)}
    values = zip(*(rows[name].to_pylist() for name in columns), strict=True)
    try:
        return np.fromiter((place[value] for value in values), dtype=np.intp, count=rows.num_rows)
    except KeyError as error:
        raise JobFailed(
            f"A prediction is of no {'/'.join(columns)} of this experiment: {error}",
            code="fold_table_changed",
        ) from error
