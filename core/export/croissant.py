"""Croissant 1.0: a machine-readable description of the exported files (Akhtar et al. 2024).

Format: https://docs.mlcommons.org/croissant/docs/croissant-spec.html. The records are the rows of
metadata.csv, each with its image.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from core.export.licences import Licence, address

NAME = "croissant.json"

_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "data": {"@id": "cr:data", "@type": "@json"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{
        name: f"cr:{name}"
        for name in (
            *("citeAs", "column", "equivalentProperty", "extract", "field", "fileObject"),
            *("fileProperty", "fileSet", "format", "includes", "isLiveDataset", "jsonPath", "key"),
            *("md5", "parentField", "path", "recordSet", "references", "regex", "repeated"),
            *("replace", "samplingRate", "separator", "source", "subField", "transform"),
        )
    },
}
_TEXTS = {
    "filename": "File in the folder images.",
    "label": "Diagnosis or class.",
    "split": "train, val or test; images of one group are in one split.",
    "source": "real or synthetic.",
    "group_ids": "Patient, lesion or near-duplicate groups, separated by semicolons.",
    "mask": "Path of the mask of its lesion; empty without one.",
    "sha256": "Of the image's bytes.",
    "parent_sha256": "Real images that a synthetic one was made from, separated by semicolons.",
}
_NUMBERS = {"width": "Pixels.", "height": "Pixels."}


def croissant(
    name: str,
    description: str,
    licences: Sequence[Licence],
    metadata_sha256: str,
    version: str,
    published: str,
    *,
    synthetic: bool,
    masks: str | None = None,
) -> str:
    """Return croissant.json for an archive with ``metadata.csv``, ``images/`` and perhaps masks.

    masks is their folder, None when there are none. version is the manifest hash of what was
    exported, metadata_sha256 the hash of metadata.csv and published the ISO date of the newest
    version.
    """
    document = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": [
            "http://mlcommons.org/croissant/1.0",
            *(["http://mlcommons.org/croissant/RAI/1.0"] if synthetic else []),
        ],
        "name": re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.") or "dataset",
        "description": description,
        "license": [_address(row) for row in licences],
        "version": f"1.0.0+{version[:12]}",
        "datePublished": published,
        "distribution": _distribution(metadata_sha256, masks),
        "recordSet": [_records(), *([_mask_records()] if masks else [])],
    }
    if synthetic:
        document["rai:dataCollection"] = (
            "Images whose source is synthetic were made by DermSynth3D from the real images named "
            "by parent_sha256; the column provenance replays each of them."
        )
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _address(row: Licence) -> str:
    """Return the address of a licence that has one, else its id."""
    return address(row) or (f"{row.id} ({row.source})" if row.source else row.id)


def _distribution(metadata_sha256: str, masks: str | None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {
            "@type": "cr:FileObject",
            "@id": "metadata.csv",
            "name": "metadata.csv",
            "contentUrl": "metadata.csv",
            "encodingFormat": "text/csv",
            "sha256": metadata_sha256,
        },
        {
            "@type": "cr:FileSet",
            "@id": "images",
            "name": "images",
            "encodingFormat": ["image/jpeg", "image/png"],
            "includes": "images/*",
        },
    ]
    if masks is not None:
        found.append(
            {
                "@type": "cr:FileSet",
                "@id": "masks",
                "name": "masks",
                "encodingFormat": "image/png",
                "includes": f"{masks}/*",
            }
        )
    return found


def _records() -> dict[str, Any]:
    fields = [_column(name, "sc:Text", text) for name, text in _TEXTS.items()]
    fields += [_column(name, "sc:Integer", text) for name, text in _NUMBERS.items()]
    fields[0]["source"]["transform"] = {"regex": "^images/(.+)$"}
    fields[0]["references"] = {
        "fileSet": {"@id": "images"},
        "extract": {"fileProperty": "filename"},
    }
    fields.append(
        {
            "@type": "cr:Field",
            "@id": "images_with_labels/image",
            "name": "image",
            "description": "The image.",
            "dataType": "sc:ImageObject",
            "source": {"fileSet": {"@id": "images"}, "extract": {"fileProperty": "content"}},
        }
    )
    return {
        "@type": "cr:RecordSet",
        "@id": "images_with_labels",
        "name": "images_with_labels",
        "key": {"@id": "images_with_labels/filename"},
        "field": fields,
    }


def _mask_records() -> dict[str, Any]:
    fields = [
        _content("filename", "sc:Text", "As in the column mask, without the folder.", "filename"),
        _content("mask", "sc:ImageObject", "The lesion of the image, 255 inside.", "content"),
    ]
    return {
        "@type": "cr:RecordSet",
        "@id": "masks_of_images",
        "name": "masks_of_images",
        "key": {"@id": "masks_of_images/filename"},
        "field": fields,
    }


def _content(name: str, kind: str, text: str, file_property: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"masks_of_images/{name}",
        "name": name,
        "description": text,
        "dataType": kind,
        "source": {"fileSet": {"@id": "masks"}, "extract": {"fileProperty": file_property}},
    }


def _column(name: str, kind: str, text: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"images_with_labels/{name}",
        "name": name,
        "description": text,
        "dataType": kind,
        "source": {"fileObject": {"@id": "metadata.csv"}, "extract": {"column": name}},
    }
