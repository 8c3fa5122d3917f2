"""Masks that come with images: stored as grey PNG, 0 outside and 255 inside."""

from __future__ import annotations

import numpy as np

from core.ingest.images import encode_png, opened
from core.ingest.rejects import Rejected
from core.ingest.sniff import sniff

_INSIDE = 128


def prepare_mask(data: bytes, width: int, height: int, max_pixels: int) -> bytes:
    """Return the bytes of a stored mask of an image of this size.

    Any colour channel of at least 128 is inside; transparency says nothing. Rejected ``mask_size``
    when the sizes differ, else the codes of an image that does not decode.
    """
    kind = sniff(data)
    if kind == "DICOM":
        raise Rejected("unsupported_format", "Masks are read from JPEG, PNG, BMP, TIFF and WebP")
    with opened(data, kind) as image:
        if image.width * image.height > max_pixels:
            raise Rejected("too_many_pixels", f"The mask has more than {max_pixels} pixels")
        if image.size != (width, height):
            raise Rejected(
                "mask_size",
                f"The mask is {image.width} x {image.height}, its image {width} x {height}",
            )
        if image.mode in ("1", "P", "PA", "RGBA", "LA", "CMYK", "YCbCr"):
            image = image.convert("RGBA" if "A" in image.mode else "RGB")  # noqa: PLW2901
        values = np.asarray(image)
    if values.ndim == 3:
        values = values[..., :3].max(axis=2)
    if values.dtype != np.uint8:
        top = float(values.max()) or 1.0
        values = values / top * 255.0
    elif values.max(initial=0) == 1:
        values = values * 255  # masks of 0 and 1
    return encode_png(np.where(values >= _INSIDE, 255, 0).astype(np.uint8))
