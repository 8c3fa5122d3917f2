"""What is annotated on an image: files by name, whose blobs stand in its provenance.

Real images have masks only, under any name; what a generator makes beside an image has a name of
its own, and the name says what kind of file it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MASK = "mask"
"""The lesion, 255 inside."""
INSTANCES = "instances"
"""The number of the lesion at each pixel, 16 bit; 0 for none."""
COCO = "coco"
NPZ, JSON, PNG = "application/x-npz", "application/json", "image/png"
MEDIA_TYPES = {"depth": NPZ, COCO: JSON, "record": JSON}
"""Of the files of synthetic images that are not PNG."""
EXTENSIONS = {PNG: ".png", NPZ: ".npz", JSON: ".json"}
ALIASES = {"skin": "regions", "parts": "parts_16"}
"""Names that a caller may ask with for what is stored under another one."""


def annotation_blobs(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Return the blob of each annotation by name."""
    return dict(provenance.get("annotations") or {})


def find(known: Mapping[str, str], name: str) -> str | None:
    """Return the blob of an annotation by its name, or by another name that it goes by."""
    return known.get(name) or known.get(ALIASES.get(name, name))


def media_type(name: str, source: str) -> str:
    """Return the media type of an annotation of a real or of a synthetic image."""
    if source == "real":
        return PNG
    return MEDIA_TYPES.get(ALIASES.get(name, name), PNG)
