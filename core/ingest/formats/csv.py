"""Generic table: one column names the file, one the label."""

from __future__ import annotations

from core.errors import InvalidInput
from core.ingest.layouts import Assignment, LayoutOptions, RowAssigner, Tree, layout
from core.ingest.tables import Table, unknown_column

FILE_COLUMNS = (
    "filename",
    "file_name",
    "file",
    "filepath",
    "file_path",
    "path",
    "image_path",
    "image",
    "image_id",
    "image_name",
    "isic_id",
    "img",
    "name",
    "id",
)
LABEL_COLUMNS = ("label", "class", "diagnosis", "dx", "target", "category", "y")
_SAMPLE = 50


def file_column(tree: Tree, table: Table) -> str | None:
    """Return the column whose cells name files: by its own name first, else by its content."""
    named = [c for n in FILE_COLUMNS if (c := table.column(n)) is not None]
    for column in (*named, *table.columns):
        sample = [row[column] for row in table.rows[:_SAMPLE] if row[column]]
        if sample and sum(bool(tree.find(cell)) for cell in sample) * 2 >= len(sample):
            return column
    for column in named:
        if any(tree.find(row[column]) for row in table.rows):
            return column
    return None


def label_table(tree: Tree, options: LayoutOptions) -> tuple[Table, str, str]:
    """Return the table of the labels, its file column and its label column.

    InvalidInput ``unknown_column`` when no table has the label column; ``missing_table`` when no
    table names any file.
    """
    fitting = [(t, c) for t in tree.tables.values() if (c := file_column(tree, t)) is not None]
    if not fitting:
        raise InvalidInput(
            "No table of the archive has a column that names its files",
            code="missing_table",
            extra={"columns": {name: list(t.columns) for name, t in tree.tables.items()}},
        )
    wanted = (options.label_column,) if options.label_column else LABEL_COLUMNS
    for table, column in fitting:
        label = table.column(*wanted)
        if label is not None:
            return table, column, label
    table = fitting[0][0]
    raise unknown_column(
        options.label_column or LABEL_COLUMNS[0], table.columns, "/label_column", table.name
    )


def _detect(tree: Tree) -> int:
    for table in tree.tables.values():
        if file_column(tree, table) is None:
            continue
        flat = len({name.rpartition("/")[0] for name in tree.files}) <= 1
        if table.column(*LABEL_COLUMNS) or flat:
            return 50
    return 0


@layout("csv", _detect)
def csv(tree: Tree, options: LayoutOptions) -> Assignment:
    """Images and a table with a file column and a label column."""
    table, file, label = label_table(tree, options)
    rows = RowAssigner(tree, table, options)
    for row in table.rows:
        rows.add(row, row[file], row[label], {})
    return rows.finish()
