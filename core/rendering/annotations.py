"""What is published beside a rendered image, as files: PNG, NPZ, COCO and JSON."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from core.manifest import canonical_json
from core.rendering.body_parts import PARTS_7, PARTS_16, merged_ids
from core.rendering.raycast import NOTHING
from core.rendering.render import Rendering

NAMES = (
    "mask", "instances", "regions", "parts_16", "parts_7", "depth", "normals", "coco", "record",
)  # fmt: skip
"""Files of an image; ``mask`` is the lesions, 0 or 255. Their media types: core.annotations."""
_DEPTH_STEP = 1e-4
"""Metres."""


def files(made: Rendering, parts: Sequence[str], labels: Sequence[str]) -> dict[str, bytes]:
    """Return all annotations of an image, encoded.

    ``parts`` name the surface's, ``labels`` the diagnosis of each lesion. instances are 16-bit
    numbers; regions 0 background, 1 not skin, 2 skin; parts numbers from 1 in PARTS_16 or PARTS_7,
    0 none; depth metres (float32, 0 where there is no body, array ``depth``); normals the world's
    x, y, z as 8-bit colours (n + 1) / 2, 0 where there is no body.
    """
    return {
        "mask": png(np.where(made.instance > 0, 255, 0).astype(np.uint8)),
        "instances": png(made.instance.astype(np.uint16)),
        "regions": png(made.regions),
        "parts_16": png(part_numbers(made, parts, PARTS_16)),
        "parts_7": png(part_numbers(made, parts, PARTS_7)),
        "depth": _depth(made),
        "normals": png(_normals(made)),
        "coco": json.dumps(coco(made, labels), sort_keys=True).encode(),
        "record": canonical_json(made.record | {"labels": list(labels)}).encode(),
    }


def part_numbers(made: Rendering, parts: Sequence[str], merged: Sequence[str]) -> NDArray[np.uint8]:
    """Return the number of each pixel's part among ``merged``, from 1; 0 for none."""
    numbers = np.zeros(NOTHING + 1, np.uint8)
    numbers[: len(parts)] = merged_ids(parts, merged)
    return np.asarray(numbers[made.view.part])


def coco(made: Rendering, labels: Sequence[str]) -> dict[str, Any]:
    """Return the lesions as COCO instances (RLE): what pycocotools loads."""
    from pycocotools import mask as rle

    height, width = made.instance.shape
    names = sorted(set(labels))
    found = []
    for number, label in enumerate(labels, start=1):
        inside = np.asfortranarray(made.instance == number, np.uint8)
        if not inside.any():
            continue
        encoded = rle.encode(inside)
        found.append(
            {
                "id": number,
                "image_id": 1,
                "category_id": 1 + names.index(label),
                "segmentation": {
                    "size": [height, width],
                    "counts": encoded["counts"].decode("ascii"),
                },
                "area": int(inside.sum()),
                "bbox": [float(v) for v in rle.toBbox(encoded)],
                "iscrowd": 0,
            }
        )
    return {
        "images": [{"id": 1, "file_name": "image", "width": width, "height": height}],
        "annotations": found,
        "categories": [{"id": n, "name": name} for n, name in enumerate(names, start=1)],
    }


def png(values: NDArray[Any]) -> bytes:
    """Return 8-bit grey or RGB, or 16-bit grey, as PNG."""
    stored = values[..., ::-1] if values.ndim == 3 else values
    return bytes(cv2.imencode(".png", np.ascontiguousarray(stored))[1])


def _depth(made: Rendering) -> bytes:
    """Return depth rounded to a tenth of a millimetre, which compresses; the bytes are stable."""
    steps = np.rint(made.view.depth / np.float32(_DEPTH_STEP)) * np.float32(_DEPTH_STEP)
    array, kept = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array(array, steps, allow_pickle=False)
    entry = zipfile.ZipInfo("depth.npy")  # dated 1980: no time of day in the bytes
    with zipfile.ZipFile(kept, "w") as archive:
        archive.writestr(entry, array.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=1)
    return kept.getvalue()


def _normals(made: Rendering) -> NDArray[np.uint8]:
    coloured = made.view.normal * np.float32(127.5) + np.float32(128.0)
    coloured *= made.view.body[..., None]
    return coloured.astype(np.uint8)
