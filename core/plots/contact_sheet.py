"""The contact sheet: sources beside the synthetic images made of them, class by class."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from core.synthesis.contract import Pixels

THUMBNAIL = 112
"""Side of the box that an image is fitted into, in pixels."""

_GAP = 2
_SPACE = 12
_MARGIN = 20
_HEADING = 30
_CAPTION = 18
_MISSING = 8

_PAPER = (255, 255, 255)
_INK = (28, 32, 38)
_QUIET = (98, 106, 118)
_BOX = (236, 238, 241)
_RULE = (214, 218, 224)


@dataclass(frozen=True, slots=True)
class Pair:
    """A source (None when there is no single one), what was made of it, and how, in a word."""

    source: Pixels | None
    synthetic: Pixels
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """The pairs of one class; ``note`` stands beside the label."""

    label: str
    pairs: tuple[Pair, ...]
    note: str = ""


def contact_sheet(rows: Sequence[Row], *, title: str, subtitle: str = "") -> bytes:
    """Draw the rows as one PNG; ValueError when there is no pair at all.

    Images are scaled down with antialiasing, never up beyond the box, aspect kept.
    """
    columns = max((len(row.pairs) for row in rows), default=0)
    if not columns:
        raise ValueError("A contact sheet needs at least one pair")
    pair = 2 * THUMBNAIL + _GAP
    width = max(2 * _MARGIN + columns * (pair + _SPACE) - _SPACE, 560)
    top = _MARGIN + 30 + (24 if subtitle else 0) + 10
    row_height = _HEADING + THUMBNAIL + _CAPTION + 14
    sheet = Image.new("RGB", (width, top + len(rows) * row_height + _MARGIN - 10), _PAPER)
    pen = ImageDraw.Draw(sheet)
    room = width - 2 * _MARGIN
    write_line(pen, (_MARGIN, _MARGIN), title, 22, _INK, room)
    if subtitle:
        write_line(pen, (_MARGIN, _MARGIN + 32), subtitle, 14, _QUIET, room)
    for number, row in enumerate(rows):
        _draw_row(sheet, pen, row, top + number * row_height)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def _draw_row(sheet: Image.Image, pen: ImageDraw.ImageDraw, row: Row, y: int) -> None:
    right = sheet.width - _MARGIN
    pen.line((_MARGIN, y, right, y), fill=_RULE)
    end = write_line(pen, (_MARGIN, y + 7), row.label, 16, _INK, 2 * (right - _MARGIN) // 3)
    write_line(pen, (end + 10, y + 9), row.note, 13, _QUIET, right - end - 10)
    for place, pair in enumerate(row.pairs):
        x = _MARGIN + place * (2 * THUMBNAIL + _GAP + _SPACE)
        _paste(sheet, pen, pair.source, x, y + _HEADING)
        _paste(sheet, pen, pair.synthetic, x + THUMBNAIL + _GAP, y + _HEADING)
        below = (x, y + _HEADING + THUMBNAIL + 3)
        write_line(pen, below, pair.caption, 11, _QUIET, 2 * THUMBNAIL + _GAP)


def _paste(
    sheet: Image.Image, pen: ImageDraw.ImageDraw, pixels: Pixels | None, x: int, y: int
) -> None:
    """Fit an image into its box at (x, y); a dash stands for one that does not exist."""
    pen.rectangle((x, y, x + THUMBNAIL - 1, y + THUMBNAIL - 1), fill=_BOX)
    if pixels is None:
        middle = (x + THUMBNAIL // 2, y + THUMBNAIL // 2)
        pen.line(
            (middle[0] - _MISSING, middle[1], middle[0] + _MISSING, middle[1]), _QUIET, width=2
        )
        return
    image = Image.fromarray(np.ascontiguousarray(pixels)).convert("RGB")
    scale = min(1.0, THUMBNAIL / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    if size != image.size:
        image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    sheet.paste(image, (x + (THUMBNAIL - size[0]) // 2, y + (THUMBNAIL - size[1]) // 2))


def write_line(
    pen: ImageDraw.ImageDraw,
    place: tuple[int, int],
    text: str,
    size: int,
    colour: tuple[int, int, int],
    room: int,
) -> int:
    """Write one line, shortened with an ellipsis to ``room`` pixels; return where it ends."""
    font = ImageFont.load_default(size)
    line = " ".join("".join(c if c.isprintable() else " " for c in text[:400]).split())
    if pen.textlength(line, font) > room:
        while line and pen.textlength(line + "…", font) > room:
            line = line[:-1]
        line += "…"
    pen.text(place, line, fill=colour, font=font)
    return place[0] + round(pen.textlength(line, font))
