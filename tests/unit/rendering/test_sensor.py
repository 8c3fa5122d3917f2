"""Developing: exposure, noise, tone curve, the dermatoscope's circle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.rendering.sensor import Sensor, compressed, defocused, develop, draw_sensor, exposed

CLEAN = Sensor(
    exposure=0.0, balance=(1.0, 1.0), blur=0.0, vignette=0.0, shot=0.0, read=0.0, contrast=1.0,
    jpeg=100, circle=None, seed=1,
)  # fmt: skip


def grey(level: float, side: int = 64) -> np.ndarray:
    return np.full((side, side, 3), level, np.float32)


def test_a_clean_sensor_gives_srgb() -> None:
    """Linear 0.2140 is sRGB 127.5 (IEC 61966-2-1)."""
    assert np.abs(develop(grey(0.2140), CLEAN).astype(int) - 127.5).max() <= 1


@settings(deadline=None)
@given(st.floats(0, 4), st.floats(0, 4), st.floats(0.9, 1.2))
def test_more_light_is_never_darker(one: float, other: float, contrast: float) -> None:
    low, high = sorted((one, other))
    sensor = replace(CLEAN, contrast=contrast)
    assert develop(grey(low, 2), sensor).max() <= develop(grey(high, 2), sensor).min()


def test_noise_grows_with_the_root_of_the_light() -> None:
    sensor = replace(CLEAN, shot=0.02)
    linear = [develop(grey(level, 256), sensor).astype(float) / 255 for level in (0.05, 0.2)]
    spread = [np.where(x > 0.04, ((x + 0.055) / 1.055) ** 2.4, x / 12.92).std() for x in linear]
    assert spread[1] / spread[0] == pytest.approx(2.0, rel=0.1)


def test_vignette_and_circle_darken_from_the_middle_outwards() -> None:
    shaded = develop(grey(0.5), replace(CLEAN, vignette=0.4)).astype(int)
    assert shaded[0, 0, 0] < shaded[0, 32, 0] < shaded[32, 32, 0]
    field = develop(grey(0.5), replace(CLEAN, circle=0.9))
    assert field[0, 0].max() < 20
    assert field[32, 32].min() > 150
    assert (field[32] > 100).all(axis=-1).mean() == pytest.approx(0.9, abs=0.05)


def test_the_same_seed_is_the_same_photograph() -> None:
    light = grey(0.3)
    sensor = draw_sensor(np.random.default_rng(3))
    assert np.array_equal(develop(light, sensor), develop(light, sensor))
    other = replace(sensor, seed=sensor.seed + 1)
    assert not np.array_equal(develop(light, sensor), develop(light, other))


def test_exposure_follows_light_and_most_of_the_tone() -> None:
    light, albedo = grey(0.1), grey(0.5)
    skin = np.ones((64, 64), np.bool_)
    factor = exposed(light, albedo, skin, 0.0)
    assert exposed(grey(0.3), albedo, skin, 0.0) == pytest.approx(factor / 3)
    assert exposed(light, albedo, skin, 1.0) == pytest.approx(2 * factor)
    dark = exposed(grey(0.025), grey(0.125), skin, 0.0) * 0.025
    assert dark == pytest.approx(0.25**0.7 * factor * 0.1)
    assert exposed(light, albedo, ~skin, 0.0) == 1.0


def test_highlights_bound_the_exposure() -> None:
    light, skin = grey(0.1), np.ones((64, 64), np.bool_)
    light[:8] = 2.0
    assert exposed(light, grey(0.5), skin, 0.0) * 2.0 <= 1.16


def test_what_is_out_of_focus_is_blurred_as_the_aperture_says() -> None:
    """A dot at twice the focus: a disc of aperture x focal / focus / 2 pixels; light is kept."""
    seen = np.zeros((65, 65, 4), np.float32)
    seen[32, 32] = 1.0
    y, x = np.mgrid[0:65, 0:65] - 32
    for aperture, sigma in ((0.0015, 1.5), (0.004, 4.0)):
        near = defocused(seen, np.full((65, 65), 0.25, np.float32), 0.25, 2000.0, aperture)
        assert np.array_equal(near, seen)
        far = defocused(seen, np.full((65, 65), 0.5, np.float32), 0.25, 2000.0, aperture)
        assert far[..., 0].sum() == pytest.approx(1.0, abs=0.01)
        spread = np.sqrt((far[..., 3] * (x**2 + y**2)).sum() / 2)
        assert spread == pytest.approx(sigma, rel=0.15)
    nothing = np.zeros((65, 65), np.float32)
    assert np.array_equal(defocused(seen, nothing, 0.25, 2000.0, 0.01), seen)


def test_jpeg_is_lossy_below_100() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    assert np.array_equal(compressed(noise, 100), noise)
    assert not np.array_equal(compressed(noise, 80), noise)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.booleans())
def test_drawn_sensors_are_plausible(seed: int, dermatoscope: bool) -> None:
    sensor = draw_sensor(np.random.default_rng(seed), dermatoscope=dermatoscope)
    assert 75 <= sensor.jpeg < 97
    assert 0 <= sensor.vignette <= 0.45
    assert dermatoscope or sensor.circle is None
    assert sensor.as_json()["seed"] == sensor.seed
