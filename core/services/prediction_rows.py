"""Pages of an experiment's predictions out of its Parquet file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any


def rows_of(path: Path, start: int, limit: int) -> tuple[list[dict[str, Any]], int | None]:
    """Return up to ``limit`` rows from row ``start`` on, and where the next page begins.

    Only the row groups that hold the page are read.
    """
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    try:
        total = file.metadata.num_rows
        rows: list[dict[str, Any]] = []
        first = 0
        for number in range(file.metadata.num_row_groups):
            count = file.metadata.row_group(number).num_rows
            if first + count > start and len(rows) < limit:
                table = file.read_row_group(number)
                begin = max(0, start - first)
                rows += table.slice(begin, limit - len(rows)).to_pylist()
            first += count
    finally:
        file.close()
    after = start + len(rows)
    return [_plain(row) for row in rows], after if rows and after < total else None


def _plain(value: Any) -> Any:
    """Return a value that JSON can hold: NaN and infinities are null."""
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
