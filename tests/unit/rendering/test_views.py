"""Views that are accepted, and views that are refused and counted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.errors import InvalidInput
from core.rendering.raycast import Target, cast
from core.rendering.surface import Surface
from core.rendering.views import MODES, ModeName, NoAcceptableView, Sites, take
from tests.unit.rendering.shapes import ball, plane, tube

SIZE = (64, 64)


@pytest.fixture(scope="module")
def limb() -> Target:
    return Target(tube(0.06, 1.2))


@pytest.mark.parametrize("name", MODES)
def test_accepted_views_look_at_skin_from_where_their_mode_says(
    limb: Target, name: ModeName
) -> None:
    mode = MODES[name]
    sites = Sites(limb)
    for seed in range(6):
        taken = take(sites, mode, SIZE, np.random.default_rng(seed), min_skin=min(mode.skin, 0.03))
        towards = taken.camera.position - taken.focus
        distance = float(np.linalg.norm(towards))
        assert mode.distance[0] <= distance * 1.0001
        assert distance <= mode.distance[1] * 1.0001
        if name != "whole_body":
            assert np.arccos(towards @ taken.normal / distance) <= np.radians(mode.tilt) + 1e-6
        view = cast(limb, taken.camera)
        centre = view.position[31:33, 31:33].reshape(-1, 3)
        assert np.linalg.norm(centre - taken.focus, axis=1).min() < 0.01 + 0.02 * distance


def test_a_camera_inside_a_body_is_refused() -> None:
    inner = ball(0.05)
    turned = replace(inner, normals=-inner.normals)
    with pytest.raises(NoAcceptableView, match="centre_off 10"):
        mode = replace(MODES["clinical"], distance=(0.02, 0.08))
        take(Sites(Target(turned)), mode, SIZE, np.random.default_rng(1), tries=10)


def test_too_little_skin_is_refused_after_bounded_tries_with_counts(limb: Target) -> None:
    with pytest.raises(NoAcceptableView) as refused:
        take(
            Sites(limb), MODES["whole_body"], SIZE, np.random.default_rng(1), min_skin=0.9, tries=7
        )
    assert refused.value.code == "no_acceptable_view"
    assert sum(refused.value.extra["refused"].values()) == 7
    assert "little_skin" in refused.value.detail


def test_a_prior_says_which_parts_are_looked_at() -> None:
    sites = Sites(Target(ball()), {"high": 1.0})
    rng = np.random.default_rng(0)
    points = [sites.draw(rng) for _ in range(50)]
    assert {part for _, _, part in points} == {"high"}
    assert min(point[2] for point, _, _ in points) > -0.02
    with pytest.raises(InvalidInput, match="no body part 'tail'; known: low, high"):
        Sites(Target(ball()), {"tail": 1.0})
    with pytest.raises(InvalidInput, match="no skin"):
        Sites(Target(ball()), {"high": 0.0})


def test_avoided_parts_are_neither_looked_at_nor_shown() -> None:
    sites = Sites(Target(tube(0.06, 0.5)), avoided=["high"])
    mode = replace(MODES["clinical"], distance=(0.3, 0.3))
    rng = np.random.default_rng(2)
    for _ in range(5):
        taken = take(sites, mode, SIZE, rng)
        assert taken.focus[2] < 0.02
        assert (cast(sites.target, taken.camera).part == 1).mean() <= mode.avoid + 0.02


def masked() -> Surface:
    mask = np.zeros((64, 64), np.uint8)
    mask[:, :32] = 255
    return replace(plane(), non_skin=mask)


def test_only_skin_is_looked_at() -> None:
    sites = Sites(Target(masked()))
    rng = np.random.default_rng(3)
    assert min(sites.draw(rng)[0][0] for _ in range(60)) >= 0


def test_points_are_spread_by_area() -> None:
    rng = np.random.default_rng(4)
    sites = Sites(Target(ball()))
    z = np.array([sites.draw(rng)[0][2] for _ in range(2000)]) / 0.2
    assert np.abs(np.quantile(z, [0.25, 0.5, 0.75]) - [-0.5, 0, 0.5]).max() < 0.06


def test_an_orbit_looks_from_all_sides_of_the_front() -> None:
    sites = Sites(Target(ball()))
    mode = replace(MODES["clinical"], around="orbit", distance=(0.5, 0.5))
    rng = np.random.default_rng(5)
    ways = np.array([take(sites, mode, SIZE, rng).camera.position for _ in range(40)])
    assert (ways[:, 1] < 0.2).all()
    assert np.ptp(ways[:, 0]) > 0.5
    assert np.ptp(ways[:, 2]) > 0.5


def test_the_same_seed_takes_the_same_view(limb: Target) -> None:
    one, other = (
        take(Sites(limb), MODES["clinical"], SIZE, np.random.default_rng(9)) for _ in range(2)
    )
    assert np.array_equal(one.camera.position, other.camera.position)
