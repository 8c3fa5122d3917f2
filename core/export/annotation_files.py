"""Annotations as files of an archive: a folder a kind, named after the image they belong to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from core.annotations import EXTENSIONS, MASK, annotation_blobs, media_type
from core.export.bundle import Entry
from core.export.names import safe_component, unique

FOLDER = "annotations"
_TAKEN = "instances.json"
"""What else lies in the folder."""


@dataclass(frozen=True, slots=True)
class AnnotationFile:
    """One annotation of one image: its name, its blob, and its path in the archive."""

    name: str
    sha256: str
    path: str


class AnnotationFiles:
    """Which annotations of the images go into an archive, and where they lie there."""

    def __init__(self, images: Sequence[Entry], wanted: Callable[[str], bool]) -> None:
        found = {name for entry in images for name in annotation_blobs(entry.record.provenance)}
        names = sorted(filter(wanted, found))
        folders = unique([_TAKEN, *(safe_component(name, "annotation") for name in names)])
        self._folders = dict(zip(names, folders[1:], strict=True))

    @property
    def masks(self) -> str | None:
        """The folder of the masks of lesions; None when there are none."""
        folder = self._folders.get(MASK)
        return None if folder is None else f"{FOLDER}/{folder}"

    def of(self, entry: Entry) -> Iterator[AnnotationFile]:
        """Yield those of an image, by name."""
        stem = entry.path.partition("/")[2].rpartition(".")[0]
        for name, sha256 in sorted(annotation_blobs(entry.record.provenance).items()):
            if name in self._folders:
                folder = self._folders[name]
                ending = EXTENSIONS[media_type(name, entry.record.source)]
                path = f"{FOLDER}/{folder}/{stem}_{folder}{ending}"
                yield AnnotationFile(name, sha256, path)

    def mask(self, entry: Entry) -> str:
        """Return the path of an image's mask; empty without one."""
        return next((file.path for file in self.of(entry) if file.name == MASK), "")
