"""Masks as squares: where their image stands, with the padding told apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.errors import InvalidInput
from core.features.preprocess import square
from core.learning.segmentation.samples import LESION, OUTSIDE, PADDING, mask_square, read_mask
from tests.unit.jobs.inline import InlineRunner
from tests.unit.learning.segmentation.discs import disc, masked


@pytest.mark.parametrize("shape", [(48, 48), (30, 48), (48, 20), (96, 70), (7, 500)])
def test_a_mask_lies_on_the_pixels_of_its_lesion(shape: tuple[int, int]) -> None:
    pixels, mask = disc(4, height=shape[0], width=shape[1])
    marked = np.where(mask[..., None] > 0, 255, 0).astype(np.uint8).repeat(3, axis=2)
    found = mask_square(mask, 48)
    seen = square(marked, 48)[..., 0] >= 128
    own = found != PADDING
    assert np.array_equal(found[own] == LESION, seen[own])
    assert square(pixels, 48).shape[:2] == found.shape
    rows, columns = np.nonzero(own)
    assert (np.ptp(rows) + 1) * (np.ptp(columns) + 1) == own.sum()
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 48


def test_an_empty_mask_is_outside_everywhere() -> None:
    assert set(np.unique(mask_square(np.zeros((20, 48), np.uint8), 48))) == {OUTSIDE, PADDING}


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    runner = InlineRunner(tmp_path)
    wrong = masked(runner, 1, "mole", np.zeros((10, 10), np.uint8))
    with pytest.raises(InvalidInput, match="10 x 10") as caught:
        read_mask(runner.store.find, wrong)
    assert caught.value.code == "mask_size"
