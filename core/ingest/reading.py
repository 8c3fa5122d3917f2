"""Reading the images of an archive: one thread unpacks, several decode, hash and store.

Decoders and hashes release the interpreter's lock. At most a window of files and of bytes is in
flight, so memory does not grow with the archive.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from core.ingest.annotations import prepare_mask
from core.ingest.archive import Archive
from core.ingest.fingerprints import Fingerprint, fingerprint
from core.ingest.images import pillow_limits, prepare
from core.ingest.layouts import Item
from core.ingest.rejects import Reject, Rejected
from core.manifest import Modality

_BATCH_FILES = 16
_BATCH_BYTES = 4 * 1024**2
_WINDOW_BATCHES = 4
"""Batches in flight a thread."""
_WINDOW_BYTES = 256 * 1024**2
_LARGE_PIXELS = 16_000_000
"""Images with more are decoded one at a time: pixels take up to 24 bytes each while they are."""


_Batch = list[tuple[str, "bytes | Rejected"]]


class ReadingLimits(Protocol):
    """What reading needs of the options."""

    @property
    def max_pixels(self) -> int: ...


@dataclass(frozen=True, slots=True)
class ImageRead:
    """An image that was taken: stored, hashed, its pixels let go."""

    item: Item
    stored_sha256: str
    source_sha256: str
    pixel_sha256: str
    width: int
    height: int
    media_type: str
    modality: Modality
    print: Fingerprint
    provenance: dict[str, Any]
    patient_key: str


Outcome = ImageRead | Reject
T = TypeVar("T")


def read_images(
    archive: Archive,
    items: Sequence[Item],
    put: Callable[[bytes], str],
    progress: Callable[[int, int], None],
    threads: int,
    limits: ReadingLimits,
) -> tuple[list[ImageRead], list[Reject]]:
    """Read all items and then their annotations; return images in the order of items, and rejects.

    progress is called for every image, from the calling thread; what it raises ends the reading.
    """
    by_name = {item.name: item for item in items}
    taken: dict[str, ImageRead] = {}
    rejects: list[Reject] = []
    done = 0

    large = threading.Lock()

    def one(name: str, data: bytes) -> Outcome:
        return _read(by_name[name], data, put, limits.max_pixels, large)

    with pillow_limits(limits.max_pixels):
        for outcome in _parallel(archive, frozenset(by_name), one, threads):
            done += 1
            progress(done, len(items))
            if isinstance(outcome, Reject):
                rejects.append(outcome)
            else:
                taken[outcome.item.name] = outcome
        rejects += _read_masks(archive, items, taken, put, threads, limits)
    return [taken[item.name] for item in items if item.name in taken], rejects


def _read(
    item: Item, data: bytes, put: Callable[[bytes], str], max_pixels: int, large: threading.Lock
) -> Outcome:
    """Take or reject one file; its size is in its header, so a large one is told undecoded."""
    try:
        return _taken(item, data, put, min(max_pixels, _LARGE_PIXELS))
    except Rejected as reason:
        if reason.code != "too_many_pixels" or max_pixels <= _LARGE_PIXELS:
            return reason.of(item.name)
    with large:
        try:
            return _taken(item, data, put, max_pixels)
        except Rejected as reason:
            return reason.of(item.name)


def _taken(item: Item, data: bytes, put: Callable[[bytes], str], max_pixels: int) -> ImageRead:
    image = prepare(data, max_pixels=max_pixels)
    return ImageRead(
        item=item,
        stored_sha256=put(image.data),
        source_sha256=image.source_sha256,
        pixel_sha256=image.pixel_sha256,
        width=image.width,
        height=image.height,
        media_type=image.media_type,
        modality=image.modality,
        print=fingerprint(image.pixels),
        provenance={"import": image.done} if image.done else {},
        patient_key=image.patient_key,
    )


def _read_masks(
    archive: Archive,
    items: Sequence[Item],
    taken: dict[str, ImageRead],
    put: Callable[[bytes], str],
    threads: int,
    limits: ReadingLimits,
) -> list[Reject]:
    """Store the annotations of the images that were taken; list those that cannot be used."""
    owners = {f: (i.name, key) for i in items for key, f in i.annotations.items()}
    if not owners:
        return []

    large = threading.Lock()

    def one(name: str, data: bytes) -> Reject | tuple[str, str]:
        image = taken.get(owners[name][0])
        if image is None:
            return Reject(name, "no_image", "The image of this mask was not taken")
        # a mask of another size than its image is refused by its header
        alone = large if image.width * image.height > _LARGE_PIXELS else nullcontext()
        try:
            with alone:
                mask = prepare_mask(data, image.width, image.height, limits.max_pixels)
        except Rejected as reason:
            return reason.of(name)
        return name, put(mask)

    rejects: list[Reject] = []
    for outcome in _parallel(archive, frozenset(owners), one, threads):
        if isinstance(outcome, Reject):
            rejects.append(outcome)
        else:
            name, sha256 = outcome
            owner, key = owners[name]
            taken[owner].provenance.setdefault("annotations", {})[key] = sha256
    return rejects


def _parallel(
    archive: Archive, names: frozenset[str], work: Callable[[str, bytes], T], threads: int
) -> Iterator[T | Reject]:
    """Yield what ``work`` makes of each file, in archive order, with a bounded window."""

    def all_of(batch: _Batch) -> list[T | Reject]:
        return [
            data.of(name) if isinstance(data, Rejected) else work(name, data)
            for name, data in batch
        ]

    waiting: deque[tuple[Future[list[T | Reject]], int]] = deque()
    held = 0
    with ThreadPoolExecutor(max(1, threads)) as pool:
        try:
            for batch, size in _batches(archive.read(names)):
                waiting.append((pool.submit(all_of, batch), size))
                held += size
                while len(waiting) > _WINDOW_BATCHES * threads or (
                    held > _WINDOW_BYTES and waiting
                ):
                    first, freed = waiting.popleft()
                    held -= freed
                    yield from first.result()
            while waiting:
                yield from waiting.popleft()[0].result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _batches(files: Iterable[tuple[str, bytes | Rejected]]) -> Iterator[tuple[_Batch, int]]:
    """Hand out small files several at a time: a hand-over between threads costs as much as one."""
    batch: _Batch = []
    size = 0
    for name, data in files:
        batch.append((name, data))
        size += 0 if isinstance(data, Rejected) else len(data)
        if len(batch) >= _BATCH_FILES or size >= _BATCH_BYTES:
            yield batch, size
            batch, size = [], 0
    if batch:
        yield batch, size
