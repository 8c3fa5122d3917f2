"""Features as files: Parquet for programs, and the wide CSV of the course project."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from core.ingest.csv_safety import safe_cell
from core.manifest import ImageRecord
from core.storage.blobs import disk_errors

ROWS = 2048
"""Images that are in memory together while the files are written."""


def write_features(
    folder: Path,
    backbone: str,
    dimension: int,
    records: Sequence[ImageRecord],
    load: Callable[[Sequence[ImageRecord]], NDArray[np.float32]],
) -> tuple[Path, Path]:
    """Write features.parquet and features.csv into ``folder`` and return their paths.

    ``load`` gives the features of some records, n x dimension. Parquet: image_id, filename, label,
    split, source, features (a list of fixed length). CSV: filename, label, ``<backbone>_0`` …; text
    that a spreadsheet would run is neutralised. StorageFull when the disk is full.
    """
    parquet, csv = folder / "features.parquet", folder / "features.csv"
    with disk_errors(), _Files(parquet, csv, backbone, dimension) as files:
        for start in range(0, len(records), ROWS):
            chunk = records[start : start + ROWS]
            files.write(chunk, load(chunk))
    return parquet, csv


class _Files:
    """Both files, open."""

    def __init__(self, parquet: Path, csv: Path, backbone: str, dimension: int) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._text = ("image_id", "filename", "label", "split", "source")
        fields = [pa.field(name, pa.string()) for name in self._text]
        features = pa.field("features", pa.list_(pa.float32(), dimension))
        self._schema = pa.schema([*fields, features], metadata={"backbone": backbone})
        self._names = [f"{backbone}_{i}" for i in range(dimension)]
        self._dimension = dimension
        self._parquet = pq.ParquetWriter(parquet, self._schema, compression="zstd")
        self._csv = csv.open("wb")
        self._csv.write((",".join(["filename", "label", *self._names]) + "\n").encode())

    def write(self, records: Sequence[ImageRecord], matrix: NDArray[np.float32]) -> None:
        import pyarrow as pa
        from pyarrow import csv

        columns: list[Any] = [
            pa.array([getattr(record, name) for record in records], pa.string())
            for name in self._text
        ]
        values = pa.array(np.ascontiguousarray(matrix).reshape(-1))
        columns.append(pa.FixedSizeListArray.from_arrays(values, self._dimension))
        self._parquet.write_table(pa.table(columns, schema=self._schema))
        cells = [[safe_cell(getattr(r, name)) for r in records] for name in ("filename", "label")]
        wide = [pa.array(column, pa.string()) for column in cells]
        wide += [pa.array(np.ascontiguousarray(column)) for column in matrix.T]
        table = pa.table(wide, names=["filename", "label", *self._names])
        csv.write_csv(
            table, self._csv, csv.WriteOptions(include_header=False, quoting_style="needed")
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._parquet.close()
        self._csv.close()
