"""HAM10000 (Tschandl et al., Scientific Data 2018): ``HAM10000_metadata`` beside the images."""

from __future__ import annotations

from core.ingest.layouts import Assignment, LayoutOptions, RowAssigner, Tree, layout, require_table

_COLUMNS = ("lesion_id", "image_id", "dx")


def _detect(tree: Tree) -> int:
    return 90 if any(t.has(*_COLUMNS) for t in tree.tables.values()) else 0


@layout("ham10000", _detect)
def ham10000(tree: Tree, options: LayoutOptions) -> Assignment:
    """HAM10000: label dx, groups by lesion_id."""
    table = require_table(tree, "ham10000", *_COLUMNS)
    label = table.require(options.label_column or "dx", "/label_column")
    image = table.require("image_id", "")
    rows = RowAssigner(tree, table, options)
    for row in table.rows:
        rows.add(row, row[image], row[label], {})
    return rows.finish()
