"""Corner values in texture space."""

from __future__ import annotations

import numpy as np

from core.rendering.baking import bake, spread


def test_a_square_of_two_triangles_is_its_own_coordinates() -> None:
    uv = np.array([[[0, 0], [1, 0], [1, 1]], [[0, 0], [1, 1], [0, 1]]], float)
    baked, covered = bake(uv, uv, 8)
    assert covered.all()
    centres = (np.arange(8) + 0.5) / 8
    assert np.allclose(baked[..., 0], centres[None, :], atol=1e-6)
    assert np.allclose(baked[..., 1], centres[::-1, None], atol=1e-6)


def test_what_lies_outside_and_what_has_no_area_draws_nothing() -> None:
    uv = np.array([[[0.5, 0.5]] * 3, [[-1, -1], [-0.5, -1], [-1, -0.5]]], float)
    baked, covered = bake(uv, np.ones((2, 3, 1)), 4)
    assert not covered.any() and not baked.any()


def test_a_triangle_covers_half_of_its_square() -> None:
    uv = np.array([[[0.1, 0.1], [0.9, 0.1], [0.1, 0.9]]], float)
    _, covered = bake(uv, np.ones((1, 3, 1)), 100)
    assert abs(covered.mean() - 0.32) < 0.006
    assert covered[-12, 12] and not covered[12, -12]


def test_labels_spread_so_far_and_not_over_what_is_covered() -> None:
    labels, covered = np.zeros((9, 9), np.uint8), np.zeros((9, 9), bool)
    covered[4, 4:6] = True
    labels[4, 4], labels[0, 0] = 7, 9
    wide = spread(labels, covered, 2)
    assert wide[4, 4] == 7 and wide[4, 5] == 0 and wide[4, 2] == 7 and wide[4, 1] == 0
    assert wide[0, 0] == 0
    assert np.array_equal(spread(labels, covered, 0), np.where(covered, labels, 0))
