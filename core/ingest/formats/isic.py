"""ISIC challenges and archive downloads: ground truth as one column a class, or as a diagnosis."""

from __future__ import annotations

from collections.abc import Callable

from core.ingest.layouts import Assignment, Item, LayoutOptions, RowAssigner, Tree, layout
from core.ingest.layouts import require_table as require
from core.ingest.metadata import MetadataReader
from core.ingest.tables import Row, Table

_CLASSES = ("MEL", "NV", "BCC", "AK", "AKIEC", "BKL", "DF", "VASC", "SCC", "UNK")
_IMAGES = ("isic_id", "image_name", "image")
_BINARY = ("benign_malignant", "target")
_DIAGNOSES = ("diagnosis", "diagnosis_1", "benign_malignant", "target")


def _one_hot(table: Table) -> list[str]:
    return [column for name in _CLASSES if (column := table.column(name)) is not None]


def _is_truth(table: Table) -> bool:
    if table.column(*_IMAGES) is None:
        return False
    if len(_one_hot(table)) >= 2:
        return True
    named = table.column("isic_id", "image_name") is not None
    return named and table.column(*_DIAGNOSES) is not None


def _detect(tree: Tree) -> int:
    return 85 if any(_is_truth(t) for t in tree.tables.values()) else 0


@layout("isic", _detect)
def isic(tree: Tree, options: LayoutOptions) -> Assignment:
    """ISIC challenges and archive downloads; metadata tables beside the ground truth are joined."""
    truths = [t for t in tree.tables.values() if _is_truth(t)]
    wanted = options.label_column
    if wanted:
        truths = [t for t in truths if t.has(wanted)] or truths
    table = max(truths, key=lambda t: len(t.rows)) if truths else require(tree, "isic", "image")
    read_label = _label_reader(table, wanted)
    image = table.column(*_IMAGES) or table.require("image", "")
    local = options if _has(table, options.group_column) else LayoutOptions(wanted)
    rows = RowAssigner(tree, table, local)
    for row in table.rows:
        rows.add(row, row[image], read_label(row), {})
    return _joined(rows.finish(), tree, table, options)


def _label_reader(table: Table, wanted: str | None) -> Callable[[Row], str]:
    one_hot = _one_hot(table)
    if wanted:
        chosen = table.require(wanted, "/label_column")
        return lambda row: row[chosen]
    if len(one_hot) >= 2:
        return lambda row: _hottest(row, one_hot)
    # the challenges of 2020 and 2024 are binary; their diagnoses are mostly "unknown"
    order = _BINARY if table.has("target") else _DIAGNOSES
    column = table.column(*order) or table.require(order[0], "/label_column")
    if column.casefold() == "target":
        return lambda row: {"0": "benign", "1": "malignant"}.get(row[column][:1], "")
    return lambda row: row[column]


def _hottest(row: Row, columns: list[str]) -> str:
    """Return the class whose column is 1; none when no or several columns are."""
    hot = [column.lower() for column in columns if row[column] in ("1", "1.0")]
    return hot[0] if len(hot) == 1 else ""


def _has(table: Table, column: str | None) -> bool:
    return column is not None and table.column(column) is not None


def _joined(answer: Assignment, tree: Tree, truth: Table, options: LayoutOptions) -> Assignment:
    """Add what other tables with an image column say about the same images."""
    group_found = options.group_column is None or _has(truth, options.group_column)
    extra: dict[str, dict[str, object]] = {}
    for name, table in tree.tables.items():
        image = table.column(*_IMAGES)
        if table is truth or image is None:
            continue
        here = _has(table, options.group_column)
        group_found |= here
        reader = MetadataReader(table, options.group_column if here else None)
        for row in table.rows:
            for file in tree.find(row[image]):
                extra.setdefault(file, {}).update(reader.read(row))
        answer.tables_used.add(name)
    if not group_found:
        truth.require(str(options.group_column), "/group_column")
    answer.items = [
        Item(i.name, i.label, extra.get(i.name, {}) | i.metadata, i.annotations)
        for i in answer.items
    ]
    return answer
