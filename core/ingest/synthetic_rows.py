"""Images whose own table says that they were made, not photographed.

A version of real images is what everything is judged on. A synthetic image in it would be tested
on, and its parents' groups are not known here, so that copies would stand on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.ingest.formats.csv import file_column
from core.ingest.layouts import Item, Tree
from core.ingest.rejects import Reject

COLUMN = "source"
"""Column of our export's metadata.csv; its values are ``real`` and ``synthetic``."""
_MADE = "synthetic"


def without_synthetic(tree: Tree, items: Sequence[Item]) -> tuple[list[Item], list[Reject]]:
    """Return the items that no table calls synthetic, and the others as rejects.

    Every table of the archive counts, whatever the layout read the labels from.
    """
    made: dict[str, str] = {}
    for table in tree.tables.values():
        source = table.column(COLUMN)
        rows = [row for row in table.rows if source and row[source].strip().casefold() == _MADE]
        file = file_column(tree, table) if rows else None
        if file is not None:
            made |= {name: table.name for row in rows for name in tree.find(row[file])}
    rejects = [
        Reject(
            item.name,
            "synthetic_image",
            f"{made[item.name]} calls it synthetic, and a dataset that is imported holds real "
            "images only; make it again with the job kind synthesize",
        )
        for item in items
        if item.name in made
    ]
    return [item for item in items if item.name not in made], rejects
