"""Light on a surface: where it falls, what it does not depend on, and smooth contours."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from core.rendering.camera import Camera, aim
from core.rendering.decals import Decal, place_at
from core.rendering.lights import Light, Lighting, Rig, draw_lighting
from core.rendering.raycast import Target
from core.rendering.shading import Look, Tile, light_up
from core.rendering.skin import Skin, draw_skin
from tests.unit.rendering.shapes import ball, plane
from tests.unit.rendering.test_decals import disc

SIDE = 96
DARK = (0.0, 0.0, 0.0)


def camera(distance: float = 0.7, degrees: float = 40) -> Camera:
    return aim(np.array([0, -distance, 0.0]), np.zeros(3), 0, np.radians(degrees), (SIDE, SIDE))


def skin(ita: float = 30.0) -> Skin:
    return draw_skin(ita, np.random.default_rng(5))


def even(ita: float = 30.0) -> Skin:
    """Skin without variation, relief and gloss."""
    return replace(
        skin(ita), mottle_melanin=0.0, mottle_blood=0.0, fine=0.0, freckles=0.0, veins=0.0,
        depth=0.0, pores=0.0, gloss=0.0,
    )  # fmt: skip


def lamp(*places: tuple[float, float, float], radius: float = 0.01, sky: float = 0.0) -> Lighting:
    up = (sky, sky, sky)
    none = ((0.0, 0.0, 1.0), DARK)
    lights = tuple(Light(place, radius, (1.0, 1.0, 1.0)) for place in places)
    return Lighting("lamp", lights, up, up, (none, none))


def lit(target: Target, look: Look, decals: tuple[Decal, ...] = ()) -> Tile:
    return light_up(target, camera(), look, decals, (0, SIDE))


@pytest.fixture(scope="module")
def target() -> Target:
    return Target(ball(0.15))


def test_any_tiles_give_the_same_values(target: Target) -> None:
    """With shadows, relief, contours and a lesion across the border of the tiles."""
    decal = Decal(disc(0.03), place_at(np.array([0, -0.15, 0.0]), np.array([0, -1.0, 0]), 10), 0)
    lighting = draw_lighting("window", camera(), np.zeros(3), np.random.default_rng(1))
    look = Look(skin(), lighting, rays=2, seed=7)
    whole = light_up(target, camera(), look, [decal], (0, SIDE))
    for cuts in ((0, 47, SIDE), (0, 16, 33, 48, SIDE)):
        tiles = [light_up(target, camera(), look, [decal], rows) for rows in pairwise(cuts)]
        joined = Tile.joined(tiles)
        for name in ("light", "cover", "albedo", "card"):
            assert np.array_equal(getattr(joined.lit, name), getattr(whole.lit, name)), name
        assert np.array_equal(joined.instance, whole.instance)
        assert np.array_equal(joined.view.depth, whole.view.depth)


def test_threads_give_the_same_bytes(target: Target) -> None:
    lighting = draw_lighting("flash", camera(), np.zeros(3), np.random.default_rng(1))
    looks = [Look(skin(), lighting, rays=2, seed=n) for n in range(4)]
    alone = [lit(target, look).lit.light.tobytes() for look in looks]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda look: lit(target, look).lit.light.tobytes(), looks))
    assert together == alone


def test_light_falls_off_with_the_square_and_the_cosine() -> None:
    """On a plane without variation, what comes back is what Lambert says."""
    look = Look(even(), lamp((0, -0.5, 0)), rays=1, soft=0.0)
    tile = light_up(Target(plane(1.0)), camera(0.5, 50), look, (), (0, SIDE))
    away = np.linalg.norm(tile.view.position - [0, -0.5, 0], axis=-1)
    expected = 0.5 / away**3  # cosine is 0.5 / away
    assert np.abs(tile.lit.card[..., 0] / expected - 1).max() < 0.01
    ratio = tile.lit.light / tile.lit.card
    assert np.abs(ratio / tile.lit.albedo - 1).max() < 0.01


def test_light_of_three_lamps_is_the_sum(target: Target) -> None:
    places = ((0.3, -0.6, 0.2), (-0.5, -0.5, 0.0), (0.0, -0.4, 0.6))
    one = [lit(target, Look(even(), lamp(place), rays=1)).lit.light for place in places]
    together = lit(target, Look(even(), lamp(*places), rays=1)).lit.light
    assert np.abs(sum(one) - together).max() < 2e-4


def test_what_stands_between_throws_a_shadow() -> None:
    """A ball before a wall: the wall behind it is dark, and darkest in the middle."""
    wall, near = plane(0.8), ball(0.05)
    front = replace(
        wall,
        vertices=np.concatenate(
            [wall.vertices, near.vertices + np.array([0, -0.15, 0], np.float32)]
        ),
        normals=np.concatenate([wall.normals, near.normals]),
        triangles=np.concatenate([wall.triangles, near.triangles + len(wall.vertices)]),
        corner_uv=np.concatenate([wall.corner_uv, near.corner_uv]),
        part_weights=np.concatenate([wall.part_weights, near.part_weights]),
    )
    side = aim(np.array([0.5, -0.6, 0.0]), np.zeros(3), 0, np.radians(40), (SIDE, SIDE))
    look = Look(even(), lamp((0, -0.8, 0), radius=0.02), rays=4)
    shadowed = light_up(Target(front), side, look, (), (0, SIDE))
    open_wall = light_up(Target(wall), side, look, (), (0, SIDE))
    on_wall = np.abs(shadowed.view.position[..., 1]) < 1e-3
    from_axis = np.linalg.norm(shadowed.view.position[..., [0, 2]], axis=-1)
    share = shadowed.lit.card[..., 0] / np.maximum(open_wall.lit.card[..., 0], 1e-6)
    assert share[on_wall & (from_axis < 0.03)].max() < 0.25
    assert share[on_wall & (from_axis > 0.15)].min() > 0.9


def test_crevices_see_less_of_the_room() -> None:
    """Where two balls touch less of the surroundings is seen than on their far sides."""
    one = ball(0.1)
    shift = np.array([0.1, 0, 0], np.float32)
    pair = replace(
        one,
        vertices=np.concatenate([one.vertices - shift, one.vertices + shift]),
        normals=np.concatenate([one.normals] * 2),
        triangles=np.concatenate([one.triangles, one.triangles + len(one.vertices)]),
        corner_uv=np.concatenate([one.corner_uv] * 2),
        part_weights=np.concatenate([one.part_weights] * 2),
    )
    tile = lit(Target(pair), Look(even(-20.0), lamp(sky=1.0), rays=8))
    x = np.abs(tile.view.position[..., 0])
    seen = tile.view.body & (tile.lit.cover > 0.99)
    assert tile.lit.card[seen & (x < 0.02)].mean() < 0.75 * tile.lit.card[seen & (x > 0.12)].mean()


def test_contours_are_smooth_and_labels_are_not(target: Target) -> None:
    tile = lit(target, Look(even(), lamp(sky=1.0), rays=1))
    assert set(np.unique(tile.view.skin)) == {0, 255}
    edge = (tile.lit.cover > 0) & (tile.lit.cover < 1)
    assert edge.any()
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] + 0.5 - SIDE / 2
    radius = np.sqrt(tile.view.body.sum() / np.pi)
    expected = np.clip(radius - np.hypot(rows, columns) + 0.5, 0, 1)
    assert np.abs(tile.lit.cover - expected).mean() < 0.01
    assert np.abs(tile.lit.cover.sum() / tile.view.body.sum() - 1) < 0.01


def test_a_lesion_takes_light_and_not_the_measured_tone(target: Target) -> None:
    place = place_at(np.array([0, -0.15, 0.0]), np.array([0, -1.0, 0]), 0)
    decal = Decal(disc(0.04, density=1.0), place, 0)
    look = Look(even(), lamp((0, -1, 0)), rays=1, pixel=0.005)
    bare, covered = lit(target, look), lit(target, look, (decal,))
    inside = covered.instance == 1
    inner = inside & (np.abs(covered.lit.light - bare.lit.light).sum(-1) > 1e-3)
    ratio = covered.lit.light[inner] / bare.lit.light[inner]
    assert np.median(ratio) == pytest.approx(np.exp(-1), rel=0.03)
    assert np.array_equal(bare.lit.albedo, covered.lit.albedo)


@pytest.mark.parametrize("rig", ["flash", "lamp", "window", "ring"])
def test_drawn_light_arrives_and_is_recorded(rig: Rig) -> None:
    for seed in range(8):
        rng = np.random.default_rng(seed)
        lighting = draw_lighting(rig, camera(), np.zeros(3), rng)
        tile = light_up(Target(plane(0.4)), camera(), Look(skin(), lighting, rays=1), (), (0, SIDE))
        centre = tile.lit.card[SIDE // 2, SIDE // 2]
        assert 0.2 < centre.mean() < 4
        assert lighting.as_json()["rig"] == rig
        assert np.isfinite(tile.lit.light).all()
        assert (tile.lit.light >= 0).all()
