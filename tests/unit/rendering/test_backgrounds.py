"""Backgrounds: drawn or uploaded, of the size of the image, light that is finite."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.rendering.backgrounds import KINDS, Background, Kind, draw_background, painted


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(64, 64), (320, 200), (33, 250)])
def test_every_kind_fills_every_size(kind: Kind, size: tuple[int, int]) -> None:
    made = painted(Background(kind, 0.01, 1.0, 4), size)
    assert made.shape == (size[1], size[0], 3)
    assert made.dtype == np.float32
    assert np.isfinite(made).all()
    assert (made >= 0).all()
    assert made.std() > 0.003  # not flat


def test_a_seed_is_a_background() -> None:
    one = Background("room", 0.02, 1.0, 4)
    assert np.array_equal(painted(one, (64, 64)), painted(one, (64, 64)))
    assert not np.array_equal(painted(one, (64, 64)), painted(replace(one, seed=5), (64, 64)))


def test_an_uploaded_picture_is_cut_in_the_shape_of_the_image() -> None:
    picture = np.zeros((40, 100, 3), np.uint8)
    picture[..., 0] = np.linspace(0, 255, 100, dtype=np.uint8)
    made = painted(Background("image", 0.0, 2.0, 1), (64, 64), picture)
    assert made.shape == (64, 64, 3)
    assert not made[..., 1:].any()
    assert (np.diff(made[32, :, 0]) >= -1e-6).all()
    with pytest.raises(ValueError, match="needs a picture"):
        painted(Background("image", 0.0, 1.0, 1), (64, 64))


def test_blur_blurs() -> None:
    sharp, soft = (painted(Background("room", blur, 1.0, 2), (128, 128)) for blur in (0.0, 0.05))
    assert np.abs(np.diff(soft, axis=1)).max() < 0.3 * np.abs(np.diff(sharp, axis=1)).max()


def test_kinds_are_drawn_in_turn_and_uploads_are_used() -> None:
    rng = np.random.default_rng(0)
    assert {draw_background(rng).kind for _ in range(60)} == set(KINDS)
    assert draw_background(rng, uploaded=True).kind == "image"
