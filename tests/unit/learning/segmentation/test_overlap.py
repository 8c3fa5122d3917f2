"""Dice and IoU: against definitions, their relation, and at the image's own size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.learning.segmentation.overlap import SCORED, Overlap, compare, overlap

MASKS = st.lists(st.booleans(), min_size=24, max_size=24).map(
    lambda bits: np.array(bits).reshape(4, 6)
)


@settings(deadline=None)
@given(MASKS, MASKS)
def test_dice_and_iou_are_those_of_sets(first: np.ndarray, second: np.ndarray) -> None:
    found = overlap(first, second)
    a, b = set(np.flatnonzero(first).tolist()), set(np.flatnonzero(second).tolist())
    if a | b:
        assert found.dice == pytest.approx(2 * len(a & b) / (len(a) + len(b)))
        assert found.iou == pytest.approx(len(a & b) / len(a | b))
    assert found.dice == pytest.approx(2 * found.iou / (1 + found.iou))
    assert found.pixels == 24


def test_two_empty_masks_agree_and_one_does_not() -> None:
    assert Overlap(0, 0, 0, 9).dice == Overlap(0, 0, 0, 9).iou == 1
    assert Overlap(0, 3, 0, 9).dice == Overlap(0, 0, 3, 9).iou == 0


def test_a_square_is_compared_where_the_image_stands_in_it() -> None:
    mask = np.zeros((60, 120), np.uint8)
    mask[:, :60] = 255
    chances = np.zeros((48, 48), np.float32)
    chances[:, :24] = 1  # the padding above and below is marked as well: it counts nowhere
    found = compare(chances, mask)
    assert found.pixels == 60 * 120
    assert found.dice > 0.99


def test_a_huge_mask_is_compared_at_a_bounded_size() -> None:
    mask = np.full((10, 3 * SCORED), 255, np.uint8)
    found = compare(np.ones((32, 32), np.float32), mask)
    assert found.pixels == SCORED * 3
    assert found.iou == 1
