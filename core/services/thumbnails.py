"""Thumbnails: made on first request with Pillow, kept beside the blobs."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path

from core.ids import new_id
from core.storage.blobs import BlobStore, disk_errors

MEDIA_TYPE = "image/webp"
QUALITY = 82
_DECODING = threading.BoundedSemaphore(4)
"""A large picture takes hundreds of MB while it is decoded; so many are at once."""


def thumbnail(store: BlobStore, sha256: str, size: int) -> Path:
    """Return a WebP picture that fits ``size`` x ``size``; NotFound without the blob."""
    path = store.thumbnail(sha256, size)
    if not path.is_file():
        with _DECODING:
            data = shrink(store.find(sha256), size)
        with disk_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{path.name}.{os.getpid()}.{new_id('req')}")
            try:
                partial.write_bytes(data)
                partial.rename(path)
            finally:
                partial.unlink(missing_ok=True)
        if not store.path(sha256).is_file():  # erased while it was shrunk
            path.unlink(missing_ok=True)
    return path


def shrink(path: Path, size: int) -> bytes:
    """Return a stored image as WebP within ``size`` x ``size``; never enlarged."""
    from PIL import Image

    # blobs were decoded at import under the limit of the settings, which stands for Pillow's own
    Image.MAX_IMAGE_PIXELS = None
    with Image.open(path, formats=("JPEG", "PNG")) as image:
        image.draft("RGB" if image.mode in ("RGB", "YCbCr") else "L", (size * 2, size * 2))
        picture = image if image.mode in ("RGB", "L") else image.convert("RGB")
        picture.thumbnail((size, size), Image.Resampling.LANCZOS, reducing_gap=2.0)
        target = io.BytesIO()
        picture.save(target, "WEBP", quality=QUALITY, method=4)
    return target.getvalue()
