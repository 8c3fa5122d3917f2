"""Operations on pixels: what is drawn, what is done, and where the matrix says pixels go."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from pydantic import TypeAdapter, ValidationError

from core.synthesis import operations
from core.synthesis.policy import Operation, default_operations

ADAPTER: TypeAdapter[Any] = TypeAdapter(Operation)
GEOMETRIC = ("flip", "quarter_turn", "rotate", "zoom")
EVERY = (
    *GEOMETRIC,
    *("elastic", "colour", "hue", "brightness", "contrast", "blur", "hair", "ruler"),
)


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> Any:
    shape = (height, width, 3) if channels == 3 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def spot(height: int, width: int, x: int, y: int) -> Any:
    """A soft spot on black: its centre of mass tells where (x, y) went."""
    drawn = np.zeros((height, width), np.float32)
    drawn[y, x] = 1
    soft = cv2.GaussianBlur(drawn, (0, 0), 2.0)
    return np.asarray(soft / soft.max() * 255, np.uint8)


def centre(pixels: Any, near: Any) -> tuple[float, float]:
    """The centre of mass around a place: a reflected border may show the spot's foot once more."""
    y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    weight = pixels * (np.hypot(x - near[0], y - near[1]) < 10.0)
    return float((weight * x).sum() / weight.sum()), float((weight * y).sum() / weight.sum())


def steps_of(name: str, seed: int, **changes: Any) -> list[dict[str, Any]]:
    operation = ADAPTER.validate_python({"op": name} | changes)
    return operations.draw([operation], np.random.default_rng(seed))


@pytest.mark.parametrize("name", GEOMETRIC)
@given(seed=st.integers(0, 2**32), size=st.tuples(st.integers(60, 90), st.integers(60, 90)))
@settings(max_examples=25, deadline=None)
def test_the_matrix_says_where_a_pixel_goes(name: str, seed: int, size: tuple[int, int]) -> None:
    height, width = size
    x, y = width // 2 + 7, height // 2 - 4
    pixels, matrix = operations.apply(spot(height, width, x, y), steps_of(name, seed))
    assert matrix is not None
    expected = matrix @ np.array([x, y, 1.0])
    assert centre(pixels, expected) == pytest.approx(tuple(expected[:2]), abs=0.35)


@given(seed=st.integers(0, 2**32), count=st.integers(2, 5))
@settings(max_examples=25, deadline=None)
def test_fused_steps_have_one_matrix(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    names = [GEOMETRIC[int(rng.integers(4))] for _ in range(count)]
    steps = [s for n in names for s in steps_of(n, int(rng.integers(2**32)))]
    steps = [s for s in steps if s["op"] != "zoom" or 0.9 <= s["factor"] <= 1.25]
    pixels, matrix = operations.apply(spot(96, 80, 44, 43), steps)
    assert matrix is not None
    expected = matrix @ np.array([44, 43, 1.0])
    if 8 < expected[0] < pixels.shape[1] - 9 and 8 < expected[1] < pixels.shape[0] - 9:
        assert centre(pixels, expected) == pytest.approx(tuple(expected[:2]), abs=0.6)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 3), (40, 56)])
def test_every_operation_keeps_type_and_input(name: str, size: tuple[int, int]) -> None:
    for channels in (3, 1):
        if channels == 1 and "grey" not in type(ADAPTER.validate_python({"op": name})).modalities:
            continue
        pixels = noise(*size, channels)
        pixels.flags.writeable = False
        before = pixels.copy()
        changed, _ = operations.apply(pixels, steps_of(name, 3))
        assert changed.dtype == np.uint8
        assert changed.ndim == pixels.ndim
        assert sorted(changed.shape[:2]) == sorted(size)
        assert np.array_equal(pixels, before)


@pytest.mark.parametrize("name", EVERY)
def test_the_same_steps_give_the_same_bytes(name: str) -> None:
    pixels = noise(48, 64)
    steps = steps_of(name, 11)
    first, _ = operations.apply(pixels, steps)
    second, _ = operations.apply(pixels.copy(), [dict(s) for s in steps])
    assert np.array_equal(first, second)
    if name not in ("flip", "quarter_turn"):
        assert not np.array_equal(first, operations.apply(pixels, steps_of(name, 12))[0])


def test_drawn_numbers_lie_in_their_ranges() -> None:
    for seed in range(200):
        (step,) = steps_of("rotate", seed, degrees=[-5, 12])
        assert -5 <= step["degrees"] <= 12
        (step,) = steps_of("zoom", seed, factor=[1.5, 1.5])
        assert step["factor"] == 1.5
        (step,) = steps_of("hair", seed, count=[2, 3])
        assert step["count"] in (2, 3)


def test_probability_decides_whether_an_operation_happens() -> None:
    happened = sum(len(steps_of("flip", seed, probability=0.3)) for seed in range(1000))
    assert 240 < happened < 360
    assert not any(steps_of("flip", seed, probability=0) for seed in range(50))


def test_colour_is_that_of_pillow() -> None:
    pixels = noise(30, 40)
    for factor in (0.0, 0.5, 1.0, 1.4):
        mine, _ = operations.apply(pixels, [{"op": "colour", "factor": factor}])
        theirs = np.asarray(ImageEnhance.Color(Image.fromarray(pixels)).enhance(factor))
        assert np.abs(mine.astype(int) - theirs.astype(int)).max() <= 2


def test_tone_steps_are_joined_without_clipping_in_between() -> None:
    pixels = np.full((4, 4, 3), 200, np.uint8)
    steps = [{"op": "brightness", "factor": 2.0}, {"op": "brightness", "factor": 0.5}]
    assert np.array_equal(operations.apply(pixels, steps)[0], pixels)


def test_contrast_keeps_the_mean() -> None:
    pixels = np.asarray(noise(60, 60) // 2 + 64, np.uint8)
    for image in (pixels, np.ascontiguousarray(pixels[..., 0])):
        changed, _ = operations.apply(image, [{"op": "contrast", "factor": 0.6}])
        assert changed.mean() == pytest.approx(image.mean(), abs=1.0)
        assert changed.std() == pytest.approx(0.6 * image.std(), rel=0.05)


def test_hue_moves_red_towards_green_and_spares_grey() -> None:
    red = np.zeros((2, 2, 3), np.uint8)
    red[..., 0] = 200
    turned, _ = operations.apply(red, [{"op": "hue", "degrees": 120.0}])
    assert turned[0, 0].tolist() == [0, 200, 0]
    grey = np.full((2, 2, 3), 90, np.uint8)
    assert np.array_equal(operations.apply(grey, [{"op": "hue", "degrees": 77.0}])[0], grey)


def test_a_black_border_is_black_and_a_reflected_one_is_not() -> None:
    white = np.full((41, 41, 3), 255, np.uint8)
    black, _ = operations.apply(white, [{"op": "rotate", "degrees": 45.0, "border": "black"}])
    assert black[0, 0].tolist() == [0, 0, 0]
    full, _ = operations.apply(white, [{"op": "rotate", "degrees": 45.0, "border": "reflect"}])
    assert full.min() == 255


def test_elastic_moves_pixels_no_farther_than_its_amplitude_and_has_no_matrix() -> None:
    ramp = np.tile(np.arange(0, 200, 2, dtype=np.uint8), (100, 1))
    step = {"op": "elastic", "amplitude": 0.03, "smoothness": 0.1, "seed": 5}
    moved, matrix = operations.apply(ramp, [step])
    assert matrix is None
    inner = np.abs(moved.astype(int) - ramp.astype(int))[10:-10, 10:-10]
    assert 0 < inner.max() <= 2 * 3 * 1.4 + 1


def test_high_quality_is_another_interpolation() -> None:
    pixels = noise(40, 40)
    steps = [{"op": "rotate", "degrees": 20.0, "border": "reflect"}]
    standard, first = operations.apply(pixels, steps, "standard")
    high, second = operations.apply(pixels, steps, "high")
    assert not np.array_equal(standard, high)
    assert np.array_equal(np.asarray(first), np.asarray(second))


def test_artefacts_darken_some_of_the_image() -> None:
    pixels = np.full((128, 128, 3), 220, np.uint8)
    for name in ("hair", "ruler"):
        changed, matrix = operations.apply(pixels, steps_of(name, 1))
        share = float((changed.min(axis=2) < 150).mean())
        assert 0.001 < share < 0.3
        assert np.array_equal(np.asarray(matrix), np.eye(3))


def test_the_default_policy_suits_its_modality() -> None:
    names = {step.op for step in default_operations("rgb")}
    assert {"colour", "hue"} <= names
    assert not {"hair", "ruler"} & names
    assert not {"colour", "hue"} & {step.op for step in default_operations("grey")}


@pytest.mark.parametrize(
    "raw",
    [
        {"op": "spin"},
        {},
        {"op": "rotate", "angle": 3},
        {"op": "rotate", "degrees": [10, -10]},
        {"op": "rotate", "degrees": [0, 1e9]},
        {"op": "zoom", "factor": [float("nan"), 1]},
        {"op": "blur", "sigma": [0, float("inf")]},
        {"op": "flip", "probability": 1.5},
        {"op": "quarter_turn", "turns": []},
        {"op": "quarter_turn", "turns": [1, 1]},
        {"op": "hair", "count": [1, 10**9]},
        {"op": "elastic", "smoothness": [0, 0.1]},
    ],
)
def test_hostile_operations_are_refused(raw: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(raw)
