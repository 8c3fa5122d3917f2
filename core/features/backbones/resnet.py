"""ResNets with ImageNet weights, penultimate layer; ResNet18 is that of the course project."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from core.features.contract import Backbone, Weights, backbone
from core.features.weights import downloaded

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Pin:
    """A published file of weights; its name ends in the first digits of its sha256."""

    file: str
    sha256: str


ADDRESS = "https://download.pytorch.org/models"
PINS = {
    "resnet18": Pin(
        "resnet18-f37072fd.pth", "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec"
    ),
    # IMAGENET1K_V2 of torchvision, trained longer than the first publication
    "resnet50": Pin(
        "resnet50-11ad3fa6.pth", "11ad3fa62ca79e40addfd354a8ec4b7c75143b3038b8d2a807fbc68deab379ca"
    ),
}
DIMENSIONS = {"resnet18": 512, "resnet50": 2048}
EPOCH_SECONDS = {"resnet18": 0.2, "resnet50": 0.45}


def find(name: str, weights_dir: Path) -> Weights:
    """Return the pinned weights of the weights folder or of torch's cache."""
    pin = PINS[name]
    return downloaded(weights_dir, f"{ADDRESS}/{pin.file}", pin.sha256, owner=name)


def build(name: str, weights: Weights | None) -> torch.nn.Module:
    """Return the network without its classification layer, in eval mode."""
    import torch

    from core.features.torchvision_loader import load_torchvision

    network: torch.nn.Module = getattr(load_torchvision().models, name)(weights=None)
    if weights is not None:
        network.load_state_dict(torch.load(weights.path, map_location="cpu", weights_only=True))
    network.fc = torch.nn.Identity()
    return network.eval()


for _name, _dimension in DIMENSIONS.items():
    backbone(
        Backbone(
            name=_name,
            dimension=_dimension,
            size=224,
            mean=(0.485, 0.456, 0.406),
            std=(0.229, 0.224, 0.225),
            find=partial(find, _name),
            build=partial(build, _name),
            licence="BSD-3-Clause",
            summary=f"{_name.replace('resnet', 'ResNet')}, ImageNet weights of torchvision, "
            f"penultimate layer ({_dimension} values).",
            epoch_seconds=EPOCH_SECONDS[_name],
        )
    )
