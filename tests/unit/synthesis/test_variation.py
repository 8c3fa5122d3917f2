"""Light, tone and geometry of a transplant."""

from __future__ import annotations

import numpy as np
import pytest

from core.synthesis.skin_field import to_log, to_pixels
from core.synthesis.variation import bend, placement, relight, shift_tone, warp
from tests.unit.synthesis.lesions import skin

STEP = {"exposure": 0.0, "balance": [0.0, 0.0, 0.0], "slope": [0.0, 0.0]}


def test_no_change_of_light_changes_nothing() -> None:
    log = to_log(skin())
    assert np.array_equal(relight(log, STEP), log)


def test_light_changes_by_what_was_drawn() -> None:
    log = to_log(skin()) - 1
    lit = relight(log, STEP | {"exposure": 0.3, "slope": [0.2, 0.0], "balance": [0.1, 0.0, 0.0]})
    change = lit - log
    assert change[..., 1].mean() == pytest.approx(0.3, abs=1e-4)
    assert (change[:, -1, 1] - change[:, 0, 1]).mean() == pytest.approx(0.2, abs=1e-4)
    assert (change[..., 0] - change[..., 1]).mean() == pytest.approx(0.1, abs=1e-4)


def test_an_exposure_never_blows_the_skin_out() -> None:
    bright = relight(to_log(skin(tone=(235, 215, 205))), STEP | {"exposure": 0.9})
    assert (to_pixels(bright) == 255).mean() < 0.02
    dark = relight(to_log(skin(tone=(100, 70, 60))), STEP | {"exposure": 0.9})
    assert dark.mean() - to_log(skin(tone=(100, 70, 60))).mean() == pytest.approx(0.9, abs=1e-3)


def test_melanin_darkens_blue_most_and_red_least() -> None:
    change = shift_tone(np.zeros((1, 1, 3), np.float32), 0.3, 0.0)[0, 0]
    assert change[2] < change[1] < change[0] < 0


def test_a_placement_turns_about_the_centre_and_keeps_the_scale() -> None:
    matrix = placement((10, 20), (50, 60), 1.5, 30, flip=True)
    assert matrix @ np.array([10, 20, 1]) == pytest.approx([50, 60])
    assert np.linalg.det(matrix[:, :2]) == pytest.approx(-(1.5**2))


def test_a_warp_moves_an_image_to_where_its_matrix_says() -> None:
    image = np.zeros((40, 40), np.float32)
    image[18:23, 8:13] = 1
    still = (np.zeros((60, 60), np.float32),) * 2
    (moved,) = warp((image,), placement((10, 20), (45, 15), 1.0, 90, flip=False), (60, 60), still)
    rows, columns = np.nonzero(moved > 0.5)
    assert (columns.mean(), rows.mean()) == pytest.approx((45, 15), abs=0.2)
    assert moved.sum() == pytest.approx(25, rel=0.05)


def test_a_border_bends_by_its_strength_the_same_for_the_same_seed() -> None:
    first, second = bend((90, 120), 3.0, 5), bend((90, 120), 3.0, 5)
    assert np.array_equal(first, second)
    assert 1 < np.std(first) < 4
    assert not np.array_equal(first, bend((90, 120), 3.0, 6))
