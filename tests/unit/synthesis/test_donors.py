"""Segmentation, its quality, and what is left out with which reason."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from core.errors import InvalidInput
from core.synthesis import mask_quality
from core.synthesis.donors import (
    Lesion,
    bounds,
    donor_reason,
    find_lesion,
    free_square,
    healthy_facts,
    lit,
    skin_around,
    target_reason,
)
from core.synthesis.mask_quality import dice, quality, traits
from core.synthesis.segmentation import segment
from core.synthesis.skin_field import describe_skin
from tests.unit.synthesis.lesions import SIDE, drawn, skin


def spot(side: int = 200, at: tuple[int, int] = (100, 100), radius: int = 40) -> tuple[Any, Any]:
    """Return skin with a brown disc, and where the disc is."""
    pixels = skin(side).copy()
    mask = np.zeros((side, side), np.uint8)
    cv2.circle(mask, at, radius, 255, -1)
    pixels[mask > 0] = pixels[mask > 0] // 2
    return cv2.GaussianBlur(pixels, (0, 0), 1.5), mask


@pytest.mark.parametrize("side", [120, 200, 640])
def test_a_spot_is_found_at_every_size(side: int) -> None:
    pixels, mask = spot(side, (side // 2, side // 2), side // 5)
    found = find_lesion(pixels, None, None, automatic=True)
    assert found.reason is None
    assert found.origin == "segmented"
    assert found.mask.shape == (side, side)
    assert dice(found.mask, mask > 0) > 0.93


def test_the_same_pixels_give_the_same_mask() -> None:
    pixels, _ = drawn(1, "mel")
    first, second = segment(pixels), segment(pixels)
    assert np.array_equal(first.inside, second.inside)
    assert traits(first) == traits(second)


def test_quality_is_higher_for_a_spot_than_for_skin_without_one() -> None:
    pixels, _ = spot()
    assert quality(traits(segment(pixels))) > 0.9
    assert quality(traits(segment(skin(200)))) < mask_quality.ACCEPTED
    assert find_lesion(skin(200), None, None, automatic=True).reason is not None


def test_quality_stays_within_0_and_1_and_is_0_where_nothing_was_found() -> None:
    nothing = traits(segment(np.full((64, 64, 3), 170, np.uint8)))
    assert quality(nothing) == 0.0
    ones = mask_quality.Traits(*(1.0 for _ in mask_quality.NAMES))
    assert 0.9 < quality(ones) <= 1.0


def test_a_supplied_mask_is_used_first_and_a_box_before_segmentation() -> None:
    pixels, mask = spot()
    corner = np.zeros_like(mask)
    corner[20:60, 20:60] = 255
    supplied = find_lesion(pixels, corner, (55, 55, 145, 145), automatic=True)
    assert supplied.origin == "supplied"
    assert np.array_equal(supplied.mask, corner > 0)
    prompted = find_lesion(pixels, None, (55, 55, 145, 145), automatic=False)
    assert prompted.origin == "box"
    assert prompted.reason is None
    assert dice(prompted.mask, mask > 0) > 0.85
    outside = np.ones(mask.shape, bool)
    outside[55:145, 55:145] = False
    assert not (prompted.mask & outside)[2:-2].any()


def test_nothing_is_segmented_unless_asked() -> None:
    found = find_lesion(spot()[0], None, None, automatic=False)
    assert found.reason == "no_mask"
    assert not found.mask.any()


def test_a_mask_of_another_size_is_an_error_that_names_both() -> None:
    with pytest.raises(InvalidInput, match="100 x 90 pixels, its image 200 x 200") as caught:
        find_lesion(spot()[0], np.zeros((90, 100), np.uint8), None, automatic=True)
    assert caught.value.code == "mask_size"


@pytest.mark.parametrize("box", [(-1, 0, 9, 9), (5, 5, 5, 9), (0, 0, 201, 10), (0, 9, 9, 9)])
def test_a_box_outside_its_image_is_an_error(box: tuple[int, int, int, int]) -> None:
    with pytest.raises(InvalidInput) as caught:
        find_lesion(spot()[0], None, box, automatic=True)
    assert caught.value.code == "box_outside"


def lesion(mask: Any) -> Lesion:
    return Lesion(mask > 0, "supplied", 1.0, None)


@pytest.mark.parametrize(
    ("at", "radius", "donor", "target"),
    [
        ((100, 100), 40, None, None),
        ((100, 50), 42, "no_margin", None),
        ((100, 30), 40, "no_margin", "no_margin"),
        ((100, 100), 4, "too_small", None),
        ((100, 100), 90, "no_margin", "too_large"),
    ],
)
def test_lesions_that_do_not_suit_say_why(
    at: tuple[int, int], radius: int, donor: str | None, target: str | None
) -> None:
    pixels, mask = spot(200, at, radius)
    assert donor_reason(pixels, lesion(mask)) == donor
    assert target_reason(pixels, lesion(mask)) == target


def test_a_lesion_on_paper_or_black_cloth_is_not_on_skin() -> None:
    for level in (252, 8):
        pixels, mask = spot()
        pixels = np.where((mask > 0)[..., None], pixels, np.uint8(level))
        assert donor_reason(pixels, lesion(mask)) == "not_skin"


def shaded(pixels: Any, level: float) -> Any:
    """Return the image with corners as dark as a dermatoscope's, from ``level`` of the side on."""
    side = len(pixels)
    y, x = np.mgrid[0:side, 0:side] / side - 0.5
    fall = np.clip(1 - 6 * (np.hypot(x, y) - level), 0.15, 1)
    return (pixels * fall[..., None]).astype(np.uint8)


def test_the_shade_of_the_corners_is_no_skin_and_no_reason_to_refuse() -> None:
    pixels, mask = spot(240, (120, 120), 75)
    dark = shaded(pixels, 0.45)
    around = skin_around(dark, mask > 0)
    assert 0.03 < 1 - lit(dark, mask > 0).mean() < 0.3
    assert describe_skin(dark, around).spread < 0.5 * describe_skin(dark, mask == 0).spread
    assert donor_reason(dark, lesion(mask)) is None


def test_a_lesion_that_reaches_a_corner_is_not_its_shade() -> None:
    pixels, mask = spot(200, (20, 20), 60)
    assert lit(pixels, mask > 0).all()


def test_a_healthy_image_is_all_skin_or_what_is_lit_of_it() -> None:
    whole = healthy_facts(skin(200))
    assert whole["free"] == [0, 0, 200, 200]
    assert whole["donor"] == "empty_mask"
    left, top, right, bottom = healthy_facts(shaded(skin(200), 0.45))["free"]
    assert 100 < right - left == bottom - top < 190


def test_an_empty_mask_is_left_out() -> None:
    pixels, mask = spot()
    found = find_lesion(pixels, np.zeros_like(mask), None, automatic=True)
    assert donor_reason(pixels, found) == target_reason(pixels, found) == "empty_mask"


def test_the_free_square_is_skin_without_lesion() -> None:
    pixels, mask = spot(200, (60, 60), 30)
    found = free_square(pixels, lesion(mask))
    assert found is not None
    left, top, right, bottom = found
    assert right - left == bottom - top >= 80
    assert not mask[top:bottom, left:right].any()


def test_bounds_are_those_of_what_is_inside() -> None:
    inside = np.zeros((20, 30), bool)
    inside[4:9, 7:12] = True
    assert bounds(inside) == (7, 4, 12, 9)


def test_drawn_lesions_that_are_accepted_are_segmented_well() -> None:
    scores = []
    for number in range(24):
        pixels, mask = drawn(number, "mel")
        found = find_lesion(pixels, None, None, automatic=True)
        if found.reason is None:
            scores.append(dice(found.mask, mask > 0))
    assert len(scores) >= 8
    assert np.mean(scores) >= 0.85
    assert SIDE == 96
