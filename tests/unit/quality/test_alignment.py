"""An image and its source meet at one size: the transform undone, at the coarser resolution."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from core.quality.alignment import Aligned, aligned, padded
from core.quality.similarity import ssim


def _picture(seed: int, height: int = 60, width: int = 80) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))


def _noise(side: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)


def _likeness(pair: Aligned) -> float | None:
    return ssim(pair.first, pair.second, pair.valid)


def _resized(factor: float) -> np.ndarray:
    shift = (factor - 1) / 2
    return np.array([[factor, 0, shift], [0, factor, shift], [0, 0, 1]])


def _turned(source: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    matrix = np.vstack([cv2.getRotationMatrix2D((39.5, 29.5), 30, 1.0), [0, 0, 1]])
    image = cv2.warpPerspective(source, matrix, (90, 70), borderMode=cv2.BORDER_REFLECT)
    return np.asarray(image), matrix


def test_the_transform_is_undone() -> None:
    source = _picture(1)
    image, matrix = _turned(source)
    assert _likeness(aligned(image, source, matrix)) == pytest.approx(1, abs=1e-9)
    assert (_likeness(aligned(image, source, np.eye(3))) or 0) < 0.7
    assert (_likeness(padded(image, source)) or 0) < 0.7


def test_a_smaller_image_is_like_its_source_even_in_fine_detail() -> None:
    source = _noise(256)
    image = cv2.resize(source, (64, 64), interpolation=cv2.INTER_AREA)
    pair = aligned(np.asarray(image), source, _resized(0.25))
    assert pair.first.shape == (64, 64, 3)
    assert _likeness(pair) == pytest.approx(1, abs=1e-6)


def test_a_larger_image_is_compared_at_the_size_of_its_source() -> None:
    source = _noise(64)
    image = cv2.resize(source, (192, 192), interpolation=cv2.INTER_CUBIC)
    pair = aligned(np.asarray(image), source, _resized(3))
    assert pair.first.shape == (64, 64, 3)
    assert (_likeness(pair) or 0) > 0.9


@pytest.mark.parametrize("factor", [0.3, 0.5, 0.77, 1.6])
def test_centres_meet_at_any_scale(factor: float) -> None:
    source = _picture(3, 160, 200)
    size = (round(200 * factor), round(160 * factor))
    flags = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    image = np.asarray(cv2.resize(source, size, interpolation=flags))
    x, y = size[0] / 200, size[1] / 160
    matrix = np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])
    assert (_likeness(aligned(image, source, matrix)) or 0) > 0.99


def test_without_overlap_nothing_is_valid() -> None:
    away = np.array([[1.0, 0, 500], [0, 1, 0], [0, 0, 1]])
    assert _likeness(aligned(_picture(1), _picture(1), away)) is None


@pytest.mark.parametrize("matrix", [np.zeros((3, 3)), np.diag([1.0, 0, 1]), np.diag([1e-9, 1, 1])])
def test_a_transform_that_flattens_is_no_error(matrix: np.ndarray) -> None:
    pair = aligned(_picture(1), _picture(2), matrix)
    assert pair.first.shape == pair.second.shape


def test_padding_keeps_the_centre() -> None:
    small = _picture(1, 40, 40)
    framed = np.zeros((60, 50, 3), np.uint8)
    framed[10:50, 5:45] = small
    assert _likeness(padded(small, framed)) == pytest.approx(1)
    assert _likeness(padded(_picture(1, 30, 90), _picture(2, 90, 30))) is not None
