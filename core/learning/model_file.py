"""A trained classifier on disk: ``model.skops`` beside ``model.json``, read without pickle."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.errors import JobFailed
from core.learning.contract import CLASSIFIERS
from core.manifest import canonical_json

INTENDED_USE = "research only, not for diagnosis"
MODEL_FILE = "model.skops"
INFO_FILE = "model.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Everything that a model needs beside its weights to be used and judged.

    classes are in the order of the probability columns; params are the classifier's, complete;
    versions are those of the libraries that wrote the file; model_sha256 is of ``model.skops``.
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

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {
            "classes": list(self.classes),
            "training_version_ids": list(self.training_version_ids),
        }


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that fit and write models."""
    from importlib.metadata import version

    return {name: version(name) for name in ("scikit-learn", "skops", "numpy")}


def dump_estimator(estimator: Any) -> bytes:
    """Return a fitted estimator as the bytes of ``model.skops``."""
    import skops.io

    data: bytes = skops.io.dumps(estimator)
    return data


def dump_info(info: ModelInfo) -> bytes:
    """Return the bytes of ``model.json``."""
    return (canonical_json(info.as_json()) + "\n").encode()


def load_model(model: Path, info: Path) -> tuple[Any, ModelInfo]:
    """Return the fitted estimator and what is known of it.

    JobFailed (``model_corrupt``) when ``model.skops`` has not the recorded sha256, holds a type
    outside the classifier's fixed list, or ``model.json`` is not one of ours.
    """
    described = _read_info(info)
    data = model.read_bytes()
    if hashlib.sha256(data).hexdigest() != described.model_sha256:
        raise _corrupt("its bytes are not those that were recorded at training")
    return _load_estimator(data, described.classifier), described


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
