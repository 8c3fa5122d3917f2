"""SSIM agrees with scikit-image, MS-SSIM with pytorch-msssim; only the valid part counts."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage.metrics import structural_similarity

from core.quality import similarity
from core.quality.similarity import ms_ssim, ssim


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


@pytest.mark.parametrize(("height", "width"), [(176, 208), (320, 192)])
def test_ms_ssim_agrees_with_pytorch_msssim(height: int, width: int) -> None:
    import torch
    from pytorch_msssim import ms_ssim as theirs

    a = _picture(1, height, width)
    b = _noisy(a)
    images = [torch.from_numpy(x.astype(np.float64)).permute(2, 0, 1)[None] for x in (a, b)]
    expected = float(theirs(*images, data_range=255.0))
    # the window of the reference is float32
    assert ms_ssim(a, b) == pytest.approx(expected, abs=5e-6)
    assert ms_ssim(a, a) == pytest.approx(1)


def test_ms_ssim_needs_a_window_at_each_scale() -> None:
    assert ms_ssim(_picture(1, 175, 300), _picture(2, 175, 300)) is None
    assert ms_ssim(_picture(1, 176, 300), _picture(2, 176, 300)) is not None


def test_ms_ssim_counts_the_valid_part_only() -> None:
    a = _picture(1, 400, 400)
    b = a.copy()
    b[:, 200:] = 0
    valid = np.zeros(a.shape[:2], dtype=bool)
    valid[:, :200] = True
    assert ms_ssim(a, b, valid) == pytest.approx(1)
    assert (ms_ssim(a, b) or 0) < 0.8


def test_ms_ssim_of_a_negative_is_zero_and_not_an_error() -> None:
    a = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    assert ms_ssim(a, 255 - a) == 0
