"""LPIPS: distance of two images in the layers of AlexNet, Zhang et al. 2018, version 0.1."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.features.contract import Weights
from core.features.weights import downloaded, find_weights
from core.quality.similarity import Mask, prepared
from core.synthesis.contract import Pixels

if TYPE_CHECKING:
    import torch

NAME = "lpips"
TRUNK = "alexnet-owt-7be5be79.pth"
TRUNK_SHA256 = "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02"
HEADS = "alex.pth"
HEADS_SHA256 = "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0"
ADDRESS = f"https://download.pytorch.org/models/{TRUNK}"
LONGEST = 256
"""Larger images are compared at this many pixels on the longer side, averaged over areas."""
SHORTEST = 31
"""Fewer pixels do not reach the last layer."""
_LAYERS = (1, 4, 7, 9, 11)
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)


@dataclass(frozen=True, slots=True)
class PerceptualWeights:
    """Files of AlexNet and of the weights of its channels."""

    trunk: Weights
    heads: Weights


def find(weights_dir: Path) -> PerceptualWeights:
    """Return the pinned files; WeightsMissing with the command that brings the missing one."""
    trunk = downloaded(weights_dir, ADDRESS, TRUNK_SHA256, owner=NAME, thing="Metric")
    package = importlib.util.find_spec("lpips")
    folders = (package and package.submodule_search_locations) or ()
    heads = find_weights(
        HEADS,
        [weights_dir, *(Path(folder) / "weights" / "v0.1" for folder in folders)],
        HEADS_SHA256,
        owner=NAME,
        thing="Metric",
        fix="pip install lpips==0.1.4",
    )
    return PerceptualWeights(trunk, heads)


def load(weights: PerceptualWeights, device: str = "cpu") -> Lpips:
    """Return the distance with these weights, on ``cpu`` or ``cuda``."""
    import torch

    states: list[dict[str, Any]] = [
        torch.load(found.path, map_location="cpu", weights_only=True, mmap=True)
        for found in (weights.trunk, weights.heads)
    ]
    trunk = {name: value for name, value in states[0].items() if name.startswith("features.")}
    return Lpips(trunk, states[1], device)


class Lpips:
    """Compares pairs of images; calls from several threads may overlap."""

    def __init__(
        self, trunk: dict[str, torch.Tensor], heads: dict[str, torch.Tensor], device: str = "cpu"
    ) -> None:
        """Build the network: ``features.*`` of AlexNet, ``lin0.model.1.weight`` to ``lin4``."""
        import torch

        from core.features.torchvision_loader import load_torchvision

        load_torchvision()
        from torchvision.models import alexnet

        with torch.device("meta"):  # no time and memory for weights that are replaced at once
            body = alexnet(weights=None).features
        own = {name.removeprefix("features."): value for name, value in trunk.items()}
        body.load_state_dict(own, assign=True)
        self._device = torch.device(device)
        self._body = body[: _LAYERS[-1] + 1].eval().to(self._device)
        self._body.requires_grad_(False)
        self._heads = [heads[f"lin{i}.model.1.weight"].to(self._device) for i in range(5)]

    def __call__(self, first: Pixels, second: Pixels, valid: Mask | None = None) -> float | None:
        """Return the distance, 0 (alike) upwards, of two images of one size.

        Outside ``valid`` both are made black, and only cells of a layer that lie wholly inside
        count. None when a layer has no such cell, or a side is shorter than SHORTEST pixels.
        """
        import torch

        a, b, inside = prepared(first, second, valid, LONGEST)
        if min(inside.shape) < SHORTEST:
            return None
        mask = torch.from_numpy(inside.astype(np.float32)).to(self._device)[None, None]
        images = [self._tensor(pixels, inside) for pixels in (a, b)]
        with torch.inference_mode():
            return self._distance(torch.cat(images), mask)

    def _tensor(self, pixels: Pixels, inside: Mask) -> torch.Tensor:
        """Return 1 x 3 x h x w, -1..1, shifted and scaled as the network was trained."""
        import torch

        colour = pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, np.newaxis], 3, axis=2)
        values = (colour * inside[:, :, np.newaxis]).astype(np.float64) / 127.5 - 1
        values = ((values - np.array(_SHIFT)) / np.array(_SCALE)).astype(np.float32)
        return torch.from_numpy(values).to(self._device).permute(2, 0, 1)[None]

    def _distance(self, images: torch.Tensor, mask: torch.Tensor) -> float | None:
        from torch.nn.functional import adaptive_avg_pool2d

        total, value, layer = 0.0, images, 0
        for place, module in enumerate(self._body):
            value = module(value)
            if place not in _LAYERS:
                continue
            unit = value / (value.norm(dim=1, keepdim=True) + 1e-10)
            gap = (unit[:1] - unit[1:]) ** 2
            cells = (gap * self._heads[layer]).sum(dim=1, keepdim=True)
            whole = adaptive_avg_pool2d(mask, (value.shape[2], value.shape[3])) > 0.999
            if not bool(whole.any()):
                return None
            total += float(cells[whole].mean())
            layer += 1
        return total
