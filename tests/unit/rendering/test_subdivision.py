"""Catmull-Clark: known values, what the matrix keeps, and the order of faces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InvalidInput
from core.rendering.subdivision import bilinear, catmull_clark, split

CUBE = np.array([[x, y, z] for z in (-1, 1) for y in (-1, 1) for x in (-1, 1)], float)
SIDES = np.array(
    [[0, 2, 3, 1], [4, 5, 7, 6], [0, 1, 5, 4], [2, 6, 7, 3], [0, 4, 6, 2], [1, 3, 7, 5]], np.int32
)


def volume(points: np.ndarray, quads: np.ndarray) -> float:
    a, b, c = (points[split(quads)[:, i]] for i in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def test_a_cube_has_the_points_of_the_formula() -> None:
    once = catmull_clark(SIDES, 8, 1)
    points = once.matrix @ CUBE
    assert once.quads.shape == (24, 4)
    assert np.allclose(points[:8], CUBE * 5 / 9)
    assert np.allclose(
        points[-6:], [[0, 0, -1], [0, 0, 1], [0, -1, 0], [0, 1, 0], [-1, 0, 0], [1, 0, 0]]
    )
    assert np.allclose(np.sort(np.abs(points[8:20]), axis=1), [0, 0.75, 0.75])


def test_a_torus_of_even_quads_stays_where_its_spline_is() -> None:
    """On a regular grid the scheme is the bicubic B-spline: 1/8, 6/8, 1/8 along each axis."""
    n = 6
    grid = np.arange(n * n).reshape(n, n)
    quads = np.stack(
        [grid, np.roll(grid, -1, 0), np.roll(grid, (-1, -1), (0, 1)), np.roll(grid, -1, 1)], -1
    ).reshape(-1, 4)
    values = np.random.default_rng(3).normal(size=(n * n, 1))
    fine = catmull_clark(quads.astype(np.int32), n * n, 1).matrix @ values
    square = values.reshape(n, n)
    for axis in (0, 1):
        square = (np.roll(square, 1, axis) + 6 * square + np.roll(square, -1, axis)) / 8
    assert np.allclose(fine[: n * n, 0], square.ravel())


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2), st.integers(0, 2**32 - 1))
def test_moving_and_stretching_commute_with_refining(levels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    turn, shift = rng.normal(size=(3, 3)), rng.normal(size=3)
    matrix = catmull_clark(SIDES, 8, levels).matrix
    assert np.allclose(matrix @ (CUBE @ turn + shift), (matrix @ CUBE) @ turn + shift)


def test_faces_keep_their_order_and_their_sense() -> None:
    for levels in (1, 2, 3):
        fine = catmull_clark(SIDES, 8, levels)
        points = fine.matrix @ CUBE
        assert 0 < volume(points, fine.quads) < 8
        centres = points[fine.quads].mean(axis=1).reshape(6, -1, 3).mean(axis=1)
        coarse = CUBE[SIDES].mean(axis=1)
        assert np.allclose(centres / np.linalg.norm(centres, axis=1)[:, None], coarse)


def test_an_open_mesh_is_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        catmull_clark(SIDES[:-1], 8, 1)
    assert caught.value.code == "open_mesh"


def test_corner_values_are_bilinear_and_cover_the_face() -> None:
    square = np.array([[[0, 0], [1, 0], [1, 1], [0, 1]]], float)
    fine = bilinear(square, 2)
    (x, y), (u, v) = (fine[:, 2] - fine[:, 0]).T, (fine[:, 3] - fine[:, 1]).T
    area = (x * v - y * u) / 2
    assert np.allclose(area, 1 / 16)
    assert {tuple(corner) for corner in fine.reshape(-1, 2)} == {
        (i / 4, j / 4) for i in range(5) for j in range(5)
    }


def test_corner_values_follow_the_quads() -> None:
    """The values of a coarse face stay on the fine faces that lie in it."""
    fine = catmull_clark(SIDES, 8, 2)
    numbers = np.repeat(np.arange(6.0), 4).reshape(6, 4, 1)
    assert np.array_equal(bilinear(numbers, 2)[:, 0, 0], np.repeat(np.arange(6.0), 16))
    assert len(fine.quads) == 96
