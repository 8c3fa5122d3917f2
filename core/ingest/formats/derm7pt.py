"""Derm7pt (Kawahara et al., JBHI 2019): one row a case, with a clinical and a dermoscopic image."""

from __future__ import annotations

from core.ingest.layouts import Assignment, LayoutOptions, RowAssigner, Tree, layout, require_table

_COLUMNS = ("derm", "clinic", "diagnosis")
_INDEXES = (("train_indexes", "train"), ("valid_indexes", "val"), ("test_indexes", "test"))


def _detect(tree: Tree) -> int:
    return 90 if any(t.has(*_COLUMNS) for t in tree.tables.values()) else 0


@layout("derm7pt", _detect)
def derm7pt(tree: Tree, options: LayoutOptions) -> Assignment:
    """Derm7pt: label diagnosis, both images of a case in one group, official split noted."""
    table = require_table(tree, "derm7pt", *_COLUMNS)
    label = table.require(options.label_column or "diagnosis", "/label_column")
    splits, used = _official_split(tree)
    rows = RowAssigner(tree, table, options)
    numbered = table.has("case_num")
    for index, row in enumerate(table.rows):
        extra = {} if numbered else {"case_id": f"row {index}"}
        if index in splits:
            extra["source_split"] = splits[index]
        for column, view in (("derm", "dermoscopic"), ("clinic", "clinical")):
            reference = row[table.require(column, "")]
            if reference:
                rows.add(row, reference, row[label], extra | {"image_type": view})
    answer = rows.finish()
    answer.tables_used |= used
    return answer


def _official_split(tree: Tree) -> tuple[dict[int, str], set[str]]:
    """Read ``train_indexes.csv`` and its like: row numbers from 0, a column ``indexes``."""
    found: dict[int, str] = {}
    used: set[str] = set()
    for name, table in tree.tables.items():
        for part, split in _INDEXES:
            column = table.column("indexes")
            if part not in name.lower() or column is None:
                continue
            used.add(name)
            found |= {int(r[column]): split for r in table.rows if r[column].isdigit()}
    return found, used
