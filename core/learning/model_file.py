"""A trained classifier on disk: its weights beside ``model.json``, read without pickle.

Classifiers on features are ``model.skops``, networks trained on pixels ``model.safetensors``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.errors import JobFailed
from core.learning.contract import CLASSIFIERS
from core.manifest import canonical_json

INTENDED_USE = "research only, not for diagnosis"
WEIGHT_FILES = {"features": "model.skops", "pixels": "model.safetensors"}
"""By what the classifier sees."""
INFO_FILE = "model.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Everything that a model needs beside its weights to be used and judged.

    classes are in the order of the probability columns; params are the classifier's, complete;
    versions are those of the libraries that wrote the file; model_sha256 is of the weights.
    preprocessing says what a network that was trained on pixels is fed; None of one on features,
    whose backbone says it. history is what the training went through, where it is told.
    """

    classes: tuple[str, ...]
    backbone: str
    backbone_sha256: str
    dimension: int
    classifier: str
    params: dict[str, Any]
    seed: int
    versions: dict[str, str]
    training_version_ids: tuple[str, ...]
    model_sha256: str
    intended_use: str = INTENDED_USE
    format: int = FORMAT
    preprocessing: dict[str, Any] | None = None
    history: dict[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {
            "classes": list(self.classes),
            "training_version_ids": list(self.training_version_ids),
        }


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that fit and write models."""
    from importlib.metadata import version

    wanted = ("numpy", "safetensors", "scikit-learn", "skops", "torch")
    return {name: version(name) for name in wanted}


def model_blob(files: Mapping[str, str]) -> str:
    """Return the hash of the weights among a model's files; JobFailed (``model_corrupt``)."""
    for name in WEIGHT_FILES.values():
        if name in files:
            return files[name]
    raise _corrupt(f"it has none of the files {', '.join(WEIGHT_FILES.values())}")


def dump_estimator(estimator: Any) -> bytes:
    """Return a fitted estimator as the bytes of its weight file."""
    from core.learning.finetuning import Finetuned

    if isinstance(estimator, Finetuned):
        return estimator.dump()
    import skops.io

    data: bytes = skops.io.dumps(estimator)
    return data


def dump_info(info: ModelInfo) -> bytes:
    """Return the bytes of ``model.json``."""
    return (canonical_json(info.as_json()) + "\n").encode()


def load_model(model: Path, info: Path) -> tuple[Any, ModelInfo]:
    """Return the fitted estimator and what is known of it.

    JobFailed (``model_corrupt``) when the weights have not the recorded sha256, hold a type outside
    the classifier's fixed list or another network, or ``model.json`` is not one of ours.
    """
    described = _read_info(info)
    data = model.read_bytes()
    if hashlib.sha256(data).hexdigest() != described.model_sha256:
        raise _corrupt("its bytes are not those that were recorded at training")
    if CLASSIFIERS.get(described.classifier).sees == "pixels":
        return _load_network(data, described), described
    return _load_estimator(data, described.classifier), described


def _load_network(data: bytes, described: ModelInfo) -> Any:
    from core.features.contract import BACKBONES
    from core.learning.finetuning import load_network, preprocessing, trainable

    if described.backbone not in trainable():
        raise _corrupt(f"{described.backbone} is not a network of this program")
    backbone = BACKBONES.get(described.backbone)
    if described.preprocessing != preprocessing(backbone):
        raise _corrupt("this program prepares images in another way than the one that trained it")
    try:
        return load_network(data, backbone, described.params, len(described.classes))
    except Exception as error:
        raise _corrupt(f"it cannot be read ({type(error).__name__})") from error


def _load_estimator(data: bytes, classifier: str) -> Any:
    import skops.io

    trusted = set(CLASSIFIERS.get(classifier).trusted)
    try:
        foreign = set(skops.io.get_untrusted_types(data=data)) - trusted
        if not foreign:
            return skops.io.loads(data, trusted=sorted(trusted))
    except Exception as error:
        raise _corrupt(f"it cannot be read ({type(error).__name__})") from error
    raise _corrupt(f"it holds types that a {classifier} does not need: {sorted(foreign)}")


def _read_info(path: Path) -> ModelInfo:
    try:
        fields = json.loads(path.read_bytes())
        if fields["format"] != FORMAT:
            raise _corrupt(f"its format is {fields['format']}, this program reads {FORMAT}")
        for name in ("classes", "training_version_ids"):
            fields[name] = tuple(fields[name])
        return ModelInfo(**fields)
    except (ValueError, KeyError, TypeError) as error:
        raise _corrupt(f"{INFO_FILE} is not a model description ({error})") from error


def _corrupt(reason: str) -> JobFailed:
    return JobFailed(f"The model was not loaded: {reason}. Train it again.", code="model_corrupt")
