"""What a layout is: how the files and tables of a dataset say which image has which label."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from core.errors import InvalidInput
from core.ingest.metadata import MetadataReader, present
from core.ingest.names import bare, collision_key, stem
from core.ingest.rejects import Reject
from core.ingest.tables import Row, Table
from core.registry import Registry

GroupBasis = Literal["patient", "lesion", "image"]
MAX_LABEL = 200


@dataclass(frozen=True, slots=True)
class LayoutOptions:
    """What the user said about the tables; None leaves it to the layout."""

    label_column: str | None = None
    group_column: str | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One image to be read: its file, label and metadata, and files that annotate it."""

    name: str
    label: str
    metadata: dict[str, Any] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Assignment:
    """What a layout made of a tree: every file is an item, an annotation or a reject."""

    items: list[Item] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    tables_used: set[str] = field(default_factory=set)


class Tree:
    """The files and tables of an archive, found by whatever the tables call them."""

    def __init__(self, files: Iterable[str], tables: Mapping[str, Table]) -> None:
        self.files = tuple(files)
        self.tables = dict(tables)
        self._by_base: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for name in self.files:
            key = collision_key(name)
            self._by_base[key.rpartition("/")[2]].append(name)
            self._by_stem[stem(key)].append(name)

    def find(self, reference: str) -> list[str]:
        """Return the files that a cell names: by path, by file name, or without extension.

        A path in the cell must be the end of the file's path, so wrapper folders do not matter.
        """
        wanted = collision_key(reference.strip().replace("\\", "/").removeprefix("./")).lstrip("/")
        if not wanted:
            return []
        base = wanted.rsplit("/", 1)[-1]
        whole = [n for n in self._by_base.get(base, ()) if _ends(collision_key(n), wanted)]
        if whole:
            return whole
        return [n for n in self._by_stem.get(base, ()) if _ends(bare(collision_key(n)), wanted)]


@dataclass(frozen=True, slots=True)
class Layout:
    """A registered layout; ``detect`` says how well it fits, 0 (not at all) to 100."""

    name: str
    detect: Callable[[Tree], int]
    assign: Callable[[Tree, LayoutOptions], Assignment]
    summary: str


LAYOUTS: Registry[Layout] = Registry("layout", "core.ingest.formats")


def layout(
    name: str, detect: Callable[[Tree], int]
) -> Callable[
    [Callable[[Tree, LayoutOptions], Assignment]], Callable[[Tree, LayoutOptions], Assignment]
]:
    """Register a function as a layout; its docstring's first line is the summary."""

    def register(
        assign: Callable[[Tree, LayoutOptions], Assignment],
    ) -> Callable[[Tree, LayoutOptions], Assignment]:
        summary = (assign.__doc__ or "").strip().splitlines()[0]
        LAYOUTS.add(name, Layout(name, detect, assign, summary))
        return assign

    return register


def choose(tree: Tree, name: str) -> Layout:
    """Return the named layout, or for ``auto`` the one that fits best (first by name when tied)."""
    if name != "auto":
        return LAYOUTS.get(name, "/layout")
    return max(((entry.detect(tree), entry) for _, entry in LAYOUTS), key=lambda pair: pair[0])[1]


def clean_label(text: str) -> str | None:
    """Return a label on one line; None when it is empty. Long ones are cut at 200 characters."""
    label = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return label[:MAX_LABEL] or None


def require_table(tree: Tree, layout_name: str, *columns: str) -> Table:
    """Return the table with these columns, the longest when several have them."""
    fitting = [t for t in tree.tables.values() if t.has(*columns)]
    if not fitting:
        raise InvalidInput(
            f"The layout {layout_name} needs a table with the columns {', '.join(columns)}",
            code="missing_table",
            extra={"columns": {name: list(t.columns) for name, t in tree.tables.items()}},
        )
    return max(fitting, key=lambda t: len(t.rows))


class RowAssigner:
    """Assigns the rows of a table to files; what no row names is rejected ``no_label``."""

    def __init__(self, tree: Tree, table: Table, options: LayoutOptions) -> None:
        self._tree = tree
        self._table = table
        self._metadata = MetadataReader(table, options.group_column)
        self._items: dict[str, Item] = {}
        self._conflicts: dict[str, tuple[str, str]] = {}
        self._unlabelled: set[str] = set()
        self._repeated: set[str] = set()
        self._fileless: list[str] = []

    def add(self, row: Row, reference: str, label: str, extra: Mapping[str, Any]) -> None:
        """Give the label of a row to the files it names."""
        files = self._tree.find(reference)
        if not files:
            self._fileless.append(reference)
            return
        cleaned = clean_label(present(label) or "")
        for name in files:
            if cleaned is None:
                self._unlabelled.add(name)
                continue
            known = self._items.get(name)
            if known is not None:
                self._repeated.add(name)
                if known.label != cleaned:
                    self._conflicts[name] = (known.label, cleaned)
                continue
            self._items[name] = Item(name, cleaned, self._metadata.read(row) | dict(extra))

    def finish(self) -> Assignment:
        """Return items in file order, rejects and warnings."""
        answer = Assignment(tables_used={self._table.name})
        for name in self._tree.files:
            item = self._items.get(name)
            if name in self._conflicts:
                one, two = self._conflicts[name]
                answer.rejects.append(
                    Reject(name, "conflicting_label", f"Rows say both {one!r} and {two!r}")
                )
            elif item is not None:
                answer.items.append(item)
            else:
                why = "Its row has no label" if name in self._unlabelled else "No row names it"
                answer.rejects.append(Reject(name, "no_label", f"{why} ({self._table.name})"))
        if self._fileless:
            answer.warnings.append(
                f"rows_without_file: {len(self._fileless)} rows of {self._table.name} name no file "
                f"of the archive, first {self._fileless[0][:100]!r}"
            )
        if self._repeated:
            answer.warnings.append(
                f"duplicate_rows: {len(self._repeated)} images have more than one row in "
                f"{self._table.name}; the first counts"
            )
        return answer


def _ends(path: str, wanted: str) -> bool:
    return path == wanted or path.endswith(f"/{wanted}")
