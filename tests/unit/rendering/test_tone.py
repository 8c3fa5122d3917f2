"""Tones that are asked for, and tones that are measured."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from core.errors import InvalidInput
from core.rendering.camera import aim
from core.rendering.lights import draw_lighting
from core.rendering.pigment import linear_rgb, reflectance
from core.rendering.raycast import Target
from core.rendering.shading import Look, light_up
from core.rendering.skin import draw_skin
from core.rendering.tone import (
    FITZPATRICK,
    ITA,
    ita,
    measured_ita,
    monk_range,
    pigments,
    to_linear,
    to_srgb,
)
from tests.unit.rendering.shapes import ball


@settings(deadline=None)
@given(st.floats(*ITA), st.floats(0, 1))
def test_pigments_give_the_ita_asked_for(wanted: float, redness: float) -> None:
    colour = linear_rgb(reflectance(*pigments(wanted, redness)))
    assert float(ita(colour)) == pytest.approx(wanted, abs=1.0)


@pytest.mark.parametrize("wanted", [ITA[0] - 1, ITA[1] + 1, float("nan")])
def test_tones_that_do_not_exist_are_refused(wanted: float) -> None:
    with pytest.raises(InvalidInput, match="cannot be made") as refused:
        pigments(wanted, 0.5)
    assert refused.value.code == "invalid_tone"


def test_redness_is_blood() -> None:
    pale, red = pigments(30, 0.0), pigments(30, 1.0)
    assert red[1] > 1.5 * pale[1]
    assert red[0] < pale[0]  # less melanin makes room for it


def test_scales_run_from_light_to_dark_within_what_can_be_made() -> None:
    types = list(FITZPATRICK.values())
    assert all(one[0] >= after[1] for one, after in pairwise(types))
    tones = [monk_range(n) for n in range(1, 11)]
    assert tones == sorted(tones, reverse=True)
    assert all(ITA[0] <= low < high <= ITA[1] for low, high in [*types, *tones])
    with pytest.raises(InvalidInput, match="1 to 10"):
        monk_range(11)


def test_ita_of_a_known_colour() -> None:
    """CIELAB (65, 10, 15) has ITA atan(15 / 15) = 45 degrees."""
    f = np.array([(65 + 16) / 116 + 10 / 500, (65 + 16) / 116, (65 + 16) / 116 - 15 / 200])
    xyz = f**3 * np.array([0.95047, 1.0, 1.08883])
    to_rgb = np.linalg.inv(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    assert float(ita(to_rgb @ xyz)) == pytest.approx(45, abs=0.2)
    assert measured_ita(np.zeros((0, 3))) is None


@settings(deadline=None)
@given(st.floats(0, 1))
def test_srgb_there_and_back(value: float) -> None:
    assert float(to_linear(to_srgb(np.array(value)))) == pytest.approx(value, abs=1e-5)


@pytest.fixture(scope="module")
def target() -> Target:
    return Target(ball())


def rendered_ita(target: Target, wanted: float, seed: int) -> tuple[float, float]:
    rng = np.random.default_rng(seed)
    camera = aim(
        rng.normal(0, 1, 3) - np.array([0, 1.5, 0]), np.zeros(3), 0.0, np.radians(14), (48, 48)
    )
    lighting = draw_lighting(("flash", "lamp", "window")[seed % 3], camera, np.zeros(3), rng)
    look = Look(draw_skin(wanted, rng), lighting, rays=1, seed=seed)
    tile = light_up(target, camera, look, (), (0, 48))
    on_albedo = measured_ita(tile.lit.albedo[tile.view.skin > 0])
    assert on_albedo is not None
    return on_albedo, wanted


@settings(deadline=None)
@given(st.integers(0, 2**31))
def test_drawn_skins_are_made_of_numbers_in_range(seed: int) -> None:
    rng = np.random.default_rng(seed)
    skin = draw_skin(float(rng.uniform(*ITA)), rng)
    assert 0 <= skin.freckles <= 1
    assert 0 < skin.rough < 1
    assert min(*skin.cloth, *skin.hair_colour) > 0


def test_renders_have_the_tone_asked_for(target: Target) -> None:
    wanted = np.linspace(-60, 59, 40)
    pairs = np.array([rendered_ita(target, float(w), n) for n, w in enumerate(wanted)])
    assert spearmanr(pairs[:, 0], pairs[:, 1]).statistic >= 0.98
    assert np.median(np.abs(pairs[:, 0] - pairs[:, 1])) <= 3
