"""The formats of an export, and how each is written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from core.export import coco, croissant, hugging_face
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
    def synthetic(self) -> bool:
        return any(entry.record.source == "synthetic" for entry in self.images)


def arranged(records: Iterable[ImageRecord], layout: Format) -> tuple[Entry, ...]:
    """Return the images of an export at their paths in the archive of this format."""
    return tuple(entries(records, by_class=layout == "imagefolder"))


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
        bundle.text("README.md", card)
        for done, entry in enumerate(export.images, start=1):
            bundle.image(entry, find(entry.record.sha256))
            progress(done)
        bundle.text("metadata.csv", metadata_csv(export.images))
        if export.format == "coco":
            bundle.text(coco.NAME, coco.coco(export.images, find))
        if export.format == "croissant":
            bundle.text(croissant.NAME, _croissant(export, bundle.sums["metadata.csv"]))


def _croissant(export: Export, metadata_sha256: str) -> str:
    version = "\n".join(origin.manifest_sha256 for origin in export.origins)
    return croissant.croissant(
        export.name,
        f"{len(export.images)} images exported by DermSynth3D. Research use only, not a medical "
        "device.",
        export.licences,
        metadata_sha256,
        hashlib.sha256(version.encode()).hexdigest(),
        max(origin.created for origin in export.origins)[:10],
        synthetic=export.synthetic,
    )


_IMAGES = "`images/`: the stored bytes, unchanged."
_TABLE = (
    "`metadata.csv`: one row an image: label, split, source (real or synthetic), groups, hashes, "
    "parents and provenance of synthetic images. Folder names are made safe for file systems; the "
    "column `label` has the original."
)
FILES: dict[Format, Sequence[str]] = {
    "imagefolder": (_IMAGES, _TABLE),
    "csv": (_IMAGES, _TABLE),
    "coco": (
        _IMAGES,
        _TABLE,
        f"`{coco.NAME}`: COCO; an image with a lesion mask has an instance, one without has none. "
        "`category_id` of an image is its label.",
    ),
    "hf": (
        "`data/<split>-*.parquet`: one row an image, the stored bytes inside; read it with "
        '`datasets.load_dataset("path/of/this/folder")`.',
    ),
    "croissant": (
        _IMAGES,
        _TABLE,
        f"`{croissant.NAME}`: the description of these files in Croissant 1.0.",
    ),
}
