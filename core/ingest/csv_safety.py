"""Cells of exported tables that a spreadsheet must not run as formulas."""

from __future__ import annotations

import re

_FORMULA = re.compile(r"\s*[=+\-@\t\r\n]|\s*[＝＋－＠]")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


def safe_cell(value: object) -> str:
    """Return the text of a cell, neutralised against CSV injection (OWASP).

    Text that a spreadsheet would read as a formula gets a leading apostrophe; plain numbers,
    negative ones included, stay as they are; None is the empty cell.
    """
    if value is None:
        return ""
    text = str(value)
    if _FORMULA.match(text) and not _NUMBER.fullmatch(text):
        return f"'{text}"
    return text
