"""``python -m tests.bench.sheet --dataset FOLDER``: what a generator makes, beside real images.

Images 0 to 47 of a plan in order, none left out, the ``--classes`` in turn (all by default): a row
shows eight synthetic images, then as many real ones, of the same classes or of the folder
``--real``. ``--params`` are the generator's, as JSON. A generator that looks at its sources looks
at ``--most`` of a class. Writes build/sheet-GENERATOR.png and prints the processor seconds an
image.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from core.ingest.images import decode
from core.ingest.layouts import Item, LayoutOptions, Tree, choose
from core.ingest.tables import parse_table
from core.synthesis.contract import GENERATORS, GeneratorSpec, Order, Pixels, Source, Surveying
from core.synthesis.planning import by_class, preview
from core.synthesis.production import PixelCache, describe, finish, near_each_other

IMAGES = 48
COLUMNS = 8
_CAPTION = 16
_GAP = 3
_SPACE = 24


@dataclass(frozen=True, slots=True)
class Cell:
    """An image and what stands under it."""

    pixels: Pixels
    caption: str


def sources_of(folder: Path) -> list[Source]:
    """Return the images of a dataset folder in any layout; their blobs are named by their paths."""
    paths = {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()}
    tables = {
        n: parse_table(n, p.read_bytes())
        for n, p in paths.items()
        if p.suffix in (".csv", ".tsv", "")
    }
    tree = Tree([n for n in paths if n not in tables], tables)
    items = choose(tree, "auto").assign(tree, LayoutOptions()).items
    return [_source(folder, item) for item in items]


def _source(folder: Path, item: Item) -> Source:
    with Image.open(folder / item.name) as image:
        width, height = image.size
        media_type = Image.MIME.get(image.format or "", "image/png")
    mask = item.annotations.get("mask")
    return Source(
        image_id=item.name,
        sha256=str(folder / item.name),
        label=item.label,
        group_ids=(str(item.metadata.get("lesion_id", item.name)),),
        width=width,
        height=height,
        modality="rgb",
        media_type=media_type,
        mask_sha256=None if mask is None else str(folder / mask),
        localization=item.metadata.get("localization"),
    )


class Studio:
    """Makes the first images of a plan."""

    def __init__(
        self, spec: GeneratorSpec, params: Any, sources: list[Source], most: int, pixels: int | None
    ) -> None:
        self._spec, self._params, self._pixels = spec, params, pixels
        self._load = PixelCache(lambda path: decode(Path(path)), size=256)
        start = time.process_time()
        self.sources = self._looked_at(sources, most)
        self.survey_seconds = time.process_time() - start
        self.seconds: list[float] = []

    def _looked_at(self, sources: list[Source], most: int) -> list[Source]:
        instance = self._spec.instance
        if not isinstance(instance, Surveying):
            return sources
        chosen = [s for own in by_class(sources).values() for s in own[:most]]
        found = [replace(s, facts=instance.survey(self._params, s, self._load)) for s in chosen]
        print(*instance.summary(found), sep="\n")
        return found

    def make(self, labels: Sequence[str], seed: int) -> list[Cell]:
        """Return the first images of a plan for these classes, a class after the other in turn."""
        counts = {label: -(-IMAGES // len(labels)) for label in labels}
        orders = self._spec.instance.plan(self._params, self.sources, counts, seed)
        chosen = preview(orders, IMAGES)
        made = {order.index: self._made(order) for order in near_each_other(chosen)}
        return [made[order.index] for order in sorted(chosen, key=_turn)]

    def _made(self, order: Order) -> Cell:
        start = time.process_time()
        made = finish(self._spec, self._params, order, self._load, self._pixels)
        self.seconds.append(time.process_time() - start)
        told = describe(made.provenance)
        print(order.settings["position"], order.label, told, f"{self.seconds[-1]:.2f}", flush=True)
        return Cell(made.pixels, f"{order.settings['position']} {order.label} {told}"[:44])

    def real(self, labels: Sequence[str], folder: Path | None) -> list[Cell]:
        """Return as many photographs: of the classes in turn, or of a folder in order of names."""
        if folder is not None:
            shown = sorted(sources_of(folder), key=lambda s: s.sha256)
            chosen = [shown[n % len(shown)] for n in range(IMAGES)]
        else:
            chosen = [self._drawn(labels[n % len(labels)], n) for n in range(IMAGES)]
        return [Cell(self._load(s), f"{Path(s.image_id).stem} {s.label}"[:44]) for s in chosen]

    def _drawn(self, label: str, number: int) -> Source:
        own = [s for s in self.sources if s.label == label]
        return own[int(np.random.default_rng(number).integers(len(own)))]


def _turn(order: Order) -> tuple[int, str]:
    return order.settings["position"], order.label


def sheet(made: Sequence[Cell], real: Sequence[Cell], side: int, title: str) -> Image.Image:
    """Draw rows of synthetic images with as many real ones beside them, ``side`` pixels each."""
    step, rows = side + _GAP, -(-len(made) // COLUMNS)
    page = Image.new("RGB", (2 * COLUMNS * step + _SPACE, 30 + rows * (step + _CAPTION)), "white")
    pen = ImageDraw.Draw(page)
    for block, cells in enumerate((made, real)):
        left = block * (COLUMNS * step + _SPACE)
        pen.text((left + 4, 4), ("real" if block else title), "black", ImageFont.load_default(18))
        for place, cell in enumerate(cells):
            row, column = divmod(place, COLUMNS)
            _draw(page, pen, cell, (left + column * step, 30 + row * (step + _CAPTION)), side)
    return page


def _draw(
    page: Image.Image, pen: ImageDraw.ImageDraw, cell: Cell, at: tuple[int, int], side: int
) -> None:
    image = Image.fromarray(np.ascontiguousarray(cell.pixels)).convert("RGB")
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    page.paste(image if size == image.size else image.resize(size, Image.Resampling.LANCZOS), at)
    pen.text((at[0] + 2, at[1] + side), cell.caption, "black", ImageFont.load_default(11))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.sheet")
    parser.add_argument("--dataset", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--real", type=Path, metavar="FOLDER", help="else the dataset itself")
    parser.add_argument("--generator", default="transplant")
    parser.add_argument("--params", type=json.loads, default={}, metavar="JSON")
    parser.add_argument("--classes", type=partial(str.split, sep=","), metavar="A,B")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most", type=int, default=60, help="images of a class that are looked at")
    parser.add_argument("--pixels", type=int, help="of the longer side of what is made")
    parser.add_argument("--side", type=int, default=224, help="pixels of an image on the sheet")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    spec = GENERATORS.get(given.generator)
    params = spec.params.model_validate(given.params)
    studio = Studio(spec, params, sources_of(given.dataset), given.most, given.pixels)
    labels = given.classes or sorted({s.label for s in studio.sources})
    title = f"{spec.name} {json.dumps(given.params)}, images 0-{IMAGES - 1} of seed {given.seed}"
    made = studio.make(labels, given.seed)
    page = sheet(made, studio.real(labels, given.real), given.side, title)
    out = given.out or Path(f"build/sheet-{spec.name}.png")
    out.parent.mkdir(parents=True, exist_ok=True)
    page.save(out)
    looked = studio.survey_seconds / max(1, len(studio.sources))
    print(f"{out}: {np.median(studio.seconds):.3f} processor s an image, {looked:.3f} s a survey")
    return 0


if __name__ == "__main__":
    sys.exit(main())
