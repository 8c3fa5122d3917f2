"""DINOv2 ViT-S/14: features learned without labels (Oquab et al. 2023), weights of the authors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.features.backbones.timm_models import require_timm
from core.features.contract import Backbone, Weights, backbone
from core.features.weights import downloaded

if TYPE_CHECKING:
    import torch

NAME = "dinov2_vits14"
SIZE = 224
ADDRESS = "https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth"
SHA256 = "b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9"


def find(weights_dir: Path) -> Weights:
    """Return the pinned weights of the weights folder or of torch's cache."""
    require_timm(NAME)
    return downloaded(weights_dir, ADDRESS, SHA256, owner=NAME)


def build(weights: Weights | None) -> torch.nn.Module:
    """Return timm's network for 224 pixels, which answers with the class token, in eval mode.

    The position embedding of the file, made for 518 pixels, is resampled to 16 x 16 patches.
    """
    import torch

    from core.features.torchvision_loader import load_torchvision

    load_torchvision()
    import timm
    from timm.models.vision_transformer import checkpoint_filter_fn

    network: Any = timm.create_model(
        "vit_small_patch14_dinov2", pretrained=False, num_classes=0, img_size=SIZE
    )
    if weights is not None:
        state = torch.load(weights.path, map_location="cpu", weights_only=True)
        network.load_state_dict(checkpoint_filter_fn(state, network))
    built: torch.nn.Module = network.eval()
    return built


DINOV2 = backbone(
    Backbone(
        name=NAME,
        dimension=384,
        size=SIZE,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        find=find,
        build=build,
        licence="Apache-2.0",
        summary="DINOv2 ViT-S/14 (self-supervised, needs timm), class token (384 values).",
        traceable=False,
    )
)
