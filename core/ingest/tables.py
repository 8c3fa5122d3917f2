"""Tables in an archive (CSV, TSV) as rows of text, whatever their encoding and separator."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from core.errors import FieldError, InvalidInput

Row = dict[str, str]
_SEPARATORS = ",;\t|"
_LONGEST_CELL = 4 * 1024**2


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a header; rows hold every column, missing cells as empty text."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def column(self, *names: str) -> str | None:
        """Return the first of these columns that the table has; case and outer blanks are free."""
        known = {column.casefold(): column for column in self.columns}
        found = (known.get(name.strip().casefold()) for name in names)
        return next((column for column in found if column is not None), None)

    def has(self, *names: str) -> bool:
        return all(self.column(name) is not None for name in names)

    def require(self, name: str, pointer: str) -> str:
        """Return a column that the user named; InvalidInput ``unknown_column`` lists them all."""
        column = self.column(name)
        if column is None:
            raise unknown_column(name, self.columns, pointer, self.name)
        return column


def unknown_column(
    name: str, columns: Sequence[str], pointer: str, where: str = "the dataset"
) -> InvalidInput:
    known = ", ".join(columns) or "none"
    detail = f"There is no column {name!r} in {where}; its columns are: {known}"
    return InvalidInput(
        detail,
        code="unknown_column",
        errors=[FieldError(pointer, detail)],
        extra={"columns": list(columns)},
    )


def parse_table(name: str, data: bytes) -> Table:
    """Parse a table: UTF-8 or UTF-16 with or without mark, else Windows-1252; InvalidInput
    ``bad_table`` when it cannot be one.
    """
    text = _text(data).replace("\0", "")
    header = text.lstrip().split("\n", 1)[0]
    separator = max(_SEPARATORS, key=header.count)
    csv.field_size_limit(_LONGEST_CELL)
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    except csv.Error as error:
        raise InvalidInput(f"The table {name} cannot be read: {error}", code="bad_table") from error
    filled = [line for line in lines if any(cell.strip() for cell in line)]
    if not filled:
        return Table(name, (), ())
    columns = _unique(cell.strip() for cell in filled[0])
    rows = tuple(_row(columns, line) for line in filled[1:])
    return Table(name, columns, rows)


def _text(data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    """Give repeated and empty column names a number, so that no cell hides another."""
    seen: dict[str, None] = {}
    for index, name in enumerate(names):
        free = name or f"column_{index + 1}"
        while free in seen:
            free = f"{free}_{index + 1}"
        seen[free] = None
    return tuple(seen)


def _row(columns: tuple[str, ...], line: list[str]) -> Row:
    cells = [cell.strip() for cell in line[: len(columns)]]
    cells += [""] * (len(columns) - len(cells))
    return dict(zip(columns, cells, strict=True))
