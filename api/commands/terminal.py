"""Output: results on stdout, everything else on stderr, one JSON document with ``--json``."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from pydantic import BaseModel
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

_KEPT = frozenset("\n\t")
WIDTH_OF_FILES = 240


def plain(value: object) -> str:
    """Return text that cannot steer a terminal: no control or direction-changing characters."""
    return "".join(
        c
        if c in _KEPT or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
        else "\ufffd"
        for c in str(value)
    )


def _console(file: TextIO) -> Console:
    """Return a console that leaves texts as they are; a file is wide enough for any table."""
    width = None if file.isatty() else WIDTH_OF_FILES
    return Console(file=file, width=width, markup=False, highlight=False, emoji=False)


class Terminal:
    """Where a command writes."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.out = _console(sys.stdout)
        self.err = _console(sys.stderr)

    @property
    def live(self) -> bool:
        """Tell whether moving bars make sense."""
        return self.err.is_terminal and not self.as_json

    def say(self, text: str) -> None:
        """Tell people something, on stderr; silent with ``--json``."""
        if not self.as_json:
            self.err.print(Text(plain(text)), soft_wrap=True)

    def complain(self, text: str) -> None:
        """Tell what went wrong, on stderr, always."""
        self.err.print(Text(plain(text)), soft_wrap=True)

    def line(self, text: str) -> None:
        """Write one line of result for people."""
        if not self.as_json:
            self.out.print(Text(plain(text)), soft_wrap=True)

    def show(self, thing: RenderableType) -> None:
        """Write a table for people."""
        if not self.as_json:
            self.out.print(thing)

    def document(self, value: Any) -> None:
        """Write the one JSON document, when ``--json`` was given."""
        if self.as_json:
            sys.stdout.write(json.dumps(as_json(value), ensure_ascii=True) + "\n")
            sys.stdout.flush()


def as_json(value: Any) -> Any:
    """Return JSON values for records and containers of them."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, dict):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return str(value)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Return a plain table; cells are text, whatever they hold."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(Text(plain("" if cell is None else cell)) for cell in row))
    return made
