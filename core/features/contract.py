"""What a backbone is, a network that turns images into feature vectors, and all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.registry import Registry

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Weights:
    """A found file of pretrained weights."""

    path: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class Backbone:
    """A registered backbone.

    Images are resized (antialiased, aspect kept, padded with the border's median colour) to
    ``size`` x ``size``, scaled to 0..1 and normalised by mean and std. ``find`` returns the pinned
    weights or raises WeightsMissing with the command that brings them; ``build`` makes the network
    that maps N x 3 x size x size to N x dimension, in eval mode and traceable by torch.fx; with
    None it has random weights (only benchmarks do that, and say so).
    """

    name: str
    dimension: int
    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    find: Callable[[Path], Weights]
    build: Callable[[Weights | None], torch.nn.Module]
    licence: str
    summary: str


BACKBONES: Registry[Backbone] = Registry("backbone", "core.features.backbones")


def backbone(entry: Backbone) -> Backbone:
    """Register a backbone under its name."""
    BACKBONES.add(entry.name, entry)
    return entry
