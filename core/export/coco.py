"""COCO: images, categories, and an instance with its outline for each lesion that is annotated.

Format: https://cocodataset.org/#format-data (Lin et al. 2014). COCO knows no label of a whole
image: every image carries ``category_id`` beside its standard members, and an image without a mask
has no annotation rather than an invented box.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.annotations import INSTANCES, MASK, annotation_blobs
from core.export.annotation_files import FOLDER, AnnotationFiles
from core.export.bundle import Entry
from core.export.licences import address, lineage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NAME = f"{FOLDER}/instances.json"
_ID_DIGITS = 13
"""Hexadecimal: below 2^53, which every reader of JSON keeps whole."""

Find = Callable[[str], Path]


def document(
    images: Sequence[Entry], files: AnnotationFiles, info: dict[str, Any], find: Find
) -> Iterator[str]:
    """Yield instances.json in pieces, the masks of one image at a time.

    Masks are run-length encoded, boxes [x, y, width, height]. The number of an image is the same in
    every export of it.
    """
    labels = sorted({entry.record.label for entry in images})
    categories = {label: number for number, label in enumerate(labels, start=1)}
    texts = sorted({entry.licence for entry in images})
    licences = {text: number for number, text in enumerate(texts, start=1)}
    numbers = image_numbers(entry.record.image_id for entry in images)
    yield f'{{"info":{_json(info)},"licenses":'
    yield _json([_licence(number, text) for text, number in licences.items()])
    yield ',"categories":'
    yield _json(
        [{"id": n, "name": label, "supercategory": "lesion"} for label, n in categories.items()]
    )
    yield ',"images":['
    yield from _joined(
        _image(entry, files)
        | {
            "id": numbers[entry.record.image_id],
            "license": licences[entry.licence],
            "category_id": categories[entry.record.label],
        }
        for entry in images
    )
    yield '],"annotations":['
    found = (
        {"image_id": numbers[e.record.image_id], "category_id": categories[e.record.label]} | shape
        for e in images
        for shape in _instances(e, find)
    )
    yield from _joined({"id": number} | row for number, row in enumerate(found, start=1))
    yield "]}\n"


def image_numbers(image_ids: Iterable[str]) -> dict[str, int]:
    """Return a number for each image that depends on its id alone; the next one where two meet."""
    taken: dict[int, str] = {}
    for image_id in sorted(set(image_ids)):
        number = int(hashlib.sha256(image_id.encode()).hexdigest()[:_ID_DIGITS], 16)
        while number in taken or number == 0:
            number += 1
        taken[number] = image_id
    return {image_id: number for number, image_id in taken.items()}


def _image(entry: Entry, files: AnnotationFiles) -> dict[str, Any]:
    record = entry.record
    return {
        "file_name": entry.path,
        "width": record.width,
        "height": record.height,
        "split": record.split,
        "source": record.source,
        "group_ids": list(record.group_ids),
        "image_uid": record.image_id,
        "annotation_files": {file.name: file.path for file in files.of(entry)},
    }


def _licence(number: int, text: str) -> dict[str, Any]:
    """Return the licences of a version as one: COCO gives an image a single one."""
    rows = lineage([text])
    named = "; ".join(row.id + (f" ({row.source})" if row.source else "") for row in rows)
    return {"id": number, "name": named, "url": "; ".join(filter(None, map(address, rows)))}


def _instances(entry: Entry, find: Find) -> Iterator[dict[str, Any]]:
    """Yield number, segmentation, area and box of each lesion: those told apart, else the mask."""
    known = annotation_blobs(entry.record.provenance)
    if INSTANCES in known and entry.record.source == "synthetic":
        yield from _shapes(_read(find(known[INSTANCES])))
    elif MASK in known:
        yield from _shapes((_read(find(known[MASK])) >= 128).astype("uint8"))


def _read(path: Path) -> NDArray[np.uint16 | np.uint8]:
    import numpy as np
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image if image.mode.startswith("I") else image.convert("L"))


def _shapes(numbers: NDArray[Any]) -> Iterator[dict[str, Any]]:
    import numpy as np
    from pycocotools import mask as rle

    for number in np.unique(numbers[numbers > 0]):
        encoded = rle.encode(np.asfortranarray(numbers == number, dtype=np.uint8))
        yield {
            "instance": int(number),
            "segmentation": {
                "size": list(numbers.shape),
                "counts": encoded["counts"].decode("ascii"),
            },
            "area": int(rle.area(encoded)),
            "bbox": [float(value) for value in rle.toBbox(encoded)],
            "iscrowd": 0,
        }


def _joined(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    for number, row in enumerate(rows):
        yield ("," if number else "") + _json(row)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
