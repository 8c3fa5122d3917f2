"""Cells of exported tables that a spreadsheet must not run as formulas."""

from __future__ import annotations

import re

_FORMULA = re.compile(r"\s*[=+\-@\t\r\n]|\s*[＝＋－＠]")
_INNER = re.compile(r"([;|\t\r\n][\s\"]*)(?=([=+\-@＝＋－＠][^;|\t\r\n]*))")
"""What stands after a character at which a spreadsheet may be set to divide cells."""
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


def safe_cell(value: object) -> str:
    """Return the text of a cell, neutralised against CSV injection (OWASP).

    Text that a spreadsheet would read as a formula gets a leading apostrophe, also behind what
    another separator than ours would divide at: quotes do not help there, for a quote within a cell
    is text. Plain numbers, negative ones included, stay as they are; None is the empty cell.
    """
    if value is None:
        return ""
    text = _INNER.sub(_neutral, str(value))
    if _FORMULA.match(text) and not _NUMBER.fullmatch(text):
        return f"'{text}"
    return text


def _neutral(found: re.Match[str]) -> str:
    return found[1] if _NUMBER.fullmatch(found[2].strip()) else f"{found[1]}'"
