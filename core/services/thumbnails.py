"""Thumbnails: made on first request by a process with limits, kept beside the blobs."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from core.config import Settings
from core.errors import InvalidInput
from core.ids import new_id
from core.ingest.decoder import DecoderLimits
from core.ingest.rejects import Rejected
from core.ingest.shrinking import Shrinker
from core.services.decoder_limits import decoder_limits
from core.storage.blobs import BlobStore, disk_errors

MEDIA_TYPE = "image/webp"
CPU_SECONDS = 10
SECONDS = 15.0
"""The largest images that are let in take a second or two, and somebody waits for each."""


def limits(settings: Settings) -> DecoderLimits:
    """Return what one thumbnail may cost: the memory of letting the image in, and little time."""
    most = decoder_limits(settings)
    return replace(
        most,
        cpu_seconds=min(CPU_SECONDS, most.cpu_seconds),
        seconds=min(SECONDS, most.seconds),
    )


def find(store: BlobStore, sha256: str, size: int) -> Path | None:
    """Return the thumbnail that was made before, if one was."""
    path = store.thumbnail(sha256, size)
    return path if path.is_file() else None


def make(shrinker: Shrinker, store: BlobStore, sha256: str, size: int) -> Path:
    """Make a thumbnail that fits ``size`` x ``size`` and keep it.

    NotFound without the blob; Rejected when the image cannot be shrunk.
    """
    known = find(store, sha256, size)  # somebody else has made it while this waited
    if known is not None:
        return known
    data = shrinker.shrink(store.find(sha256), size)
    path = store.thumbnail(sha256, size)
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


def refusal(reason: Rejected) -> InvalidInput:
    """Return what is said of an image that cannot be shrunk."""
    return InvalidInput(
        f"There is no thumbnail of this image: {reason.detail}; its content is there",
        code="no_thumbnail",
        extra={"reason": reason.code},
    )
