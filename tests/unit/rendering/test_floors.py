"""A floor lies below the horizon, ends at the wall, and is dark under the feet."""

from __future__ import annotations

import numpy as np
import pytest

from core.rendering.camera import Camera, aim
from core.rendering.floors import with_floor

SIDE = 128
WALL = np.full((SIDE, SIDE, 3), 0.5, np.float32)


def looking(height: float = 1.2, down: float = 0.6) -> Camera:
    position = np.array([0, -2.5, height])
    return aim(position, np.array([0, 0, height - down]), 0.0, np.radians(50), (SIDE, SIDE))


@pytest.fixture
def feet() -> np.ndarray:
    x, y, z = np.meshgrid(np.arange(-0.05, 0.05, 0.01), np.arange(-0.12, 0.12, 0.01), (0.0, 0.1))
    one = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    aside = np.array([0.12, 0, 0])
    return np.concatenate([one - aside, one + aside])


@pytest.mark.parametrize("seed", range(6))
def test_the_floor_is_below_and_dark_under_the_feet(feet: np.ndarray, seed: int) -> None:
    camera = looking()
    made = with_floor(WALL, camera, seed, feet)
    assert np.array_equal(made[0], WALL[0])
    changed = np.abs(made - WALL).max(axis=(1, 2)) > 1e-3
    assert changed[-1]
    assert (np.diff(changed.astype(int)) >= 0).all()  # once it begins it goes on
    x, y, _ = camera.project(np.array([[0.12, 0.0, 0.0]]))[0]
    below, aside = made[int(y), int(x)], made[int(y), 4]
    assert (below < 0.85 * aside).all()
    assert np.isfinite(made).all()
    assert (made >= 0).all()


def test_who_looks_up_sees_no_floor(feet: np.ndarray) -> None:
    assert with_floor(WALL, looking(down=-3.0), 1, feet) is WALL


def test_a_seed_is_a_floor(feet: np.ndarray) -> None:
    one, other, again = (with_floor(WALL, looking(), seed, feet) for seed in (1, 2, 1))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
