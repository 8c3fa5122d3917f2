"""Scatter plots: every category has a look of its own, outliers do not hide the rest."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from core.plots.scatter import class_scatter, framed, source_scatter

AXES = ("PC1 (50 % of variance)", "PC2 (20 % of variance)")


def _size(png: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(png)).size


@pytest.mark.parametrize("classes", [1, 8, 24, 60])
def test_any_number_of_classes(classes: int) -> None:
    points = np.random.default_rng(0).normal(size=(120, 2))
    labels = [f"a rather long class name ${i}$" for i in np.arange(120) % classes]
    assert _size(class_scatter(points, labels, "title", AXES)) == (1140, 810)


def test_sources_have_their_colours() -> None:
    points = np.array([[0.0, 0], [1, 1], [0, 1], [1, 0]])
    picture = source_scatter(points, ["real", "real", "synthetic", "synthetic"], "t", AXES)
    colours = {c for _, c in Image.open(io.BytesIO(picture)).convert("RGB").getcolors(10**6) or ()}
    assert {(0, 114, 178), (213, 94, 0)} <= colours


def test_the_same_points_give_the_same_bytes() -> None:
    points = np.random.default_rng(0).normal(size=(30, 2))
    first, second = (class_scatter(points, ["a"] * 30, "t", AXES) for _ in range(2))
    assert first == second


def test_outliers_are_moved_to_the_edge() -> None:
    points = np.random.default_rng(0).normal(size=(500, 2))
    points[7] = (1000, 0)
    shown, outside = framed(points)
    assert outside[7]
    assert outside.sum() <= 3
    assert shown[7, 0] < 10
    assert np.array_equal(shown[~outside], points[~outside])


def test_points_without_outliers_stay() -> None:
    for points in (np.random.default_rng(0).uniform(size=(50, 2)), np.zeros((4, 2))):
        shown, outside = framed(points)
        assert not outside.any()
        assert np.array_equal(shown, points)
