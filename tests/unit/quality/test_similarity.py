"""SSIM agrees with scikit-image; aligned undoes the recorded transform."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage.metrics import structural_similarity

from core.quality import similarity
from core.quality.similarity import aligned_ssim, raw_ssim, ssim


def _picture(seed: int, height: int = 60, width: int = 80, grey: bool = False) -> np.ndarray:
    shape = (6, 8) if grey else (6, 8, 3)
    coarse = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))


def _noisy(pixels: np.ndarray, seed: int = 9) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 20, pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("grey", [False, True])
def test_agrees_with_scikit_image(grey: bool) -> None:
    a = _picture(1, grey=grey)
    b = _noisy(a)
    theirs = structural_similarity(  # type: ignore[no-untyped-call]
        a,
        b,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        channel_axis=None if grey else -1,
    )
    assert ssim(a, b) == pytest.approx(theirs, abs=1e-6)


def test_the_same_picture_is_one() -> None:
    assert ssim(_picture(1), _picture(1)) == pytest.approx(1)


def test_only_the_valid_part_counts() -> None:
    a = _picture(1)
    b = a.copy()
    b[:, 40:] = 0
    valid = np.zeros(a.shape[:2], dtype=bool)
    valid[:, :40] = True
    assert ssim(a, b, valid) == pytest.approx(1)
    assert (ssim(a, b) or 0) < 0.8


def test_no_whole_window_is_none() -> None:
    assert ssim(_picture(1, 10, 60), _picture(2, 10, 60)) is None
    nothing = np.zeros((60, 80), dtype=bool)
    assert ssim(_picture(1), _picture(2), nothing) is None


def test_unlike_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="unlike size"):
        ssim(_picture(1), _picture(1, 50))


def _turned(source: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    matrix = np.vstack([cv2.getRotationMatrix2D((39.5, 29.5), 30, 1.1), [0, 0, 1]])
    image = cv2.warpPerspective(source, matrix, (90, 70), borderMode=cv2.BORDER_REFLECT)
    return np.asarray(image), matrix


def test_aligned_undoes_the_transform() -> None:
    source = _picture(1)
    image, matrix = _turned(source)
    assert aligned_ssim(image, source, matrix) == pytest.approx(1, abs=1e-9)
    assert (aligned_ssim(image, source, np.eye(3)) or 0) < 0.7
    assert (raw_ssim(image, source) or 0) < 0.7


def test_aligned_without_overlap_is_none() -> None:
    away = np.array([[1.0, 0, 500], [0, 1, 0], [0, 0, 1]])
    assert aligned_ssim(_picture(1), _picture(1), away) is None


def test_raw_pads_to_one_size() -> None:
    small = _picture(1, 40, 40)
    framed = np.zeros((60, 50, 3), np.uint8)
    framed[10:50, 5:45] = small
    assert raw_ssim(small, framed) == pytest.approx(1)
    assert raw_ssim(_picture(1, 30, 90), _picture(2, 90, 30)) is not None


def test_grey_and_colour_can_be_compared() -> None:
    grey = _picture(1, grey=True)
    colour = np.repeat(grey[:, :, np.newaxis], 3, axis=2)
    assert ssim(grey, colour) == pytest.approx(1)
    assert ssim(colour, grey) == pytest.approx(1)


def test_large_images_are_compared_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similarity, "LONGEST", 40)
    a = _picture(1)
    assert ssim(a, a) == pytest.approx(1)
    assert (ssim(a, _picture(2)) or 0) < 0.9
    half = np.zeros(a.shape[:2], dtype=bool)
    half[:, :40] = True
    b = a.copy()
    b[:, 40:] = 0
    assert ssim(a, b, half) == pytest.approx(1)
