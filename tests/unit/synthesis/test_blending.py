"""Optical density, mattes, Poisson's equation, and skin where a lesion was."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.synthesis.blending import lay, matte, optical_density, paste, poisson
from core.synthesis.skin_field import describe_skin, even_skin, healed, to_log, to_pixels
from tests.unit.synthesis.lesions import drawn, skin

DISC = np.hypot(*np.mgrid[-24:24, -24:24]) < 12


def field(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(0, 0.1, (48, 48, 3)) - 1).astype(np.float32)


def test_log_light_gives_every_visible_level_back() -> None:
    levels = np.arange(256, dtype=np.uint8)[:, None, None].repeat(3, axis=2)
    back = to_pixels(to_log(levels)).astype(int)
    assert np.abs(back - levels.astype(int))[16:].max() == 0
    assert back[:16].max() <= 16


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_density_on_the_skin_it_came_from_gives_the_lesion_back(seed: int) -> None:
    """Exactly so where light comes back from below only: 5 % come from the surface."""
    healthy = field(seed)
    lesion = healthy - np.abs(field(seed + 1)) * DISC[..., None]
    joined = lay(healthy, optical_density(lesion, healthy), DISC.astype(np.float32))
    through = 0.05 + 0.95 * np.exp(lesion - healthy)
    assert np.allclose(joined, healthy + np.log(through), atol=1e-5)
    assert np.array_equal(joined[~DISC], healthy[~DISC])


def test_density_is_laid_as_thick_as_the_matte() -> None:
    skin, density = field(1), np.full((48, 48, 3), 0.8, np.float32)
    joined = lay(skin, density, (DISC * np.linspace(0, 1, 48)).astype(np.float32))
    assert np.array_equal(joined[~DISC], skin[~DISC])
    darker = (skin - joined)[24, 12:36, 0]
    assert (np.diff(darker) > 0).all()


def test_glare_is_compressed() -> None:
    density = optical_density(np.full((1, 1, 3), 3.0, np.float32), np.zeros((1, 1, 3), np.float32))
    assert -0.35 <= density.min() < -0.34


@given(st.floats(1, 8))
@settings(max_examples=20, deadline=None)
def test_a_matte_falls_from_1_inside_to_0_outside(softness: float) -> None:
    over = matte(DISC, softness)
    assert over.min() == 0
    assert over.max() == 1
    assert over[24, 24] == 1
    row = over[24, 24:]
    assert (np.diff(row) <= 1e-6).all()


def test_poisson_of_an_image_and_itself_is_the_image() -> None:
    image = field(1)
    joined = poisson(image, image, DISC.astype(np.float32))
    assert np.allclose(joined, image, atol=1e-4)


def test_poisson_ignores_a_constant_and_keeps_the_frame() -> None:
    image, lesion = field(1), field(2)
    over = matte(DISC, 3)
    first, second = (poisson(image, one, over) for one in (lesion, lesion + np.float32(0.7)))
    assert np.allclose(first, second, atol=1e-4)
    assert np.array_equal(first[0], image[0])
    assert np.array_equal(first[:, -1], image[:, -1])


def test_paste_shows_the_donor_inside() -> None:
    joined = paste(field(1), field(2), DISC.astype(np.float32))
    assert np.array_equal(joined[DISC], field(2)[DISC])
    assert np.array_equal(joined[~DISC], field(1)[~DISC])


def test_even_skin_follows_the_light_and_never_leaves_what_was_seen() -> None:
    y, x = np.mgrid[0:60, 0:80]
    light = (-0.8 + 0.004 * x - 0.003 * y)[..., None].repeat(3, axis=2).astype(np.float32)
    where = np.ones(light.shape[:2], bool)
    where[20:40, 30:50] = False
    assert np.allclose(even_skin(light, where)[~where], light[~where], atol=0.02)
    few = np.zeros_like(where)
    few[:3, :3] = True
    assert even_skin(light, few).max() <= light[few].max() + 1e-6


def test_where_the_lesion_was_is_skin_like_that_around() -> None:
    pixels, mask = drawn(3, "mel")
    inside = mask > 0
    gone = to_pixels(healed(to_log(pixels), inside, np.random.default_rng(0)))
    far = ~inside
    before = abs(float(pixels[inside].mean()) - float(pixels[far].mean()))
    after = abs(float(gone[inside].mean()) - float(gone[far].mean()))
    assert after < 0.5 * before
    assert gone[inside].std() > 0.5


def test_nothing_to_heal_leaves_the_photograph() -> None:
    log = to_log(skin())
    nothing = np.zeros(log.shape[:2], bool)
    assert np.array_equal(healed(log, nothing, np.random.default_rng(0)), log)


@pytest.mark.parametrize(
    ("tone", "plausible"),
    [
        ((240, 200, 180), True),
        ((90, 60, 45), True),
        ((250, 250, 250), False),
        ((10, 10, 12), False),
        ((40, 160, 60), False),
    ],
)
def test_what_looks_like_skin(tone: tuple[int, int, int], plausible: bool) -> None:
    everywhere = np.ones((96, 96), bool)
    assert describe_skin(skin(96, tone), everywhere).plausible is plausible
