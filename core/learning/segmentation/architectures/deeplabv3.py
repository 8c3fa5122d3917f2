"""DeepLabV3 (Chen et al. 2017) of torchvision on a ResNet-50."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from core.features.backbones.resnet import find
from core.features.contract import Weights
from core.learning.segmentation.contract import Architecture, architecture

if TYPE_CHECKING:
    import torch


def build(weights: Weights | None) -> torch.nn.Module:
    """Return the network; weights are those of the ResNet-50 alone, its head begins at random."""
    import torch

    from core.features.torchvision_loader import load_torchvision

    class DeepLab(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            made = load_torchvision().models.segmentation.deeplabv3_resnet50(
                weights=None, weights_backbone=None, num_classes=1, aux_loss=False
            )
            if weights is not None:
                state = torch.load(weights.path, map_location="cpu", weights_only=True)
                kept = {k: v for k, v in state.items() if not k.startswith("fc.")}
                made.backbone.load_state_dict(kept)
            self.network = made

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.network(images)["out"]
            return logits[:, 0]

    return DeepLab()


architecture(
    Architecture(
        name="deeplabv3",
        summary="DeepLabV3 on a ResNet-50, 39.6 million weights; for a GPU. It can begin with "
        "ImageNet weights where they were brought.",
        build=build,
        find=partial(find, "resnet50"),
        smallest=64,
        multiple=8,
        seconds=70.0,
        bytes_per_pixel=6000,
        checkpoint_seconds=300.0,
        licence="BSD-3-Clause",
    )
)
