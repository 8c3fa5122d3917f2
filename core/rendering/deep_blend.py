"""Blending by the layers of a network, for those who have its weights.

The texture starts as the pasted lesion and is changed step by step until its content is still the
lesion's (VGG16, relu2_2), its style the skin's (Gram matrices of four layers), its edges those of
both (Laplacian), and it is smooth (total variation): Zhang, Wen and Shi 2020, Deep Image Blending,
with the weights and steps that DermSynth3D (2024) gives. Texels outside the matte stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from core.features.contract import Weights
from core.features.weights import downloaded
from core.rendering.raycast import Floats
from core.rendering.tone import to_linear, to_srgb
from core.synthesis.blending import paste

if TYPE_CHECKING:
    import torch

ADDRESS = "https://download.pytorch.org/models/vgg16-397923af.pth"
SHA256 = "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"
STEPS = 400
CONTENT, STYLE, GRADIENT, VARIATION = 2.0, 1e6, 1e5, 1e-4

_RATE = 0.005
_SIDES = (48, 128)
"""Least and most texels along the longer side that are optimised; the difference is enlarged."""
_SHORTEST = 16
_BLOCKS = (
    ((0, 3, 64), (2, 64, 64)),
    ((5, 64, 128), (7, 128, 128)),
    ((10, 128, 256), (12, 256, 256), (14, 256, 256)),
    ((17, 256, 512), (19, 512, 512), (21, 512, 512)),
)
"""Convolutions up to relu1_2, relu2_2, relu3_3, relu4_3: number in the file, channels in, out."""
_CONTENT_LAYER = 1
_MEAN, _SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def find(weights_dir: Path) -> Weights:
    """Return the pinned file; WeightsMissing with the command that brings it."""
    return downloaded(weights_dir, ADDRESS, SHA256, owner="deep_blend", thing="Blend")


@dataclass(frozen=True, slots=True)
class Layers:
    """VGG16 up to relu4_3, in four blocks."""

    blocks: tuple[torch.nn.Sequential, ...]
    device: str

    def __call__(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Return what the blocks make of an image (1, 3, H, W) of sRGB in 0..1."""
        import torch

        mean, deviation = (
            torch.tensor(values, device=image.device).view(1, 3, 1, 1) for values in (_MEAN, _SD)
        )
        found = [self.blocks[0]((image - mean) / deviation)]
        for block in self.blocks[1:]:
            found.append(block(torch.nn.functional.max_pool2d(found[-1], 2)))
        return found


def load(weights: Weights, device: str = "cpu") -> Layers:
    """Return the network with weights of ``find``; of the file only what is needed is read."""
    import torch

    stored = torch.load(weights.path, map_location="cpu", weights_only=True, mmap=True)
    blocks = []
    for block in _BLOCKS:
        parts: list[torch.nn.Module] = []
        for number, before, after in block:
            convolution = torch.nn.Conv2d(before, after, 3, padding=1)
            values = {name: stored[f"features.{number}.{name}"] for name in ("weight", "bias")}
            convolution.load_state_dict(values)
            parts += [convolution, torch.nn.ReLU()]
        blocks.append(torch.nn.Sequential(*parts).requires_grad_(False).to(device))
    return Layers(tuple(blocks), device)


def blended(skin: Floats, lesion: Floats, over: Floats, layers: Layers) -> Floats:
    """Return log light (H, W, 3) of the lesion joined to the skin; all three as in ``blending``."""
    size = _size(over.shape)
    below, source, matte = (_resized(values, size) for values in (skin, lesion, over))
    start = paste(below, source, matte)
    made = _optimised(below, source, matte, layers)
    height, width = over.shape
    change = _resized(made - start, (width, height)) * (over > 0)[..., None]
    return np.asarray(paste(skin, lesion, over) + change, np.float32)


def _size(shape: tuple[int, ...]) -> tuple[int, int]:
    height, width = shape
    scale = min(max(*shape, _SIDES[0]), _SIDES[1]) / max(shape)
    return max(_SHORTEST, round(width * scale)), max(_SHORTEST, round(height * scale))


def _resized(values: Floats, size: tuple[int, int]) -> Floats:
    shrinks = size[0] * size[1] < values.shape[0] * values.shape[1]
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(values, size, interpolation=way), np.float32)


def _optimised(skin: Floats, lesion: Floats, over: Floats, layers: Layers) -> Floats:
    import torch

    below, source, start = (
        _image(values, layers.device) for values in (skin, lesion, paste(skin, lesion, over))
    )
    matte = torch.from_numpy(over)[None, None].to(layers.device)
    inside = (matte > 0).float()
    style = [_gram(found) for found in layers(below)]
    content = layers(source * matte)[_CONTENT_LAYER]
    edges = _laplacian(below) * (1 - matte) + _laplacian(source) * matte
    texture = start.clone().requires_grad_(True)
    optimiser = torch.optim.Adam([texture], lr=_RATE)
    for _ in range(STEPS):
        optimiser.zero_grad()
        shown = texture * inside + below * (1 - inside)
        mean_square = torch.nn.functional.mse_loss
        loss = CONTENT * mean_square(layers(shown * matte)[_CONTENT_LAYER], content)
        for found, wanted in zip(layers(shown), style, strict=True):
            loss = loss + STYLE * mean_square(_gram(found), wanted) / len(style)
        loss = loss + GRADIENT * mean_square(_laplacian(shown), edges)
        loss = loss + VARIATION * _variation(shown)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    made = (texture * inside + below * (1 - inside)).detach().clamp(0, 1)
    rgb = made[0].permute(1, 2, 0).cpu().numpy()
    return np.asarray(np.log(np.maximum(to_linear(rgb), 1e-4)), np.float32)


def _image(log: Floats, device: str) -> torch.Tensor:
    """Return log light as sRGB in 0..1, (1, 3, H, W)."""
    import torch

    rgb = np.ascontiguousarray(to_srgb(np.exp(log)).transpose(2, 0, 1)[None])
    return torch.from_numpy(rgb).to(device)


def _gram(found: torch.Tensor) -> torch.Tensor:
    flat = found.flatten(2)[0]
    return flat @ flat.T / flat.numel()


def _laplacian(image: torch.Tensor) -> torch.Tensor:
    import torch

    padded = torch.nn.functional.pad(image, (1, 1, 1, 1), mode="replicate")
    around = padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1] + padded[..., 1:-1, :-2]
    return around + padded[..., 1:-1, 2:] - 4 * image


def _variation(image: torch.Tensor) -> torch.Tensor:
    down, right = image.diff(dim=-2).abs().sum(), image.diff(dim=-1).abs().sum()
    return down + right
