"""The family ``timm:<name>``: any network of timm whose weights an operator has added.

Added weights are two files of the folder ``timm`` in the weights folder: ``<name>.safetensors`` and
``<name>.json``, which records their sha256 and what the network is fed. ``python -m
core.features.timm_files`` writes both.
"""

from __future__ import annotations

import importlib.util
import re
import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import WeightsMissing
from core.features.contract import Backbone, BackboneFamily, Weights, backbone_family
from core.features.weights import find_weights

if TYPE_CHECKING:
    import torch

PREFIX = "timm"
NAME = re.compile(r"[a-z0-9_]{1,80}(\.[a-z0-9_]{1,60})?")
INSTALL = "pip install 'timm>=1.0'"

Share = Annotated[float, Field(ge=0, le=1)]


class TimmFile(BaseModel):
    """What is recorded beside a file of weights.

    dimension is the length of the features, size the side of the square in pixels; mean and std are
    of values in 0..1, by channel.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    dimension: int = Field(ge=1, le=65_536)
    size: int = Field(ge=16, le=2048)
    mean: tuple[Share, Share, Share]
    std: tuple[Share, Share, Share]
    licence: str = Field(min_length=1, max_length=200)
    timm: str = Field(description="The version that read the weights when they were added.")


def require_timm(owner: str) -> None:
    """Raise WeightsMissing with the pip command when timm is not installed."""
    if importlib.util.find_spec("timm") is None:
        raise WeightsMissing(f"Backbone {owner!r} needs the package timm.", fix=INSTALL)


def files(name: str, weights_dir: Path) -> tuple[Path, Path]:
    """Return where the weights and the record of a network lie."""
    folder = weights_dir / PREFIX
    return folder / f"{name}.safetensors", folder / f"{name}.json"


def add_command(name: str, weights_dir: Path) -> str:
    """Return the command that adds a network's weights, from timm's hub or from a file."""
    folder = shlex.quote(str(weights_dir))
    return f"python -m core.features.timm_files {name} --weights-dir {folder}"


def here(weights_dir: Path) -> list[str]:
    """Return the names that have been added, sorted."""
    found = (path.stem for path in (weights_dir / PREFIX).glob("*.json"))
    return sorted(name for name in found if NAME.fullmatch(name))


def open_model(name: str, weights_dir: Path) -> Backbone:
    """Return the backbone that was added under this name; WeightsMissing without its record."""
    owner = f"{PREFIX}:{name}"
    _, record = files(name, weights_dir)
    fix = add_command(name, weights_dir)
    try:
        told = TimmFile.model_validate_json(record.read_bytes())
    except OSError:
        raise WeightsMissing(f"Backbone {owner!r} needs {record}.", fix=fix) from None
    except ValidationError as error:
        raise WeightsMissing(
            f"Backbone {owner!r}: {record} is no record of weights ({error.error_count()} errors).",
            fix=fix,
        ) from error
    return Backbone(
        name=owner,
        dimension=told.dimension,
        size=told.size,
        mean=told.mean,
        std=told.std,
        find=partial(find, name, told.sha256),
        build=partial(build, name),
        licence=told.licence,
        summary=f"{name} of timm, pooled features ({told.dimension} values).",
        traceable=False,
    )


def find(name: str, sha256: str, weights_dir: Path) -> Weights:
    """Return the added weights if they still are the bytes that were recorded."""
    owner = f"{PREFIX}:{name}"
    require_timm(owner)
    weights, _ = files(name, weights_dir)
    return find_weights(
        weights.name, [weights.parent], sha256, owner=owner, fix=add_command(name, weights_dir)
    )


def build(name: str, weights: Weights | None) -> torch.nn.Module:
    """Return the network with pooled features instead of classes, in eval mode."""
    from core.features.torchvision_loader import load_torchvision

    load_torchvision()
    import timm
    from safetensors.torch import load_file

    network: torch.nn.Module = timm.create_model(name, pretrained=False, num_classes=0)
    if weights is not None:
        network.load_state_dict(load_file(weights.path))
    return network.eval()


TIMM = backbone_family(
    BackboneFamily(
        prefix=PREFIX,
        pattern=NAME,
        open=open_model,
        here=here,
        fix=f"{INSTALL}; python -m core.features.timm_files NAME --weights-dir FOLDER",
        summary="A network of timm with weights that an operator has added, pooled features.",
    )
)
