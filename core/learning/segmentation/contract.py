"""What an architecture for segmentation is, and all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from core.errors import InvalidInput
from core.features.contract import Weights
from core.pointers import invalid
from core.registry import Registry

if TYPE_CHECKING:
    import torch

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Of the channels over 0..1: those of ImageNet, for networks with weights of it and without."""

Begin = Literal["random", "imagenet"]
ArmName = Literal["real", "synthetic", "combined"]
ARMS: tuple[ArmName, ...] = get_args(ArmName)


@dataclass(frozen=True, slots=True)
class Architecture:
    """A registered network: N x 3 x s x s normalised pixels to N x s x s logits of the lesion.

    ``build(weights)``: None gives random ones. ``find``: returns the pinned ImageNet weights or
    raises WeightsMissing; None: it has none. ``smallest`` and ``multiple`` bound the side of its
    squares. ``seconds``: CPU seconds of one core a megapixel of one pass with its gradient;
    ``bytes_per_pixel``: memory of a batch in training; ``checkpoint_seconds``: least time between
    two checkpoints, by their size.
    """

    name: str
    summary: str
    build: Callable[[Weights | None], torch.nn.Module]
    find: Callable[[Path], Weights] | None
    smallest: int
    multiple: int
    seconds: float
    bytes_per_pixel: int
    checkpoint_seconds: float
    licence: str | None = None
    """Of the ImageNet weights."""

    def weights(self, begin: Begin, folder: Path) -> Weights | None:
        """Return the weights to begin with; WeightsMissing names the command that brings them."""
        if begin == "random":
            return None
        if self.find is None:
            raise invalid("/weights", no_pretrained(self.name), code="no_pretrained_weights")
        return self.find(folder)


def no_pretrained(name: str) -> str:
    """Return why an architecture cannot begin with ImageNet weights."""
    return f"There are no ImageNet weights for {name}: set weights to random"


ARCHITECTURES: Registry[Architecture] = Registry(
    "architecture", "core.learning.segmentation.architectures"
)


def architecture(entry: Architecture) -> Architecture:
    """Register an architecture."""
    ARCHITECTURES.add(entry.name, entry)
    return entry


def no_masks(pointer: str, images: int) -> InvalidInput:
    """Return the error for images none of which has a mask."""
    return invalid(
        pointer,
        f"None of the {images} images of this version has a mask: import them with the layout "
        "masks, or make synthetic ones with a generator that draws masks (transplant, render3d)",
        code="no_masks",
    )
