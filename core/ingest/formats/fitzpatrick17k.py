"""Fitzpatrick17k (Groh et al., CVPR workshops 2021): ``md5hash`` names the image."""

from __future__ import annotations

from core.ingest.layouts import Assignment, LayoutOptions, RowAssigner, Tree, layout, require_table


def _detect(tree: Tree) -> int:
    return 90 if any(t.has("md5hash", "label") for t in tree.tables.values()) else 0


@layout("fitzpatrick17k", _detect)
def fitzpatrick17k(tree: Tree, options: LayoutOptions) -> Assignment:
    """Fitzpatrick17k: label ``label`` (114 conditions) and the skin type."""
    table = require_table(tree, "fitzpatrick17k", "md5hash")
    label = table.require(options.label_column or "label", "/label_column")
    image = table.require("md5hash", "")
    rows = RowAssigner(tree, table, options)
    for row in table.rows:
        rows.add(row, row[image], row[label], {})
    return rows.finish()
