"""The contact sheet: every pair is on it, nothing runs over the edge."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from core.plots.contact_sheet import Pair, Row, contact_sheet

RED = np.full((200, 100, 3), (255, 0, 0), np.uint8)
GREEN = np.full((50, 50, 3), (0, 255, 0), np.uint8)
GREY = np.full((80, 90), 77, np.uint8)


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def counted(data: bytes, colour: tuple[int, int, int]) -> int:
    return int((np.asarray(opened(data)) == colour).all(axis=2).sum())


def test_every_image_is_shown_in_its_colours_and_aspect() -> None:
    rows = [Row("mel", (Pair(RED, GREEN),) * 2), Row("nv", (Pair(GREY, GREY),))]
    data = contact_sheet(rows, title="A title")
    assert counted(data, (255, 0, 0)) == 2 * 112 * 56
    assert counted(data, (0, 255, 0)) == 2 * 50 * 50
    assert counted(data, (77, 77, 77)) == 2 * 80 * 90


def test_a_missing_source_is_a_dash() -> None:
    with_source = contact_sheet([Row("mel", (Pair(RED, GREEN),))], title="t")
    without = contact_sheet([Row("mel", (Pair(None, GREEN),))], title="t")
    assert counted(with_source, (255, 0, 0)) > 0
    assert counted(without, (255, 0, 0)) == 0
    assert opened(without).size == opened(with_source).size


def test_long_and_hostile_text_stays_on_the_sheet() -> None:
    text = "x" * 5000 + "\n\x00\u202e<script>"
    row = Row(text, (Pair(RED, GREEN, text),), note=text)
    image = np.asarray(opened(contact_sheet([row], title=text, subtitle=text)))
    assert (image[:, -10:] == 255).all()
    assert image.shape[1] < 700


def test_the_same_rows_give_the_same_bytes() -> None:
    rows = [Row("mel", (Pair(RED, GREEN, "flip"),))]
    assert contact_sheet(rows, title="t") == contact_sheet(rows, title="t")
    assert contact_sheet(rows, title="t") != contact_sheet(rows, title="u")


def test_extreme_shapes_are_shown() -> None:
    line = np.zeros((1, 3000, 3), np.uint8)
    assert contact_sheet([Row("a", (Pair(line, line[:, :1]),))], title="t").startswith(b"\x89PNG")


def test_nothing_to_show_is_an_error() -> None:
    for rows in ([], [Row("mel", ())]):
        with pytest.raises(ValueError, match="at least one pair"):
            contact_sheet(rows, title="t")
