"""Hair grows out of skin, by area, and is as thick as asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.rendering.camera import Camera, aim
from core.rendering.hairs import MOST, Hairs, draw_hairs, grown
from core.rendering.raycast import Target, View, cast
from tests.unit.rendering.shapes import plane
from tests.unit.rendering.test_views import masked

SIDE = 256
COARSE = Hairs(5.0, 0.01, 8e-5, 0.3, 0.0, (0.02, 0.01, 0.01), 3)


def camera(distance: float = 0.1) -> Camera:
    return aim(np.array([0, -distance, 0.0]), np.zeros(3), 0, np.radians(30), (SIDE, SIDE))


@pytest.fixture(scope="module")
def view() -> View:
    return cast(Target(plane()), camera())


def card(view: View) -> np.ndarray:
    return np.ones((*view.face.shape, 3), np.float32)


def test_hairs_cover_what_their_number_and_size_say(view: View) -> None:
    _, covered = grown(COARSE, view, camera(), card(view))
    side = 2 * 0.1 * np.tan(np.radians(15))
    one = COARSE.length * COARSE.width * np.exp(0.35**2 / 2)
    expected = COARSE.density * 1e4 * one  # share of the area, less what overlaps and leaves
    assert covered.mean() == pytest.approx(expected, rel=0.35)
    assert covered.max() <= 1
    assert side == pytest.approx(0.0536, abs=1e-3)


def test_twice_the_density_is_twice_the_hair(view: View) -> None:
    once = grown(COARSE, view, camera(), card(view))[1].mean()
    twice = grown(replace(COARSE, density=10.0), view, camera(), card(view))[1].mean()
    assert twice / once == pytest.approx(2.0, rel=0.25)


def test_no_hair_grows_where_there_is_no_skin() -> None:
    seen = cast(Target(masked()), camera())
    short = replace(COARSE, length=0.001)
    _, covered = grown(short, seen, camera(), card(seen))
    assert covered[:, SIDE // 2 + 25 :].mean() > 5 * covered[:, : SIDE // 2 - 25].mean()


def test_hair_too_thin_to_be_seen_is_left_out(view: View) -> None:
    _, covered = grown(replace(COARSE, width=1e-6), view, camera(), card(view))
    assert not covered.any()
    assert not grown(replace(COARSE, density=0.0), view, camera(), card(view))[1].any()


def test_the_number_of_hairs_is_bounded(view: View) -> None:
    dense = replace(COARSE, density=1e6, width=2e-5, length=0.0005)
    _, covered = grown(dense, view, camera(), card(view))
    assert covered.sum() < 1.5 * MOST * 4


def test_hair_has_its_colour_in_the_light_of_its_root(view: View) -> None:
    colour, covered = grown(COARSE, view, camera(), 2 * card(view))
    thick = covered > 0.3
    ratio = colour[thick] / covered[thick][:, None]
    assert (ratio <= 2 * 1.25 * np.array(COARSE.colour) + 1e-6).all()
    assert (ratio > 0).all()


def test_the_same_seed_is_the_same_hair(view: View) -> None:
    hairs = draw_hairs((0.1, 0.1, 0.1), np.random.default_rng(8))
    one, other = (grown(replace(hairs, density=4.0), view, camera(), card(view)) for _ in range(2))
    assert np.array_equal(one[1], other[1])
