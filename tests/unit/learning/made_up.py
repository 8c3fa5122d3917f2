"""Records and features made up for tests: no pixels, only hashes and numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.manifest import ImageRecord

Vectors = dict[str, NDArray[np.float32]]


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def record(name: str, label: str, group: str | Sequence[str], **changes: Any) -> ImageRecord:
    groups = (group,) if isinstance(group, str) else tuple(group)
    fields: dict[str, Any] = {
        "image_id": f"img_{name}",
        "filename": f"{name}.png",
        "label": label,
        "sha256": sha(name),
        "source_sha256": sha(f"source {name}"),
        "pixel_sha256": sha(f"pixels {name}"),
        "width": 8,
        "height": 8,
        "media_type": "image/png",
        "modality": "rgb",
        "split": "train",
        "source": "real",
        "group_ids": groups,
    }
    return ImageRecord(**(fields | changes))


def synthetic(name: str, parent: ImageRecord, **changes: Any) -> ImageRecord:
    facts = {
        "source": "synthetic",
        "parents": (parent.image_id,),
        "parent_sha256": (parent.sha256,),
    }
    return record(name, parent.label, parent.group_ids, **(facts | changes))


def noise(names: Sequence[str], dimension: int, seed: int = 0) -> Vectors:
    rng = np.random.default_rng(seed)
    return {sha(n): rng.normal(size=dimension).astype(np.float32) for n in names}


def loader(vectors: Vectors) -> Callable[[Sequence[tuple[str, int]]], NDArray[np.float32]]:
    """Look features up; a turned image is its vector, a little shifted."""

    def load(keys: Sequence[tuple[str, int]]) -> NDArray[np.float32]:
        return np.stack([vectors[name] + np.float32(1e-3 * turn) for name, turn in keys])

    return load
