"""Reading the images of an archive: one thread unpacks and stores, processes decode and hash.

At most a window of files and of bytes is in flight, so memory does not grow with the archive.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from core.ingest.archive import Archive
from core.ingest.decoder import DecoderLimits
from core.ingest.fingerprints import Fingerprint
from core.ingest.foreign import ForeignImage, ForeignImages
from core.ingest.layouts import Item
from core.ingest.rejects import Reject, Rejected
from core.manifest import Modality


class ReadingLimits(Protocol):
    """What reading needs of the options."""

    @property
    def max_pixels(self) -> int: ...
    @property
    def decoder(self) -> DecoderLimits: ...


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


def read_images(
    archive: Archive,
    items: Sequence[Item],
    put: Callable[[bytes], str],
    progress: Callable[[int, int], None],
    processes: int,
    limits: ReadingLimits,
    *,
    with_keypoints: bool = False,
) -> tuple[list[ImageRead], list[Reject]]:
    """Read all items and then their annotations; return images in the order of items, and rejects.

    progress is called for every image, and now and then while one is waited for; what it raises
    ends the reading. with_keypoints: for the thorough search for near-duplicates.
    """
    by_name = {item.name: item for item in items}
    taken: dict[str, ImageRead] = {}
    rejects: list[Reject] = []
    done = 0

    def tick() -> None:
        progress(done, len(items))

    decoding = ForeignImages(
        processes,
        limits.max_pixels,
        limits.decoder,
        tick,
        with_keypoints=with_keypoints,
    )
    with decoding as foreign:
        for name, sent, image in foreign.images(archive.read(frozenset(by_name))):
            done += 1
            progress(done, len(items))
            if isinstance(image, Rejected):
                rejects.append(image.of(name))
            else:
                taken[name] = _stored(by_name[name], sent, image, put)
        rejects += _read_masks(archive, items, taken, put, foreign)
    return [taken[item.name] for item in items if item.name in taken], rejects


def _stored(item: Item, sent: bytes, image: ForeignImage, put: Callable[[bytes], str]) -> ImageRead:
    """Store an image; both hashes of bytes are made here, where no foreign file is decoded."""
    facts = image.facts
    sha256 = put(image.data)
    return ImageRead(
        item=item,
        stored_sha256=sha256,
        source_sha256=sha256 if facts.unchanged else hashlib.sha256(sent).hexdigest(),
        pixel_sha256=facts.pixel_sha256,
        width=facts.width,
        height=facts.height,
        media_type=facts.media_type,
        modality=facts.modality,
        print=image.print,
        provenance={"import": facts.done} if facts.done else {},
        patient_key=facts.patient_key,
    )


def _read_masks(
    archive: Archive,
    items: Sequence[Item],
    taken: dict[str, ImageRead],
    put: Callable[[bytes], str],
    foreign: ForeignImages,
) -> list[Reject]:
    """Store the annotations of the images that were taken; list those that cannot be used."""
    owners = {f: (i.name, key) for i in items for key, f in i.annotations.items()}
    if not owners:
        return []
    sizes = {
        name: (taken[owner].width, taken[owner].height)
        for name, (owner, _) in owners.items()
        if owner in taken
    }
    orphan = Rejected("no_image", "The image of this mask was not taken")
    files = (
        (name, data if name in sizes or isinstance(data, Rejected) else orphan)
        for name, data in archive.read(frozenset(owners))
    )
    rejects: list[Reject] = []
    for name, mask in foreign.masks(files, sizes):
        if isinstance(mask, Rejected):
            rejects.append(mask.of(name))
        else:
            owner, key = owners[name]
            taken[owner].provenance.setdefault("annotations", {})[key] = put(mask)
    return rejects
