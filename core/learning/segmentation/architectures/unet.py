"""A small U-Net (Ronneberger, Fischer and Brox 2015) with group norms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.features.contract import Weights
from core.learning.segmentation.contract import Architecture, architecture

if TYPE_CHECKING:
    import torch

WIDTHS = (16, 32, 64, 128, 256)
"""Channels from the full square down to a sixteenth of its side: 1.9 million weights."""
_NORM_GROUPS = 8


def build(weights: Weights | None) -> torch.nn.Module:
    """Return the network with random weights (He et al. 2015)."""
    import torch
    from torch import nn

    def block(channels: int, width: int) -> nn.Module:
        """Two 3 x 3 convolutions; group norms do not depend on the batch (Wu and He 2018)."""
        layers: list[nn.Module] = []
        for taken in (channels, width):
            layers += [
                nn.Conv2d(taken, width, 3, padding=1, bias=False),
                nn.GroupNorm(_NORM_GROUPS, width),
                nn.ReLU(inplace=True),
            ]
        return nn.Sequential(*layers)

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            pairs = zip((3, *WIDTHS), WIDTHS, strict=False)
            self.down = nn.ModuleList(block(a, b) for a, b in pairs)
            deep = tuple(zip(WIDTHS[:0:-1], WIDTHS[-2::-1], strict=True))
            self.rise = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in deep)
            self.up = nn.ModuleList(block(2 * b, b) for _, b in deep)
            self.head = nn.Conv2d(WIDTHS[0], 1, 1)
            for module in self.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            found, kept = images, []
            for depth, layer in enumerate(self.down):
                found = layer(nn.functional.max_pool2d(found, 2) if depth else found)
                kept.append(found)
            for rise, layer, beside in zip(self.rise, self.up, kept[-2::-1], strict=True):
                found = layer(torch.cat([beside, rise(found)], dim=1))
            logits: torch.Tensor = self.head(found)
            return logits[:, 0]

    assert weights is None  # noqa: S101 - there are none; narrows the contract
    return UNet()


architecture(
    Architecture(
        name="unet",
        summary="A small U-Net of 1.9 million weights, for squares from 32 pixels on.",
        build=build,
        find=None,
        smallest=32,
        multiple=16,
        seconds=8.5,
        bytes_per_pixel=1800,
        checkpoint_seconds=15.0,
    )
)
