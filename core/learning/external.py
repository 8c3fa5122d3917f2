"""Predictions made elsewhere, judged like any arm: read, checked against the fold table, refused.

A table of one row an image and seed: ``image_id``, ``fold``, ``seed`` (may be missing when the
experiment has one seed) and ``probability_<class>`` for every class. CSV or Parquet.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import InvalidInput
from core.learning.cohort import Cohort
from core.learning.exploratory import EXTERNAL
from core.learning.folds import FoldTable
from core.learning.predictions import Block, write_part

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PREFIX = "probability_"
TOLERANCE = 1e-3
"""How far a row of probabilities may be from a sum of 1: rounding to three decimals passes."""
MAX_ROWS = 5_000_000

_SHOWN = 5


def read_external(path: Path, members: Cohort, table: FoldTable) -> NDArray[np.float32]:
    """Return seeds x tested images x classes.

    InvalidInput: ``external_columns``, ``external_ids`` (an image or seed that is not of this
    experiment), ``external_folds`` (another fold table), ``external_duplicates``,
    ``external_missing`` (an image without a prediction), ``external_probabilities`` (not in
    0..1, or a row that does not sum to 1).
    """
    import numpy as np

    rows = _read(path)
    columns = [PREFIX + name for name in members.classes]
    _check_columns(rows.column_names, columns, table)
    tested = np.flatnonzero(table.tested)
    ids = [members.records[i].image_id for i in tested.tolist()]
    image = _places(rows["image_id"].to_pylist(), ids, "image_id")
    asked = rows["seed"].to_pylist() if "seed" in rows.column_names else [table.seeds[0]]
    seed = _places(asked, list(table.seeds), "seed")
    if len(seed) == 1:
        seed = np.repeat(seed, len(image))
    _check_folds(rows["fold"].to_pylist(), table.folds[:, tested][seed, image])
    seen = np.zeros((len(table.seeds), len(tested)), dtype=np.int64)
    np.add.at(seen, (seed, image), 1)
    _check_complete(seen, ids, table.seeds)
    chances = np.stack([_numbers(rows[name], name) for name in columns], axis=1)
    _check_probabilities(chances)
    answer = np.empty((len(table.seeds), len(tested), len(columns)), dtype=np.float32)
    answer[seed, image] = chances / chances.sum(axis=1, keepdims=True)
    return answer


def check_table(table: FoldTable, sha256: str | None) -> None:
    """Raise InvalidInput when predictions were made on another fold table than this one."""
    if sha256 != table.sha256:
        raise _refused(
            "external_folds",
            f"They were made on the fold table {sha256}, this experiment has {table.sha256}. "
            "Predict on the folds.parquet of an experiment with this dataset version, design, "
            "folds, repeats and seed",
        )


def write_external(
    chances: NDArray[np.float32], members: Cohort, table: FoldTable, folder: Path
) -> list[Path]:
    """Write the predictions as parts of the folds, as the experiment's own are."""
    import numpy as np

    place = np.full(len(members), -1, dtype=np.intp)
    tested = np.flatnonzero(table.tested)
    place[tested] = np.arange(len(tested))
    parts = []
    for seed, fold in table.pairs():
        rows = table.sides(seed, fold)[1]
        block = Block(EXTERNAL, EXTERNAL, chances[table.seeds.index(seed)][place[rows]])
        parts.append(folder / f"external-{seed}-{fold}.parquet")
        write_part(parts[-1], members, rows, seed, fold, [block])
    return parts


def _read(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    try:
        if path.open("rb").read(4) == b"PAR1":
            if pq.ParquetFile(path).metadata.num_rows > MAX_ROWS:
                raise _refused("external_columns", f"More than {MAX_ROWS:,} rows")
            return pq.read_table(path)
        text = pc.ConvertOptions(column_types={"image_id": pa.string()})
        rows = pc.read_csv(path, convert_options=text)
    except (pa.ArrowException, OSError, UnicodeError) as error:
        raise _refused("external_columns", f"Neither CSV nor Parquet: {error}") from error
    if rows.num_rows > MAX_ROWS:
        raise _refused("external_columns", f"More than {MAX_ROWS:,} rows")
    return rows


def _refused(code: str, detail: str) -> InvalidInput:
    return InvalidInput(f"Predictions made elsewhere are refused. {detail}.", code=code)


def _check_columns(found: Sequence[str], classes: Sequence[str], table: FoldTable) -> None:
    wanted = ["image_id", "fold", *classes]
    if len(table.seeds) > 1:
        wanted.append("seed")
    missing = [name for name in wanted if name not in found]
    foreign = [name for name in found if name.startswith(PREFIX) and name not in classes]
    twice = sorted({name for name in found if list(found).count(name) > 1})
    if missing:
        raise _refused("external_columns", f"Missing columns: {', '.join(missing)}")
    if foreign:
        raise _refused("external_columns", f"Columns of no class here: {', '.join(foreign)}")
    if twice:
        raise _refused("external_columns", f"Columns that stand twice: {', '.join(twice)}")


def _places(values: Sequence[Any], known: Sequence[Any], column: str) -> NDArray[np.intp]:
    import numpy as np

    place = {value: i for i, value in enumerate(known)}
    foreign = [value for value in dict.fromkeys(values) if value not in place]
    if foreign:
        raise _refused(
            "external_ids",
            f"{len(foreign)} values of {column} are not of this experiment's test sides: "
            f"{_listed(foreign)}",
        )
    return np.array([place[value] for value in values], dtype=np.intp)


def _check_folds(found: Sequence[Any], expected: NDArray[np.int64]) -> None:
    wrong = [i for i, (a, b) in enumerate(zip(found, expected.tolist(), strict=True)) if a != b]
    if wrong:
        raise _refused(
            "external_folds",
            f"{len(wrong)} rows name another fold than the table of this experiment (row "
            f"{wrong[0] + 1}: fold {found[wrong[0]]}, here {int(expected[wrong[0]])}): the "
            "predictions were made on other folds. Take folds.parquet of this experiment",
        )


def _check_complete(seen: NDArray[np.int64], ids: Sequence[str], seeds: Sequence[int]) -> None:
    for code, what, wrong in (
        ("external_duplicates", "more than one prediction", seen > 1),
        ("external_missing", "no prediction", seen == 0),
    ):
        if wrong.any():
            places = list(zip(*(axis.tolist() for axis in wrong.nonzero()), strict=True))
            names = [f"{ids[image]} (seed {seeds[seed]})" for seed, image in places]
            raise _refused(code, f"{len(names)} images have {what}: {_listed(names)}")


def _numbers(column: Any, name: str) -> NDArray[np.float64]:
    import numpy as np

    try:
        return np.array(column.to_pylist(), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise _refused("external_probabilities", f"{name} holds what is no number") from error


def _check_probabilities(chances: NDArray[np.float64]) -> None:
    import numpy as np

    outside = ~((chances >= 0) & (chances <= 1 + TOLERANCE)).all(axis=1)
    if outside.any():
        row = int(np.flatnonzero(outside)[0]) + 1
        raise _refused(
            "external_probabilities",
            f"{int(outside.sum())} rows hold a value that is not in 0 to 1 (row {row})",
        )
    wrong = np.abs(chances.sum(axis=1) - 1) > TOLERANCE
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise _refused(
            "external_probabilities",
            f"{int(wrong.sum())} rows do not sum to 1 (row {row + 1}: {chances[row].sum():.4g})",
        )


def _listed(values: Sequence[Any]) -> str:
    shown = ", ".join(str(value)[:80] for value in values[:_SHOWN])
    return shown + (f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else "")
