"""Images and their masks as the squares that a network is trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import InvalidInput
from core.features.preprocess import placement
from core.learning.segmentation.overlap import INSIDE
from core.manifest import ImageRecord

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from core.features.computation import FeatureContext

OUTSIDE, LESION, PADDING = 0, 1, 2
"""Values of a mask's square: PADDING is no part of the image and counts nowhere."""


@dataclass(frozen=True, slots=True)
class Samples:
    """pixels: n x s x s x 3; masks: n x s x s of OUTSIDE, LESION and PADDING; both uint8."""

    pixels: NDArray[np.uint8]
    masks: NDArray[np.uint8]


def mask_of(record: ImageRecord) -> str | None:
    """Return the blob of the lesion's mask; None without one."""
    found: str | None = (record.provenance.get("annotations") or {}).get("mask")
    return found


def read_mask(blob: Callable[[str], Path], record: ImageRecord) -> NDArray[np.uint8]:
    """Return an image's mask as H x W; InvalidInput ``mask_size`` when it has another size."""
    from core.ingest.images import decode

    sha256 = mask_of(record)
    assert sha256 is not None  # noqa: S101 - only images with a mask come here
    mask = decode(blob(sha256))
    mask = mask if mask.ndim == 2 else mask.max(axis=2)
    if mask.shape != (record.height, record.width):
        raise InvalidInput(
            f"The mask of image {record.image_id} is {mask.shape[1]} x {mask.shape[0]} pixels, the "
            f"image {record.width} x {record.height}: import both at one size",
            code="mask_size",
        )
    return mask


def mask_square(mask: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return a mask where :func:`core.features.preprocess.square` puts its image."""
    import cv2
    import numpy as np

    rows, columns = placement(mask.shape[0], mask.shape[1], size)
    target = (columns.stop - columns.start, rows.stop - rows.start)
    method = cv2.INTER_AREA if size < max(mask.shape) else cv2.INTER_LINEAR
    scaled = cv2.resize(np.ascontiguousarray(mask), target, interpolation=method)
    found = np.full((size, size), PADDING, np.uint8)
    found[rows, columns] = np.where(np.asarray(scaled) >= INSIDE, LESION, OUTSIDE)
    return found


def read_samples(
    ctx: FeatureContext,
    records: Sequence[ImageRecord],
    size: int,
    folder: Path,
    *,
    span: tuple[float, float] = (0.0, 1.0),
) -> Samples:
    """Read images and masks into two unnamed, mapped files of a folder.

    StorageFull, NotFound (a blob), InvalidInput (no image, or a mask of another size).
    """
    from core.features.extract import FeatureItem
    from core.features.squares import read_rows, squares

    low, high = span
    middle = low + 0.7 * (high - low)
    items = [FeatureItem(record.sha256) for record in records]
    pixels = squares(ctx, items, size, folder, span=(low, middle))

    def read(row: int) -> NDArray[np.uint8]:
        return mask_square(read_mask(ctx.blob, records[row]), size)

    shape = (len(records), size, size)
    masks = read_rows(ctx, read, shape, folder, span=(middle, high))
    return Samples(pixels, masks)
