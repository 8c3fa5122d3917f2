"""A segmentation network on disk: ``model.safetensors`` beside ``model.json``."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import JobFailed
from core.features.preprocess import VERSION
from core.learning.model_file import INTENDED_USE
from core.learning.segmentation.contract import ARCHITECTURES, MEAN, STD
from core.manifest import canonical_json

if TYPE_CHECKING:
    import torch

TASK = "segmentation"
WEIGHTS_FILE, INFO_FILE = "model.safetensors", "model.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class SegmenterInfo:
    """Everything that a network needs beside its weights to be used and judged.

    begin_sha256 is of the ImageNet weights that it began with; None: random ones. scores are those
    of the arm in cross-validation, of networks trained alike on parts of the data.
    """

    architecture: str
    size: int
    arm: str
    begin_sha256: str | None
    params: dict[str, Any]
    seed: int
    training_images: int
    training_version_ids: tuple[str, ...]
    classes: tuple[str, ...]
    versions: dict[str, str]
    history: dict[str, Any]
    scores: dict[str, Any]
    model_sha256: str
    preprocessing: dict[str, Any]
    task: str = TASK
    intended_use: str = INTENDED_USE
    format: int = FORMAT

    def as_json(self) -> dict[str, Any]:
        lists = ("classes", "training_version_ids")
        return asdict(self) | {name: list(getattr(self, name)) for name in lists}


def preprocessing(size: int) -> dict[str, Any]:
    """Return what a network is fed."""
    return {"size": size, "mean": list(MEAN), "std": list(STD), "version": VERSION}


def dump_info(info: SegmenterInfo) -> bytes:
    """Return the bytes of ``model.json``."""
    return (canonical_json(info.as_json()) + "\n").encode()


def dump_network(network: torch.nn.Module) -> bytes:
    """Return the weights as safetensors."""
    from safetensors.torch import save

    return save({k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()})


def load_segmenter(weights: Path, info: Path) -> tuple[torch.nn.Module, SegmenterInfo]:
    """Return the network in eval mode and what is known of it; JobFailed ``model_corrupt``."""
    from safetensors.torch import load

    described = _read_info(info)
    data = weights.read_bytes()
    if hashlib.sha256(data).hexdigest() != described.model_sha256:
        raise _corrupt("its bytes are not those that were recorded at training")
    if described.preprocessing != preprocessing(described.size):
        raise _corrupt("this program prepares images in another way than the one that trained it")
    if described.architecture not in ARCHITECTURES.names():
        raise _corrupt(f"{described.architecture} is not a network of this program")
    network = ARCHITECTURES.get(described.architecture).build(None)
    try:
        network.load_state_dict(load(data))
    except Exception as error:
        raise _corrupt(f"it cannot be read ({type(error).__name__})") from error
    return network.eval(), described


def _read_info(path: Path) -> SegmenterInfo:
    try:
        fields = json.loads(path.read_bytes())
        if fields["task"] != TASK or fields["format"] != FORMAT:
            raise _corrupt(f"{INFO_FILE} is not that of a segmentation network")
        for name in ("classes", "training_version_ids"):
            fields[name] = tuple(fields[name])
        return SegmenterInfo(**fields)
    except (ValueError, KeyError, TypeError) as error:
        raise _corrupt(f"{INFO_FILE} is not a model description ({error})") from error


def _corrupt(reason: str) -> JobFailed:
    return JobFailed(f"The model was not loaded: {reason}. Train it again.", code="model_corrupt")
