"""LPIPS agrees with its authors' library on the same weights; missing weights say what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from core.errors import WeightsMissing
from core.features.torchvision_loader import load_torchvision
from core.quality import measures, perceptual
from core.quality.perceptual import Lpips


@pytest.fixture(scope="module")
def reference() -> Any:
    """The library's network: an AlexNet of random weights below the published channel weights."""
    import torch

    load_torchvision()
    import lpips

    torch.manual_seed(0)
    with pytest.warns(UserWarning, match="deprecated"):
        return lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)


@pytest.fixture(scope="module")
def ours(reference: Any) -> Lpips:
    state = reference.state_dict()
    names = {0: "slice1", 3: "slice2", 6: "slice3", 8: "slice4", 10: "slice5"}
    trunk = {
        f"features.{place}.{part}": state[f"net.{name}.{place}.{part}"]
        for place, name in names.items()
        for part in ("weight", "bias")
    }
    return Lpips(trunk, state)


def _picture(seed: int, height: int = 100, width: int = 140) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))


def test_agrees_with_lpips(reference: Any, ours: Lpips) -> None:
    import torch

    a, b = _picture(1), _picture(2)
    tensors = [
        torch.from_numpy(x.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None] for x in (a, b)
    ]
    with torch.inference_mode():
        theirs = float(reference(*tensors))
    assert theirs > 0
    assert ours(a, b) == pytest.approx(theirs, rel=1e-5)


def test_alike_is_zero_and_order_does_not_matter(ours: Lpips) -> None:
    a, b = _picture(1), _picture(2)
    assert ours(a, a) == 0
    assert ours(a, b) == pytest.approx(ours(b, a))


def test_only_the_valid_part_counts(ours: Lpips) -> None:
    a = _picture(1, 200, 200)
    b = a.copy()
    b[:, 100:] = 255 - b[:, 100:]
    valid = np.zeros((200, 200), dtype=bool)
    valid[:, :100] = True
    assert ours(a, b, valid) == 0
    assert (ours(a, b) or 0) > 0
    assert ours(a, b, np.zeros_like(valid)) is None


def test_small_and_grey_images(ours: Lpips) -> None:
    least = perceptual.SHORTEST
    assert ours(_picture(1, least - 1, 90), _picture(2, least - 1, 90)) is None
    assert ours(_picture(1, least, least), _picture(2, least, least)) is not None
    grey = _picture(1)[:, :, 0]
    assert ours(grey, np.repeat(grey[:, :, np.newaxis], 3, axis=2)) == 0
    assert ours(grey, grey) == 0


def test_missing_weights_name_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "none"))
    (tmp_path / perceptual.TRUNK).write_bytes(b"other")
    with pytest.raises(WeightsMissing) as caught:
        measures.require(["ssim", "lpips"], tmp_path)
    assert "Metric 'lpips' needs" in caught.value.detail
    assert perceptual.ADDRESS in caught.value.fix
    measures.require(["ssim", "ms_ssim"], tmp_path)


def test_the_channel_weights_of_the_package_are_the_pinned_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.features.weights import sha256_cached

    (tmp_path / perceptual.TRUNK).write_bytes(b"trunk")
    digest = sha256_cached(tmp_path / perceptual.TRUNK)
    monkeypatch.setattr(perceptual, "TRUNK_SHA256", digest)
    assert perceptual.find(tmp_path).heads.path.name == perceptual.HEADS


def test_files_are_read_safely(tmp_path: Path, reference: Any, ours: Lpips) -> None:
    import torch

    from core.features.contract import Weights

    state = reference.state_dict()
    places = {0: 1, 3: 2, 6: 3, 8: 4, 10: 5}
    trunk = {
        f"features.{i}.{part}": state[f"net.slice{n}.{i}.{part}"]
        for i, n in places.items()
        for part in ("weight", "bias")
    }
    torch.save(trunk | {"classifier.1.weight": torch.zeros(2)}, tmp_path / "trunk")
    heads = {name: value for name, value in state.items() if name.startswith("lin")}
    torch.save(heads, tmp_path / "heads")
    files = (Weights(tmp_path / name, "") for name in ("trunk", "heads"))
    loaded = perceptual.load(perceptual.PerceptualWeights(*files))
    a, b = _picture(1), _picture(2)
    assert loaded(a, b) == pytest.approx(ours(a, b))
