"""What a backbone is, a network that turns images into feature vectors, and all of them.

Most have an entry in BACKBONES. A family has backbones without an entry of their own, called
``<prefix>:<name>``: which of them a machine has, and what they look like, its files say.
"""

from __future__ import annotations

import re
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
    that maps N x 3 x size x size to N x dimension, in eval mode; with None it has random weights
    (benchmarks, which say so, and models whose weights are loaded over them). ``traceable``: by
    torch.fx, so that batch norms can be folded into the convolutions before them;
    ``epoch_seconds``: processor seconds that an image takes in an epoch of training end to end
    (``python -m tests.bench fit_finetune --full``), None where the network is not made for that.
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
    traceable: bool = True
    epoch_seconds: float | None = None

    @property
    def trainable(self) -> bool:
        return self.epoch_seconds is not None


@dataclass(frozen=True, slots=True)
class BackboneFamily:
    """Backbones that an operator adds: ``<prefix>:<name>`` with a name that ``pattern`` allows.

    ``open`` returns one from the files of the weights folder and raises WeightsMissing with the
    command that adds it; ``here`` lists the names of that folder; ``fix`` says how one is added.
    """

    prefix: str
    pattern: re.Pattern[str]
    open: Callable[[str, Path], Backbone]
    here: Callable[[Path], list[str]]
    fix: str
    summary: str


BACKBONES: Registry[Backbone] = Registry("backbone", "core.features.backbones")
FAMILIES: Registry[BackboneFamily] = Registry("backbone_family", "core.features.backbones")


def backbone(entry: Backbone) -> Backbone:
    """Register a backbone under its name."""
    BACKBONES.add(entry.name, entry)
    return entry


def backbone_family(entry: BackboneFamily) -> BackboneFamily:
    """Register a family under its prefix."""
    FAMILIES.add(entry.prefix, entry)
    return entry


def check_backbone(name: str, pointer: str = "") -> None:
    """Raise UnknownName, with close matches, when no machine could have this backbone."""
    if _member(name) is None:
        BACKBONES.get(name, pointer)


def open_backbone(name: str, weights_dir: Path, pointer: str = "") -> Backbone:
    """Return a backbone of this machine; UnknownName, and WeightsMissing for a family's."""
    found = _member(name)
    if found is None:
        return BACKBONES.get(name, pointer)
    family, member = found
    return family.open(member, weights_dir)


def known_dimension(name: str) -> int | None:
    """Return how long a backbone's features are; None for a family's, which only its files tell."""
    return BACKBONES.get(name).dimension if name in BACKBONES else None


def _member(name: str) -> tuple[BackboneFamily, str] | None:
    prefix, colon, member = name.partition(":")
    if not colon or prefix not in FAMILIES:
        return None
    family = FAMILIES.get(prefix)
    return (family, member) if family.pattern.fullmatch(member) else None
