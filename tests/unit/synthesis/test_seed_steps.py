"""The course project's operations are Pillow's, byte for byte."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from core.synthesis import operations, seed_steps

PILLOW: dict[str, Callable[[Image.Image, dict[str, Any]], Image.Image]] = {
    "seed_mirror": lambda image, step: ImageOps.mirror(image),
    "seed_rotate": lambda image, step: image.rotate(step["degrees"]),
    "seed_quarter_turn": lambda image, step: image.rotate(90),
    "seed_colour": lambda image, step: ImageEnhance.Color(image).enhance(step["factor"]),
    "seed_brightness": lambda image, step: ImageEnhance.Brightness(image).enhance(1.5),
    "seed_blur": lambda image, step: image.filter(ImageFilter.GaussianBlur(1)),
    "seed_crop": lambda image, step: image.crop(
        (image.width * 0.1, image.height * 0.1, image.width * 0.9, image.height * 0.9)
    ).resize(image.size),
}


@pytest.mark.parametrize("name", sorted(PILLOW))
@given(
    size=st.tuples(st.integers(4, 70), st.integers(4, 70)),
    grey=st.booleans(),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=30, deadline=None)
def test_each_operation_equals_pillow(
    name: str, size: tuple[int, int], grey: bool, seed: int
) -> None:
    if grey and name == "seed_colour":
        return
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, size if grey else (*size, 3), dtype=np.uint8)
    step = seed_steps.draw(name, rng)
    mine, _ = operations.apply(pixels, [step])
    theirs = np.asarray(PILLOW[name](Image.fromarray(pixels), step))
    assert np.array_equal(mine, theirs)


def test_blur_equals_pillow_on_every_triple_of_values() -> None:
    """One row a value of the centre; left and right run through a grid of all values."""
    values = np.arange(256)
    grid = np.stack(np.meshgrid(values[::3], values[::5]), axis=-1).reshape(-1, 2)
    for middle in range(0, 256, 15):
        row = np.insert(grid, 1, middle, axis=1).reshape(1, -1).astype(np.uint8)
        mine, _ = operations.apply(row, [{"op": "seed_blur", "radius": 1}])
        theirs = np.asarray(Image.fromarray(row).filter(ImageFilter.GaussianBlur(1)))
        assert np.array_equal(mine, theirs)


def test_drawn_numbers_are_those_of_the_course_project() -> None:
    draws = [seed_steps.draw("seed_rotate", np.random.default_rng(i)) for i in range(60)]
    assert {d["degrees"] for d in draws} == {15, 30, 45}
    draws = [seed_steps.draw("seed_colour", np.random.default_rng(i)) for i in range(60)]
    assert all(1.2 <= d["factor"] <= 1.5 for d in draws)


@pytest.mark.parametrize("name", ["seed_mirror", "seed_rotate", "seed_quarter_turn", "seed_crop"])
def test_their_matrices_map_too(name: str) -> None:
    pixels = np.zeros((60, 60), np.uint8)
    pixels[24:27, 33:36] = 255
    changed, matrix = operations.apply(pixels, [seed_steps.draw(name, np.random.default_rng(0))])
    y, x = np.nonzero(changed > 100)
    assert matrix is not None
    expected = matrix @ np.array([34.0, 25.0, 1.0])
    assert (x.mean(), y.mean()) == pytest.approx(tuple(expected[:2]), abs=0.8)


def test_grey_images_have_no_colour_step() -> None:
    assert "seed_colour" in seed_steps.sequence("seed_generate", "rgb")
    assert len(seed_steps.sequence("seed_generate", "grey")) == 4
    assert seed_steps.sequence("seed_augment", "grey") == seed_steps.SEQUENCES["seed_augment"]
