"""The formats of an export, and how each is written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from core.annotations import COCO, MASK
from core.export import coco, croissant, hugging_face
from core.export.annotation_files import AnnotationFiles
from core.export.bundle import Bundle, Entry, entries
from core.export.card import Origin, dataset_card
from core.export.licences import Licence, Purpose
from core.export.metadata import metadata_csv
from core.manifest import ImageRecord

Format = Literal["imagefolder", "csv", "coco", "hf", "croissant"]
FORMATS: tuple[Format, ...] = get_args(Format)


@dataclass(frozen=True, slots=True)
class Export:
    """What is exported: versions, their images, licences of everything they were made from."""

    format: Format
    origins: tuple[Origin, ...]
    images: tuple[Entry, ...]
    licences: tuple[Licence, ...]
    purpose: Purpose

    @property
    def name(self) -> str:
        return " + ".join(origin.name for origin in self.origins)

    @property
    def version(self) -> str:
        """The hash of what is exported."""
        manifests = "\n".join(origin.manifest_sha256 for origin in self.origins)
        return hashlib.sha256(manifests.encode()).hexdigest()

    @property
    def date(self) -> str:
        """ISO date of the newest version."""
        return max(origin.created for origin in self.origins)[:10]

    @property
    def synthetic(self) -> bool:
        return any(entry.record.source == "synthetic" for entry in self.images)


def arranged(
    versions: Iterable[tuple[str, Iterable[ImageRecord]]], layout: Format
) -> tuple[Entry, ...]:
    """Return the images of an export at their paths in the archive of this format.

    ``versions``: the licences and the images of each.
    """
    licence_of: dict[str, str] = {}
    records: list[ImageRecord] = []
    for licence, found in versions:
        for record in found:
            licence_of[record.image_id] = licence
            records.append(record)
    images = entries(records, by_class=layout == "imagefolder")
    return tuple(replace(entry, licence=licence_of[entry.record.image_id]) for entry in images)


def write_export(
    target: Path,
    export: Export,
    find: Callable[[str], Path],
    progress: Callable[[int], None],
    scratch: Path,
) -> None:
    """Write the archive; ``find`` returns the file of a blob, ``progress`` gets images done.

    JobFailed ``blob_corrupt`` when the bytes of a blob are not those of its name.
    """
    card = dataset_card(
        export.origins, export.images, export.licences, export.purpose, FILES[export.format]
    )
    with Bundle(target) as bundle:
        if export.format == "hf":
            header = hugging_face.header(export.images, export.name, export.licences)
            bundle.text("README.md", header + card)
            hugging_face.write_parquet(bundle, export.images, find, progress, scratch)
            return
        files = AnnotationFiles(export.images, WANTED[export.format])
        bundle.text("README.md", card)
        for done, entry in enumerate(export.images, start=1):
            bundle.image(entry, find(entry.record.sha256))
            for file in files.of(entry):
                bundle.annotation(entry, file.path, file.sha256, find(file.sha256))
            progress(done)
        bundle.text("metadata.csv", metadata_csv(export.images, files.mask))
        if export.format == "coco":
            bundle.text(coco.NAME, coco.document(export.images, files, _info(export), find))
        if export.format == "croissant":
            sha256 = bundle.sums["metadata.csv"]
            bundle.text(croissant.NAME, _croissant(export, sha256, files.masks))


def _info(export: Export) -> dict[str, Any]:
    """Return what COCO tells of a whole dataset."""
    dated = {"year": int(export.date[:4]), "date_created": export.date} if export.date else {}
    return {
        "description": f"{export.name}. {_described(export)}",
        "version": f"1.0.0+{export.version[:12]}",
        "contributor": "DermSynth3D",
        **dated,
    }


def _croissant(export: Export, metadata_sha256: str, masks: str | None) -> str:
    return croissant.croissant(
        export.name,
        _described(export),
        export.licences,
        metadata_sha256,
        export.version,
        export.date,
        synthetic=export.synthetic,
        masks=masks,
    )


def _described(export: Export) -> str:
    return (
        f"{len(export.images)} images exported by DermSynth3D. Research use only, not a medical "
        "device."
    )


WANTED: dict[Format, Callable[[str], bool]] = {
    "imagefolder": lambda name: name == MASK,
    "csv": lambda name: name == MASK,
    "coco": lambda name: name != COCO,  # its instances stand in the one file for all images
    "croissant": lambda name: name == MASK,
}
"""Which annotations lie as files in an archive."""

_IMAGES = "`images/`: the stored bytes, unchanged."
_TABLE = (
    "`metadata.csv`: one row an image: label, split, source (real or synthetic), groups, hashes, "
    "parents and provenance of synthetic images. Folder names are made safe for file systems; the "
    "column `label` has the original."
)
_MASKS = (
    "`annotations/mask/`: masks of lesions, 255 inside, of the images that have one; the column "
    "`mask` names them."
)
FILES: dict[Format, Sequence[str]] = {
    "imagefolder": (_IMAGES, _TABLE, _MASKS),
    "csv": (_IMAGES, _TABLE, _MASKS),
    "coco": (
        _IMAGES,
        _TABLE,
        f"`{coco.NAME}`: COCO; an image has an instance for each lesion that is told apart, or one "
        "for its mask, or none. `category_id` of an image is its label; its `id` is the same in "
        "every export.",
        "`annotations/<kind>/`: what else is annotated (depth in metres, normals, body parts, "
        "regions, the record of a render), a file an image; `annotation_files` of an image names "
        "them.",
    ),
    "hf": (
        "`data/<split>-*.parquet`: one row an image, the stored bytes and the mask inside; "
        'read it with `datasets.load_dataset("path/of/this/folder")`.',
    ),
    "croissant": (
        _IMAGES,
        _TABLE,
        _MASKS,
        f"`{croissant.NAME}`: the description of these files in Croissant 1.0.",
    ),
}
