"""Stored images as the squares that a network sees, for whoever trains on pixels."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInput
from core.features import preprocess
from core.features.cache import Key, key_of
from core.storage.blobs import disk_errors

if TYPE_CHECKING:
    from core.features.computation import FeatureContext
    from core.features.extract import FeatureItem

_CHUNK = 256
"""Images that are decoded between two reports of progress."""


def square_of(blob: Callable[[str], Path], key: Key, size: int) -> NDArray[np.uint8]:
    """Return one view of a stored image as size x size x 3; InvalidInput when it is no image."""
    from core.ingest.images import decode

    sha256 = key[:32].hex()
    try:
        pixels = decode(blob(sha256))
    except InvalidInput as error:
        raise InvalidInput(f"Image {sha256}: {error.detail}", code=error.code) from error
    return preprocess.square(preprocess.view(pixels, key[32], key[:32]), size)


def squares(
    ctx: FeatureContext,
    items: Sequence[FeatureItem],
    size: int,
    folder: Path | None,
    *,
    span: tuple[float, float] = (0.0, 1.0),
) -> NDArray[np.uint8]:
    """Return n x size x size x 3 in the order of the items, decoded on the job's threads.

    folder: where an unnamed file holds them (224 pixels: 150 kB an image) that is mapped, so that
    they need no memory of their own, and is gone with the array; None: in memory. span: the part of
    the progress bar that this fills.
    StorageFull, NotFound (a blob), InvalidInput (a blob that is no image).
    """

    def read(row: int) -> NDArray[np.uint8]:
        item = items[row]
        return square_of(ctx.blob, key_of(item.sha256, item.dihedral), size)

    return read_rows(ctx, read, (len(items), size, size, 3), folder, span=span)


def read_rows(
    ctx: FeatureContext,
    read: Callable[[int], NDArray[np.uint8]],
    shape: tuple[int, ...],
    folder: Path | None,
    *,
    span: tuple[float, float] = (0.0, 1.0),
) -> NDArray[np.uint8]:
    """Return an array whose rows are read by number, on the job's threads; else as squares."""
    import cv2

    cv2.setNumThreads(1)  # images are decoded in parallel, each by one thread
    count = shape[0]
    found = np.empty(shape, np.uint8) if folder is None or not count else _mapped(folder, shape)

    def fill(row: int) -> None:
        found[row] = read(row)

    low, high = span
    with ThreadPoolExecutor(ctx.threads, "decode") as pool:
        for start in range(0, count, _CHUNK):
            ctx.progress("reading", low + (high - low) * start / count)
            list(pool.map(fill, range(start, min(start + _CHUNK, count))))
    return found


def _mapped(folder: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return a map of a new file with its room taken: a full disk is an error, not SIGBUS."""
    with disk_errors(), tempfile.TemporaryFile(dir=folder) as file:
        os.posix_fallocate(file.fileno(), 0, int(np.prod(shape)))
        return np.memmap(file, np.uint8, "r+", shape=shape)
