"""The built-in data: a drawn, imbalanced dataset that is written in seconds and needs no download.

``rgb`` is dermoscopy in the layout of HAM10000 (``metadata.csv`` and ``images/<image_id>.jpg``),
several images of some lesions included; ``grey`` is radiographs, one folder a class. Masks are
known: :func:`draw` returns them. ``python -m core.synthesis.procedural --out FOLDER`` writes one.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import cv2
import numpy as np

from core.manifest import Modality
from core.synthesis.contract import Pixels
from core.synthesis.procedural_lesion import draw_lesion
from core.synthesis.procedural_radiograph import draw_radiograph

SHARES: dict[Modality, dict[str, int]] = {
    "rgb": {"nv": 140, "bkl": 80, "mel": 50, "bcc": 30, "vasc": 20},
    "grey": {"no finding": 160, "nodule": 100, "fracture": 60},
}
"""Classes and their sizes in a dataset of 320 images; other sizes keep the proportions."""

_SITES = ("back", "trunk", "face", "lower extremity", "upper extremity", "abdomen", "chest")
_ENCODING: dict[Modality, list[int]] = {
    "rgb": [cv2.IMWRITE_JPEG_QUALITY, 92],
    "grey": [cv2.IMWRITE_PNG_COMPRESSION, 3],
}


@dataclass(frozen=True, slots=True)
class Drawing:
    """One image to be drawn: ``subject`` is the lesion, ``view`` counts its images from 0."""

    name: str
    label: str
    subject: int
    view: int


def class_sizes(images: int, modality: Modality = "rgb") -> dict[str, int]:
    """Share ``images`` out among the classes, at least one each; ValueError when too few."""
    shares = SHARES[modality]
    if images < len(shares):
        raise ValueError(f"{len(shares)} classes need at least {len(shares)} images, not {images}")
    exact = {label: images * share / sum(shares.values()) for label, share in shares.items()}
    sizes = {label: max(1, int(value)) for label, value in exact.items()}
    while (missing := images - sum(sizes.values())) != 0:
        step = 1 if missing > 0 else -1
        free = [label for label in sizes if step > 0 or sizes[label] > 1]
        label = max(free, key=lambda name: step * (exact[name] - sizes[name]))
        sizes[label] += step
    return sizes


def drawings(
    *, seed: int = 0, modality: Modality = "rgb", images: int = 320
) -> tuple[Drawing, ...]:
    """List the images of a dataset; in ``rgb`` about one lesion in four has two or three."""
    rng = np.random.default_rng([seed, images])
    found: list[Drawing] = []
    subject = 0
    for label, size in class_sizes(images, modality).items():
        left = size
        while left:
            views = int(rng.choice([1, 2, 3], p=[0.75, 0.18, 0.07])) if modality == "rgb" else 1
            views = min(left, views)
            for view in range(views):
                name = f"{'PROC' if modality == 'rgb' else 'XR'}_{len(found):07d}"
                found.append(Drawing(name, label, subject, view))
            left -= views
            subject += 1
    return tuple(found)


def draw(
    drawing: Drawing, *, seed: int = 0, modality: Modality = "rgb", size: int = 128
) -> tuple[Pixels, Pixels]:
    """Draw one image and its mask (size x size, 255 inside); the same bytes whenever asked."""
    subject = np.random.default_rng([seed, drawing.subject, 1])
    view = np.random.default_rng([seed, drawing.subject, drawing.view, 2])
    painter = draw_lesion if modality == "rgb" else draw_radiograph
    return painter(drawing.label, subject, view, size)


def write_dataset(
    folder: Path,
    *,
    seed: int = 0,
    modality: Modality = "rgb",
    images: int = 320,
    size: int = 128,
) -> tuple[Drawing, ...]:
    """Write a dataset into ``folder`` (created if need be) and return what was drawn.

    The same arguments give the same bytes. ValueError for fewer images than classes or a size
    below 32 pixels.
    """
    if size < 32:
        raise ValueError(f"Structures need at least 32 pixels, not {size}")
    plan = drawings(seed=seed, modality=modality, images=images)
    folder.mkdir(parents=True, exist_ok=True)

    def write(drawing: Drawing) -> None:
        pixels, _ = draw(drawing, seed=seed, modality=modality, size=size)
        if modality == "rgb":
            path = folder / "images" / f"{drawing.name}.jpg"
            pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), np.uint8)
        else:
            path = folder / drawing.label / f"{drawing.name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        encoded = cv2.imencode(path.suffix, pixels, _ENCODING[modality])[1]
        path.write_bytes(encoded.tobytes())

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        list(pool.map(write, plan))
    if modality == "rgb":
        _write_metadata(folder / "metadata.csv", plan, seed)
    return plan


def _write_metadata(path: Path, plan: Sequence[Drawing], seed: int) -> None:
    """Write the table of HAM10000; what it says of a lesion is the same in all its rows."""
    with path.open("w", newline="") as file:
        names = ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization"]
        table = csv.DictWriter(file, fieldnames=names)
        table.writeheader()
        for row in _rows(plan, seed):
            table.writerow(row)


def _rows(plan: Sequence[Drawing], seed: int) -> Iterator[Mapping[str, str]]:
    for drawing in plan:
        rng = np.random.default_rng([seed, drawing.subject, 3])
        yield {
            "lesion_id": f"PROC_L{drawing.subject:06d}",
            "image_id": drawing.name,
            "dx": drawing.label,
            "dx_type": str(rng.choice(["histo", "consensus"])),
            "age": f"{5 * int(rng.integers(4, 18))}.0",
            "sex": str(rng.choice(["female", "male"])),
            "localization": str(rng.choice(_SITES)),
        }


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a dataset from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m core.synthesis.procedural",
        description="Write the built-in procedural dataset.",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--modality", choices=get_args(Modality), default="rgb")
    parser.add_argument("--images", type=int, default=320)
    parser.add_argument("--size", type=int, default=128, help="side of an image in pixels")
    asked = parser.parse_args(arguments)
    try:
        plan = write_dataset(
            asked.out,
            seed=asked.seed,
            modality=asked.modality,
            images=asked.images,
            size=asked.size,
        )
    except ValueError as error:
        parser.error(str(error))
    sizes = {label: sum(d.label == label for d in plan) for label in SHARES[asked.modality]}
    counts = ", ".join(f"{label} {count}" for label, count in sizes.items())
    sys.stdout.write(f"{len(plan)} images in {asked.out}: {counts}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
