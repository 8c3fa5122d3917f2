"""Hairs, and that images without them come first."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from core.synthesis.hair import hair_share, hairs
from core.synthesis.pairing import CLEAR, ENOUGH, clear_first
from tests.unit.synthesis.lesions import skin


def hairy(side: int, count: int) -> tuple[Any, Any]:
    """Return skin with dark curves across it, and where they are."""
    rng = np.random.default_rng(1)
    drawn = np.zeros((side, side), np.uint8)
    for _ in range(count):
        ends = rng.uniform(0, side, (3, 2))
        t = np.linspace(0, 1, 40)[:, None]
        curve = (1 - t) ** 2 * ends[0] + 2 * t * (1 - t) * ends[1] + t**2 * ends[2]
        width = max(1, side // 160)
        cv2.polylines(drawn, [curve.astype(np.int32)], False, 255, width, cv2.LINE_AA)
    pixels = skin(side).astype(float) * (1 - 0.6 * drawn[..., None] / 255)
    return pixels.astype(np.uint8), drawn > 128


@pytest.mark.parametrize("side", [200, 600])
def test_hairs_are_found_at_every_size(side: int) -> None:
    pixels, drawn = hairy(side, 8)
    found = hairs(pixels)
    reach = np.ones((5, 5), np.uint8)
    assert found[drawn].mean() > 0.6
    assert (cv2.dilate(drawn.astype(np.uint8), reach) > 0)[found].mean() > 0.7
    assert hair_share(pixels, np.ones(drawn.shape, bool)) > 2 * CLEAR


def test_skin_and_spots_have_no_hairs() -> None:
    pixels = skin(200).copy()
    rng = np.random.default_rng(0)
    for x, y in rng.integers(10, 190, (30, 2)).tolist():
        cv2.circle(pixels, (x, y), 3, (120, 90, 80), -1)
    everywhere = np.ones((200, 200), bool)
    assert hair_share(skin(200), everywhere) <= CLEAR
    assert hair_share(pixels, everywhere) <= CLEAR


def test_nowhere_is_free_of_hairs() -> None:
    assert hair_share(skin(64), np.zeros((64, 64), bool)) == 0.0


def test_the_clear_come_alone_when_there_are_enough() -> None:
    hair = np.array([0.0] * ENOUGH + [0.02, 0.5])
    assert clear_first(hair).tolist() == list(range(ENOUGH))


def test_the_least_hairy_fill_up_when_the_clear_are_too_few() -> None:
    hair = np.array([0.5, 0.0, 0.02, *np.linspace(0.1, 0.2, ENOUGH)])
    chosen = clear_first(hair).tolist()
    assert chosen == [1, 2, *range(3, ENOUGH + 1)]
    assert clear_first(np.array([0.9])).tolist() == [0]
    assert clear_first(np.array([])).tolist() == []
