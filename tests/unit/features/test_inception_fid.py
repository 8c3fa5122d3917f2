"""The Inception network has the features of torch-fidelity's with the same weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.errors import WeightsMissing
from core.features.backbones import inception_fid
from core.features.contract import BACKBONES, Weights
from core.features.network import fused
from core.features.torchvision_loader import load_torchvision


def test_features_are_those_of_torch_fidelity(tmp_path: Path) -> None:
    import torch

    load_torchvision()
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    from torchvision.models import Inception3

    torch.manual_seed(0)
    plain = Inception3(num_classes=1008, aux_logits=False, init_weights=False)
    for name, value in plain.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif name.endswith(("running_mean", "bn.bias")):
            value.normal_(0, 0.1)
    path = tmp_path / "weights.pth"
    torch.save(plain.state_dict(), path)
    theirs = FeatureExtractorInceptionV3("x", ["2048"], feature_extractor_weights_path=str(path))
    module = inception_fid.build(Weights(path, ""))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 299, 299), dtype=np.uint8)
    images = torch.from_numpy(pixels)
    with torch.inference_mode():
        expected = theirs(images)[0]
        scaled = (images.float() - 128) / 128
        found, quick = module(scaled), fused(module)(scaled)
    assert found.shape == (2, 2048)
    assert float(expected.std()) > 1e-4
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert torch.allclose(quick, expected, rtol=1e-3, atol=1e-5)


def test_it_is_in_the_catalog_and_says_how_to_get_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "none"))
    with pytest.raises(WeightsMissing) as caught:
        BACKBONES.get("inception_fid").find(tmp_path)
    assert inception_fid.ADDRESS in caught.value.fix
    assert (inception_fid.INCEPTION_FID.dimension, inception_fid.INCEPTION_FID.size) == (2048, 299)
