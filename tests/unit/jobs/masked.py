"""A small drawn dataset whose lesions are known by their masks."""

from __future__ import annotations

from functools import cache
from typing import Any

from core.ingest.images import encode_png, pixel_sha256
from core.manifest import ImageRecord
from core.synthesis.procedural import Drawing, draw
from core.synthesis.production import encode
from tests.unit.jobs.inline import InlineRunner


@cache
def picture(number: int, label: str = "mel") -> tuple[Any, Any]:
    return draw(Drawing(f"P{number}", label, number, 0), seed=11, size=64)


def dataset(
    runner: InlineRunner, count: int = 10, label: str = "mel", first: int = 0
) -> list[ImageRecord]:
    """Return one class with masks, but for its first image."""
    found = []
    for number in range(count):
        pixels, mask = picture(number, label)
        sha256 = runner.blob(encode(pixels, "image/jpeg"))
        masks = {"annotations": {"mask": runner.blob(encode_png(mask))}} if number else {}
        found.append(
            ImageRecord(
                image_id=f"img_{first + number:026d}", filename=f"{label}{number}.jpg", label=label,
                sha256=sha256, source_sha256=sha256, pixel_sha256=pixel_sha256(pixels), width=64,
                height=64, media_type="image/jpeg", modality="rgb", split="train", source="real",
                group_ids=(f"lesion:{label}:{number}",), provenance=masks,
            )
        )  # fmt: skip
    return found
