"""COCO: images, categories and, where an image has a lesion mask, an instance with its outline.

Format: https://cocodataset.org/#format-data (Lin et al. 2014). COCO knows no label of a whole
image: every image carries ``category_id`` beside its standard members, and an image without a mask
has no annotation rather than an invented box.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.export.bundle import Entry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NAME = "annotations/instances.json"


def mask_of(entry: Entry) -> str | None:
    """Return the blob of an image's lesion mask."""
    found: str | None = (entry.record.provenance.get("annotations") or {}).get("mask")
    return found


def coco(images: Sequence[Entry], find: Callable[[str], Path]) -> str:
    """Return instances.json; masks are run-length encoded, boxes are [x, y, width, height]."""
    labels = sorted({entry.record.label for entry in images})
    numbers = {label: number for number, label in enumerate(labels, start=1)}
    annotations: list[dict[str, Any]] = []
    for image_id, entry in enumerate(images, start=1):
        sha256 = mask_of(entry)
        if sha256 is not None:
            found = _instance(_read_mask(find(sha256)))
            if found is not None:
                row = {"image_id": image_id, "category_id": numbers[entry.record.label]}
                annotations.append({"id": len(annotations) + 1} | row | found)
    document = {
        "info": {"description": "Exported by DermSynth3D; research use only."},
        "categories": [{"id": numbers[label], "name": label} for label in labels],
        "images": [
            _image(number, entry, numbers[entry.record.label])
            for number, entry in enumerate(images, start=1)
        ],
        "annotations": annotations,
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n"


def _image(number: int, entry: Entry, category: int) -> dict[str, Any]:
    record = entry.record
    return {
        "id": number,
        "file_name": entry.path,
        "width": record.width,
        "height": record.height,
        "category_id": category,
        "split": record.split,
        "source": record.source,
        "group_ids": list(record.group_ids),
    }


def _read_mask(path: Path) -> NDArray[np.bool_]:
    import numpy as np
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("L")) >= 128


def _instance(mask: NDArray[np.bool_]) -> dict[str, Any] | None:
    """Return segmentation, area and box of a mask; None when it is empty."""
    import numpy as np
    from pycocotools import mask as rle

    if not mask.any():
        return None
    encoded = rle.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {
        "segmentation": {"size": list(mask.shape), "counts": encoded["counts"].decode("ascii")},
        "area": int(rle.area(encoded)),
        "bbox": [float(value) for value in rle.toBbox(encoded)],
        "iscrowd": 0,
    }
