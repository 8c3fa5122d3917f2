"""Squares keep the aspect, are antialiased and padded with the border's colour."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.features.preprocess import NOISE, border_median, dihedral, square, view
from core.learning.arms import NOISE_VIEW


@settings(deadline=None)
@given(
    st.integers(1, 90), st.integers(1, 90), st.booleans(), st.integers(2, 32), st.integers(0, 255)
)
def test_any_shape_becomes_a_square_and_a_flat_colour_stays(
    height: int, width: int, grey: bool, size: int, value: int
) -> None:
    shape = (height, width) if grey else (height, width, 3)
    result = square(np.full(shape, value, np.uint8), size)
    assert result.shape == (size, size, 3)
    assert result.dtype == np.uint8
    assert (result == value).all()


def test_aspect_is_kept_and_the_rest_is_the_border_colour() -> None:
    pixels = np.full((40, 80, 3), 10, np.uint8)
    pixels[10:30, 20:60] = 250
    result = square(pixels, 40)
    assert (result[:10] == 10).all()
    assert (result[-10:] == 10).all()
    rows, columns = np.where(result[:, :, 0] > 128)
    assert (int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1) == (10, 20)


def test_shrinking_averages() -> None:
    board = (np.indices((65, 65)).sum(axis=0) % 2 * 255).astype(np.uint8)
    result = square(board, 13)
    assert np.abs(result.astype(int) - 127).max() <= 6


def test_border_median_ignores_the_inside() -> None:
    pixels = np.zeros((9, 9, 3), np.uint8)
    pixels[1:-1, 1:-1] = 255
    assert border_median(pixels).tolist() == [0, 0, 0]


def test_dihedral_views_are_the_eight_symmetries() -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    views = [dihedral(pixels, view) for view in range(8)]
    assert len({(v.shape, v.tobytes()) for v in views}) == 8
    assert np.array_equal(views[0], pixels)
    assert np.array_equal(views[1], np.rot90(pixels))
    assert np.array_equal(views[4], pixels[:, ::-1])
    with pytest.raises(ValueError, match=r"0\.\.7"):
        dihedral(pixels, 8)


def test_the_noise_of_an_image_has_its_size_and_nothing_else_of_it() -> None:
    pixels = np.full((40, 60, 3), 90, dtype=np.uint8)
    noise = view(pixels, NOISE, b"a")
    assert noise.shape == pixels.shape
    assert noise.dtype == np.uint8
    assert 120 < noise.mean() < 135
    assert np.array_equal(noise, view(np.zeros_like(pixels), NOISE, b"a"))
    assert not np.array_equal(noise, view(pixels, NOISE, b"b"))
    assert np.array_equal(view(pixels, 3, b"a"), dihedral(pixels, 3))
    assert NOISE == NOISE_VIEW
