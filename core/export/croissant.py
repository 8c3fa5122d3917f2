"""Croissant 1.0: a machine-readable description of the exported files (Akhtar et al. 2024).

Format: https://docs.mlcommons.org/croissant/docs/croissant-spec.html. The records are the rows of
metadata.csv, each with its image.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from core.export.licences import Licence

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
) -> str:
    """Return croissant.json for an archive with ``metadata.csv`` and ``images/``.

    version is the manifest hash of what was exported, metadata_sha256 the hash of metadata.csv and
    published the ISO date of the newest version.
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
        "distribution": _distribution(metadata_sha256),
        "recordSet": [_records()],
    }
    if synthetic:
        document["rai:dataCollection"] = (
            "Images whose source is synthetic were made by DermSynth3D from the real images named "
            "by parent_sha256; the column provenance replays each of them."
        )
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _address(row: Licence) -> str:
    """Return the address of a Creative Commons licence, else its id."""
    match = re.fullmatch(r"CC-((?:BY|NC|ND|SA|-)+)-(\d\.\d)", row.id)
    if match:
        return f"https://creativecommons.org/licenses/{match[1].lower()}/{match[2]}/"
    if row.id == "CC0-1.0":
        return "https://creativecommons.org/publicdomain/zero/1.0/"
    return f"{row.id} ({row.source})" if row.source else row.id


def _distribution(metadata_sha256: str) -> list[dict[str, Any]]:
    return [
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


def _column(name: str, kind: str, text: str) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"images_with_labels/{name}",
        "name": name,
        "description": text,
        "dataType": kind,
        "source": {"fileObject": {"@id": "metadata.csv"}, "extract": {"column": name}},
    }
