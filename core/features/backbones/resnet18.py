"""ResNet18 with ImageNet weights, penultimate layer: the backbone of the course project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from core.features.contract import Backbone, Weights, backbone
from core.features.weights import downloaded

if TYPE_CHECKING:
    import torch

FILE = "resnet18-f37072fd.pth"
SHA256 = "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec"
ADDRESS = f"https://download.pytorch.org/models/{FILE}"


def find(weights_dir: Path) -> Weights:
    """Return the pinned weights of the weights folder or of torch's cache."""
    return downloaded(weights_dir, ADDRESS, SHA256, owner="resnet18")


def build(weights: Weights | None) -> torch.nn.Module:
    """Return the network without its classification layer, in eval mode."""
    import torch

    from core.features.torchvision_loader import load_torchvision

    load_torchvision()
    from torchvision.models import resnet18

    network: torch.nn.Module = resnet18(weights=None)
    if weights is not None:
        network.load_state_dict(torch.load(weights.path, map_location="cpu", weights_only=True))
    network.fc = torch.nn.Identity()
    return network.eval()


RESNET18 = backbone(
    Backbone(
        name="resnet18",
        dimension=512,
        size=224,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        find=find,
        build=build,
        licence="BSD-3-Clause",
        summary="ResNet18, ImageNet weights of torchvision, penultimate layer (512 values).",
    )
)
