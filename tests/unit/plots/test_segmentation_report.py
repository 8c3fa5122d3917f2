"""The page and the sheet of outlines of a segmentation experiment."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from core.plots.overlays import BOX, EACH, PREDICTED, Outlined, chosen, overlay_sheet
from core.plots.segmentation_report import headline, segmentation_report
from tests.unit.learning.segmentation.discs import disc
from tests.unit.learning.segmentation.test_verdict import document, scores

DATASET = {"dataset_name": "<b>ward</b>", "licence": "CC0-1.0", "group_basis": "patient"}


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_the_sheet_never_shows_the_best_alone(dice: list[float]) -> None:
    values = np.array(dice)
    rows = chosen(values)
    shown = [i for own in rows.values() for i in own]
    assert len(shown) == len(set(shown))
    assert rows["Best"]
    assert min(values[rows["Best"]]) >= max([values[i] for i in rows["Worst"]], default=0)
    if len(dice) >= 3:
        assert len(rows["Best"]) == len(rows["Median"]) == len(rows["Worst"]) <= EACH
        assert values[rows["Worst"]].min() == values.min()
        assert values[rows["Best"]].max() == values.max()


def outlined(number: int, dice: float) -> Outlined:
    pixels, mask = disc(number, height=80, width=120)
    predicted = np.zeros((48, 48), np.uint8)
    predicted[20:30, 20:30] = 1
    return Outlined(pixels, mask, predicted, dice, "mole")


def test_both_outlines_are_drawn_where_they_are() -> None:
    rows = {"Best": [outlined(1, 0.9)], "Median": [outlined(2, 0.7)], "Worst": [outlined(3, 0.1)]}
    sheet = Image.open(io.BytesIO(overlay_sheet(rows, arm="combined", images=9)))
    pixels = np.asarray(sheet.convert("RGB")).astype(int)
    blue = np.abs(pixels - np.array(PREDICTED)).sum(axis=2) < 60
    found = np.argwhere(blue[: 96 + 30 + BOX])
    middle = found.mean(axis=0) - (96 + 30, 20)
    assert np.abs(middle - 25 / 48 * BOX).max() < 8
    assert sheet.height > 3 * BOX


@pytest.mark.parametrize(
    ("combined", "told"), [(0.8, "help to outline"), (0.6, "hurt"), (0.7, "no evidence")]
)
def test_the_page_says_what_was_found(combined: float, told: str) -> None:
    found = document(scores({"real": 0.7, "combined": combined, "synthetic": 0.4}))
    page = segmentation_report(found, DATASET, {})
    assert told in page
    assert "<b>ward</b>" not in page
    assert "Synthetic only, tested on real" in page
    assert "http" not in page.replace("http-equiv", "")


def test_what_cannot_be_estimated_is_named() -> None:
    found: dict[str, Any] = document(scores({"real": 0.7}, groups=10))
    page = segmentation_report(found, DATASET, {})
    assert "cannot be estimated" in page
    assert "No difference could be estimated" in page
    assert "nothing is said" in headline(found["primary"], found["arms"][:1])
