"""Rays against Embree, and what a hit says of the surface."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.rendering.camera import Camera, aim
from core.rendering.raycast import NOTHING, Target, View, cast
from core.rendering.surface import Surface
from tests.unit.rendering.shapes import ball, plane

SIDE = 256


def front(surface: Surface, distance: float = 0.8, degrees: float = 35, side: int = SIDE) -> Camera:
    return aim(
        np.array([0.05, -distance, 0.1]), np.zeros(3), 0.3, np.radians(degrees), (side, side)
    )


def embree(surface: Surface, camera: Camera) -> dict[str, Any]:
    from embreex.mesh_construction import TriangleMesh
    from embreex.rtcore_scene import EmbreeScene

    scene = EmbreeScene()
    TriangleMesh(scene, surface.vertices, surface.triangles)
    directions = camera.directions().reshape(-1, 3)
    origins = np.repeat(camera.position[None].astype(np.float32), len(directions), axis=0)
    found = scene.run(origins, directions, output=1)
    shape = (camera.height, camera.width)
    return {name: np.asarray(found[name]).reshape(shape) for name in ("primID", "tfar", "u", "v")}


def away_from_edges(face: Any, grow: int = 3) -> Any:
    """Pixels with no silhouette near: all neighbours hit, or all miss."""
    hit = (face >= 0).astype(np.uint8)
    kernel = np.ones((grow, grow), np.uint8)
    return cv2.dilate(hit, kernel) == cv2.erode(hit, kernel)


@pytest.fixture(scope="module")
def bumpy() -> tuple[Surface, Camera, View, dict[str, Any]]:
    surface = ball(bumps=0.3, rings=128)
    camera = front(surface)
    return surface, camera, cast(Target(surface), camera), embree(surface, camera)


def test_coverage_is_embrees(bumpy: Any) -> None:
    _, _, view, oracle = bumpy
    assert 0.2 < view.body.mean() < 0.9
    assert (view.body != (oracle["primID"] >= 0)).mean() < 0.0005


def test_depth_is_embrees(bumpy: Any) -> None:
    _, _, view, oracle = bumpy
    both = view.body & (oracle["primID"] >= 0)
    assert np.median(np.abs(view.depth - oracle["tfar"])[both]) < 1e-5


def test_parts_are_those_of_embrees_barycentrics(bumpy: Any) -> None:
    surface, _, view, oracle = bumpy
    inside = view.body & (oracle["primID"] >= 0) & away_from_edges(view.face)
    u, v = oracle["u"][inside][:, None], oracle["v"][inside][:, None]
    corners = surface.part_weights[surface.triangles[oracle["primID"][inside]]]
    weights = corners[:, 0] * (1 - u - v) + corners[:, 1] * u + corners[:, 2] * v
    clear = np.abs(weights[:, 0] - weights[:, 1]) > 1e-4
    assert clear.mean() > 0.99
    assert (view.part[inside][clear] != weights.argmax(axis=1)[clear]).sum() == 0


def test_position_lies_on_the_pixels_ray_at_its_depth(bumpy: Any) -> None:
    _, camera, view, _ = bumpy
    seen = camera.project(view.position[view.body].astype(np.float64))
    rows, columns = np.nonzero(view.body)
    assert np.abs(seen[:, 0] - columns - 0.5).max() < 1e-2
    assert np.abs(seen[:, 1] - rows - 0.5).max() < 1e-2
    assert np.abs(seen[:, 2] - view.depth[view.body]).max() < 1e-5


def test_normals_of_a_ball_point_outwards() -> None:
    surface = ball()
    view = cast(Target(surface), front(surface))
    outward = view.position[view.body] / 0.2
    assert (np.sum(outward * view.normal[view.body], axis=1)).min() > 0.999


def test_uv_is_interpolated_per_corner() -> None:
    surface = plane()
    camera = aim(np.array([0, -0.5, 0]), np.zeros(3), 0.0, np.radians(30), (64, 64))
    view = cast(Target(surface), camera)
    expected = np.stack(
        [view.position[..., 0] / 0.4 + 0.5, view.position[..., 2] / 0.4 + 0.5], axis=-1
    )
    assert np.abs(view.uv - expected).max() < 1e-5


def test_what_is_not_skin_is_decided_per_pixel() -> None:
    mask = np.zeros((100, 100), np.uint8)
    mask[:50, :25] = 255  # v > 0.5, u < 0.25
    surface = replace(plane(), non_skin=mask)
    camera = aim(np.array([0, -0.5, 0]), np.zeros(3), 0.0, np.radians(30), (128, 128))
    view = cast(Target(surface), camera)
    off = (view.uv[..., 0] < 0.25) & (view.uv[..., 1] > 0.5)
    border = np.abs(view.uv - [0.25, 0.5]).min(axis=-1) < 1e-4
    assert ((view.skin == 0) == off)[~border].all()
    assert (view.skin == 0).any()


def test_nothing_is_said_where_there_is_no_body() -> None:
    surface = ball()
    view = cast(Target(surface), front(surface))
    missed = ~view.body
    assert missed.any()
    assert (view.part[missed] == NOTHING).all()
    assert not view.skin[missed].any()
    assert not view.depth[missed].any()


def test_a_camera_that_looks_away_sees_nothing() -> None:
    camera = aim(np.array([0, -1.0, 0]), np.array([0, -2.0, 0]), 0.0, 0.5, (16, 16))
    assert not cast(Target(ball()), camera).body.any()


def test_rows_are_the_rows_of_the_whole() -> None:
    surface = ball()
    target, camera = Target(surface), front(surface, side=64)
    whole, part = cast(target, camera), cast(target, camera, (20, 41))
    assert np.array_equal(whole.face[20:41], part.face)
    assert np.array_equal(whole.position[20:41], part.position)


def test_single_rays_say_when_they_come_from_inside() -> None:
    target = Target(ball())
    met = target.meet(
        np.array([[0, 0, 0], [0, -1, 0], [0, -1, 0.0]]),
        np.array([[0, -2, 0], [0, 1, 0], [1, 0, 0.0]]),
    )
    assert met.behind.tolist() == [True, False, False]
    assert (met.face >= 0).tolist() == [True, True, False]
    assert met.distance[:2] == pytest.approx([0.2, 0.8], abs=1e-3)


@settings(max_examples=40, deadline=None)
@given(
    position=st.tuples(*[st.floats(-2, 2) for _ in range(3)]),
    target=st.tuples(*[st.floats(-0.2, 0.2) for _ in range(3)]),
    roll=st.floats(-3.2, 3.2),
    degrees=st.floats(2, 120),
)
def test_a_camera_looks_at_its_target(
    position: tuple[float, ...], target: tuple[float, ...], roll: float, degrees: float
) -> None:
    if np.linalg.norm(np.subtract(position, target)) < 0.01:
        return
    camera = aim(np.array(position), np.array(target), roll, np.radians(degrees), (120, 80))
    assert np.allclose(camera.rotation @ camera.rotation.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(camera.rotation) == pytest.approx(1)
    x, y, depth = camera.project(np.array([target]))[0]
    assert (x, y) == pytest.approx((60, 40), abs=1e-6)
    assert depth == pytest.approx(np.linalg.norm(np.subtract(position, target)))
