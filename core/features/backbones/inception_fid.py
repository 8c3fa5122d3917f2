"""The Inception network of the Frechet Inception Distance: the one backbone that may say FID.

It is TensorFlow's network of 2015, which differs from torchvision's Inception v3 in its pooling:
averages leave out padding, and the last block takes a maximum.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.features.contract import Backbone, Weights, backbone
from core.features.weights import downloaded

if TYPE_CHECKING:
    import torch

FILE = "pt_inception-2015-12-05-6726825d.pth"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
ADDRESS = f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{FILE}"
CLASSES = 1008


def find(weights_dir: Path) -> Weights:
    """Return the pinned weights of the weights folder or of torch's cache."""
    return downloaded(weights_dir, ADDRESS, SHA256, owner="inception_fid")


def build(weights: Weights | None) -> torch.nn.Module:
    """Return the network up to its last pooling, in eval mode."""
    import torch

    from core.features.torchvision_loader import load_torchvision

    load_torchvision()
    from torchvision.models import Inception3

    network: torch.nn.Module = Inception3(
        num_classes=CLASSES, aux_logits=False, transform_input=False, init_weights=False
    )
    if weights is not None:
        network.load_state_dict(torch.load(weights.path, map_location="cpu", weights_only=True))
    for name, block in network.named_children():
        pool = _pool_of(name)
        if pool is not None:
            setattr(network, name, _repooled(block, pool))
    network.fc = torch.nn.Identity()
    return network.eval()


def _pool_of(name: str) -> torch.nn.Module | None:
    """Return the pooling of the block of this name, where it differs from torchvision's."""
    import torch

    if name == "Mixed_7c":
        return torch.nn.MaxPool2d(3, stride=1, padding=1)
    blocks = ("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e")
    if name in (*blocks, "Mixed_7b"):
        return torch.nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    return None


def _repooled(block: torch.nn.Module, pool: torch.nn.Module) -> torch.nn.Module:
    """Return a block whose pooling branch is ``pool`` and the block's own convolution.

    All branches but the pooled one, which is the last, come from the block as it is.
    """
    import torch

    convolution: Any = block.branch_pool
    block.branch_pool = torch.nn.Identity()

    class Repooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = block
            self.pool = pool
            self.convolution = convolution

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            branches: list[torch.Tensor] = self.block._forward(x)  # type: ignore[operator]
            return torch.cat([*branches[:-1], self.convolution(self.pool(x))], 1)

    return Repooled()


# pytorch-fid feeds 2 x - 1 of 0..1.
INCEPTION_FID = backbone(
    Backbone(
        name="inception_fid",
        dimension=2048,
        size=299,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        find=find,
        build=build,
        licence="Apache-2.0",
        summary="Inception of the FID (TensorFlow 2015, weights of pytorch-fid), 2048 values.",
    )
)
