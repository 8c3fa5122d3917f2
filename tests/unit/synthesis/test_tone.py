"""The apparent tone of the skin around a lesion: an angle, or a reason why there is none."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from core.synthesis.contract import Pixels
from core.synthesis.tone import Tone, apparent_tone


def photograph(
    lightness: float, yellow: float, *, side: int = 192, radius: int = 40, offset: int = 0
) -> Pixels:
    """Return skin of this L* and b* (a* 12) with a dark lesion in the middle."""
    lab = np.empty((side, side, 3), np.float32)
    lab[:] = (lightness, 12.0, yellow)
    y, x = np.mgrid[:side, :side]
    away = np.hypot(x - side / 2 - offset, y - side / 2)
    lab[..., 0] += np.random.default_rng(0).normal(0, 1, (side, side))
    lesion = np.clip((radius + 2 - away) / 4, 0, 1)
    lab[..., 0] *= 1 - 0.5 * lesion
    rgb = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
    return np.clip(np.rint(rgb * 255), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("lightness", "yellow", "group"),
    [(78, 16, "very light"), (66, 16, "light"), (61, 16, "intermediate"), (55, 18, "tan"),
     (45, 18, "brown"), (36, 14, "dark")],
)  # fmt: skip
def test_the_angle_is_that_of_the_skin_and_not_of_the_lesion(
    lightness: float, yellow: float, group: str
) -> None:
    tone = apparent_tone(photograph(lightness, yellow))
    expected = np.degrees(np.arctan2(lightness - 50, yellow))
    assert tone.ita == pytest.approx(expected, abs=3)
    assert tone.group == group
    assert tone.reason is None


def test_size_and_a_mask_of_the_image_change_nothing() -> None:
    pixels = photograph(66, 16)
    large = np.asarray(cv2.resize(pixels, (700, 700)), np.uint8)
    mask = np.where(np.hypot(*np.mgrid[-350:350, -350:350]) < 150, 255, 0).astype(np.uint8)
    plain, scaled, masked = (
        apparent_tone(pixels).ita,
        apparent_tone(large).ita,
        apparent_tone(large, mask).ita,
    )
    assert scaled == pytest.approx(plain, abs=1)
    assert masked == pytest.approx(plain, abs=1)


def test_limits_belong_to_the_darker_group() -> None:
    assert Tone(55.0, None).group == "light"
    assert Tone(-30.0, None).group == "dark"
    assert Tone(-90.0, None).group == "dark"
    assert Tone(None, "no_ring").group is None


def test_what_shows_no_healthy_ring_abstains() -> None:
    assert apparent_tone(np.full((64, 64), 120, np.uint8)).reason == "not_colour"
    noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    assert apparent_tone(noise).ita is None
    filled = np.full((192, 192), 255, np.uint8)
    assert apparent_tone(photograph(66, 16), filled).reason in ("no_ring", "not_skin")
    corner = np.zeros((192, 192), np.uint8)
    corner[:70, :70] = 255
    assert apparent_tone(photograph(66, 16), corner).reason == "no_ring"
    assert apparent_tone(photograph(66, 1)).reason == "tinted"
    assert apparent_tone(np.zeros((1, 1, 3), np.uint8)).ita is None


def test_a_black_surround_is_no_skin() -> None:
    """As under a dermatoscope: the ring is read inside the field, or not at all."""
    pixels = photograph(66, 16)
    y, x = np.mgrid[:192, :192]
    pixels[np.hypot(x - 96, y - 96) > 92] = 0
    seen = apparent_tone(pixels)
    assert seen.ita == pytest.approx(np.degrees(np.arctan2(16, 16)), abs=3)
    pixels[np.hypot(x - 96, y - 96) > 44] = 0
    assert apparent_tone(pixels).ita is None
