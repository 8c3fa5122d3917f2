"""The sheet of outlines: true and predicted, on the best, the median and the worst images."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from core.features.preprocess import placement
from core.plots.contact_sheet import write_line
from core.synthesis.contract import Pixels

EACH = 4
"""Most images of a row."""
BOX = 230
"""Side of the box that an image is fitted into, pixels."""

TRUE, PREDICTED = (255, 255, 255), (0, 160, 255)
_GAP, _MARGIN, _CAPTION, _HEADING = 14, 20, 22, 30
_PAPER, _INK, _QUIET = (255, 255, 255), (28, 32, 38), (98, 106, 118)


@dataclass(frozen=True, slots=True)
class Outlined:
    """An image, its true mask (H x W, at least 128 inside), the network's (s x s of 0 and 1)."""

    pixels: Pixels
    mask: NDArray[np.uint8]
    predicted: NDArray[np.uint8]
    dice: float
    label: str


def chosen(dice: NDArray[np.float64]) -> dict[str, list[int]]:
    """Return rows of the best, median and worst images, EACH of them or a third; none twice."""
    order = np.argsort(-dice, kind="stable").tolist()
    each = max(1, min(EACH, len(order) // 3))
    start = max(each, (len(order) - each) // 2)
    rows = {"Best": order[:each], "Median": order[start : start + each]}
    rest = order[start + each :]
    return rows | {"Worst": rest[-each:]}


def overlay_sheet(rows: Mapping[str, Sequence[Outlined]], *, arm: str, images: int) -> bytes:
    """Draw the rows as one PNG; images: how many were tested."""
    columns = max(len(row) for row in rows.values())
    width = max(2 * _MARGIN + columns * (BOX + _GAP) - _GAP, 640)
    top, height = 96, _HEADING + BOX + _CAPTION + _GAP
    shown = {name: row for name, row in rows.items() if row}
    sheet = Image.new("RGB", (width, top + len(shown) * height + _MARGIN), _PAPER)
    pen, room = ImageDraw.Draw(sheet), width - 2 * _MARGIN
    title = f"Outlines of the arm {arm} on held-out real images"
    write_line(pen, (_MARGIN, _MARGIN), title, 22, _INK, room)
    told = f"By Dice, of {images} images: the thin white line is true, the blue one predicted"
    write_line(pen, (_MARGIN, _MARGIN + 32), told, 14, _QUIET, room)
    for number, (name, row) in enumerate(shown.items()):
        y = top + number * height
        write_line(pen, (_MARGIN, y), name, 16, _INK, room)
        for place, one in enumerate(row):
            x = _MARGIN + place * (BOX + _GAP)
            sheet.paste(_drawn(one), (x, y + _HEADING))
            caption = f"Dice {one.dice:.3f} · {one.label}"
            write_line(pen, (x, y + _HEADING + BOX + 4), caption, 13, _QUIET, BOX)
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def _drawn(one: Outlined) -> Image.Image:
    """Return the image in its box with both outlines."""
    height, width = one.mask.shape
    scale = BOX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    pixels = one.pixels if one.pixels.ndim == 3 else np.repeat(one.pixels[..., None], 3, axis=2)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    scaled = cv2.resize(np.ascontiguousarray(pixels), size, interpolation=method)
    canvas = np.array(scaled, np.uint8)
    rows, columns = placement(height, width, len(one.predicted))
    predicted = one.predicted[rows, columns].astype(np.float32)
    truth = one.mask.astype(np.float32) / 255
    for mask, colour, thick in ((predicted, PREDICTED, 3), (truth, TRUE, 1)):
        inside = cv2.resize(mask, size, interpolation=cv2.INTER_LINEAR) >= 0.5
        _outline(canvas, inside, colour, thick)
    box = Image.new("RGB", (BOX, BOX), (236, 238, 241))
    box.paste(Image.fromarray(canvas), ((BOX - size[0]) // 2, (BOX - size[1]) // 2))
    return box


def _outline(
    canvas: NDArray[np.uint8], inside: NDArray[np.bool_], colour: tuple[int, int, int], thick: int
) -> None:
    whole = inside.astype(np.uint8)
    found, _ = cv2.findContours(whole, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(canvas, found, -1, colour, thick, cv2.LINE_AA)
