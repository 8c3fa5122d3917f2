"""Every architecture has the features of its reference on the same weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.features.backbones import dinov2, efficientnet_lite, resnet
from core.features.contract import BACKBONES, Weights
from core.features.network import fused
from core.features.torchvision_loader import load_torchvision


def _disturbed(network: torch.nn.Module) -> torch.nn.Module:
    """Give the batch norms statistics that are not those of an untrained network."""
    for name, value in network.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif name.endswith("running_mean"):
            value.normal_(0, 0.1)
    return network.eval()


def _images(size: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=(2, 3, size, size))).float()


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_resnets_are_those_of_torchvision(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    reference = _disturbed(getattr(load_torchvision().models, name)(weights=None))
    torch.save(reference.state_dict(), tmp_path / "w.pth")
    reference.fc = torch.nn.Identity()
    _compare(lambda w: resnet.build(name, w), reference, tmp_path / "w.pth", 224)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_lites_are_those_of_their_package(number: int, tmp_path: Path) -> None:
    from efficientnet_lite_pytorch import EfficientNet

    torch.manual_seed(0)
    reference: Any = _disturbed(EfficientNet.from_name(f"efficientnet-lite{number}"))
    torch.save(reference.state_dict(), tmp_path / "w.pth")
    size = BACKBONES.get(f"efficientnet_lite{number}").size

    class Pooled(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = reference.extract_features(images).mean((2, 3))
            return found

    _compare(lambda w: efficientnet_lite.build(number, w), Pooled(), tmp_path / "w.pth", size)


def _compare(
    build: Callable[[Weights], torch.nn.Module], reference: torch.nn.Module, path: Path, size: int
) -> None:
    module = build(Weights(path, ""))
    images = _images(size)
    with torch.inference_mode():
        expected, found, quick = reference(images), module(images), fused(module)(images)
    assert float(expected.std()) > 1e-4
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert torch.allclose(quick, expected, rtol=1e-3, atol=1e-4)


def test_dinov2_reads_the_file_of_its_authors(tmp_path: Path) -> None:
    """Their file is for 518 pixels and has a mask token; the reference resamples as it goes."""
    load_torchvision()
    import timm

    torch.manual_seed(0)
    reference = timm.create_model(
        "vit_small_patch14_dinov2", pretrained=False, num_classes=0, dynamic_img_size=True
    ).eval()
    state = reference.state_dict()
    state["pos_embed"].normal_(0, 0.1)
    torch.save(state | {"mask_token": torch.zeros(1, 384)}, tmp_path / "w.pth")
    module = dinov2.build(Weights(tmp_path / "w.pth", ""))
    images = _images(224)
    with torch.inference_mode():
        expected, found = reference(images), module(images)
    assert found.shape == (2, 384)
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("number", [1, 2])
def test_the_packages_of_the_larger_lites_hold_the_pinned_weights(
    number: int, tmp_path: Path
) -> None:
    found = efficientnet_lite.find(number, tmp_path)
    assert found.sha256 == efficientnet_lite.SHA256[number]
    pixels = torch.zeros(1, 3, *(2 * [efficientnet_lite.SIZES[number]]))
    with torch.inference_mode():
        features = efficientnet_lite.build(number, found)(pixels)
    assert features.shape == (1, 1280)
    assert bool(torch.isfinite(features).all())
