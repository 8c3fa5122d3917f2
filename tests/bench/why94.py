"""``make why94 [DATASET=folder]``: the figures of docs/why-94-was-not-94.md.

On noise: textures that show nothing, with labels drawn by lot, so that the truth is chance. With a
DATASET (a folder in any layout) on that too. Writes noise.png, dataset.png and figures.json into
docs/why94 and prints the numbers. Pictures show numbers only, no image of anybody.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from core.config import Settings
from core.features.contract import BACKBONES
from core.features.network import Network
from core.features.preprocess import square
from core.ingest.images import decode
from core.learning.protocol import augment_counts, generate_counts
from core.plots.confusion import png
from core.synthesis.contract import GENERATORS, Pixels, Source
from tests.bench.sheet import sources_of
from tests.bench.why94_protocols import Finding, Pool, findings

FOLDER = Path(__file__).parents[2] / "docs" / "why94"
BACKBONE = "efficientnet_lite0"
PER_CLASS = 30
SUBJECTS = {"a": 40, "b": 24, "c": 16, "d": 12, "e": 10}
VIEWS = 2
SIDE = 128
SEED = 94


@dataclass(frozen=True, slots=True)
class Photographs:
    """Real images as sources, and their pixels by name."""

    sources: list[Source]
    pixels: dict[str, Pixels] | None = None

    def load(self, source: Source) -> Pixels:
        if self.pixels is not None:
            return self.pixels[source.sha256]
        return decode(Path(source.sha256))


def noise_photographs() -> Photographs:
    """Return textures of subjects, two views each: a label is drawn by lot for every subject."""
    names = [label for label, count in SUBJECTS.items() for _ in range(count)]
    labels = np.random.default_rng(SEED).permutation(names).tolist()
    sources, pixels = [], {}
    for subject, label in enumerate(labels):
        for view in range(VIEWS):
            name = f"{subject}-{view}"
            pixels[name] = texture(subject, view)
            sources.append(Source(name, name, label, (str(subject),), SIDE, SIDE, "rgb"))
    return Photographs(sources, pixels)


def texture(subject: int, view: int) -> Pixels:
    """Return smooth coloured noise; views of one subject are shifted crops of one picture."""
    rng = np.random.default_rng([SEED, subject])
    size = SIDE + 16
    picture = np.zeros((size, size, 3), np.float32)
    for cells in (3, 6, 12, 24):
        coarse = rng.normal(0, 1, (cells, cells, 3)).astype(np.float32)
        picture += cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    top, left = np.random.default_rng([SEED, subject, view]).integers(0, 17, 2)
    crop = picture[top : top + SIDE, left : left + SIDE]
    return np.clip(128 + 28 * crop, 0, 255).astype(np.uint8)


def pool_of(photographs: Photographs, threads: int) -> Pool:
    """Make the course project's synthetic images, extract all features, and number everything."""
    names = tuple(sorted({s.label for s in photographs.sources}))
    sizes = {name: sum(s.label == name for s in photographs.sources) for name in names}
    weak = [name for name in names if sizes[name] < max(sizes.values())]
    real = photographs.sources
    plans = [("seed_generate", generate_counts(weak, PER_CLASS), 1)]
    plans += [("seed_augment", augment_counts(sizes), 2)]
    spec = GENERATORS.get("augment")
    made: list[tuple[Source, Pixels, int]] = []
    for policy, counts, kind in plans:
        params = spec.params.model_validate({"policy": policy})
        for order in spec.instance.plan(params, real, counts, SEED) if counts else ():
            pixels = spec.instance.make(params, order, photographs.load).pixels
            made.append((order.parents[0], pixels, kind))
    parents = [*real, *(parent for parent, _, _ in made)]
    features = np.concatenate(
        [
            extract(lambda i: photographs.load(real[i]), len(real), threads),
            extract(lambda i: made[i][1], len(made), threads),
        ]
    )
    groups = {name: i for i, name in enumerate(sorted({s.group_ids[0] for s in parents}))}
    return Pool(
        features,
        np.array([names.index(s.label) for s in parents]),
        np.array([groups[s.group_ids[0]] for s in parents]),
        np.array([0] * len(real) + [kind for _, _, kind in made]),
        names,
    )


def extract(pixels_of: Callable[[int], Pixels], count: int, threads: int) -> NDArray[np.float32]:
    """Return features of ``count`` images; ``pixels_of(i)`` gives the i-th."""
    import torch

    spec = BACKBONES.get(BACKBONE)
    network = Network(spec, spec.find(Settings().weights_dir), "cpu")
    slices = [range(start, min(start + 8, count)) for start in range(0, count, 8)]

    def compute(part: range) -> NDArray[np.float32]:
        return network(np.stack([square(pixels_of(i), spec.size) for i in part]))

    with ThreadPoolExecutor(threads, "features", torch.set_num_threads, (1,)) as workers:
        return np.concatenate(
            [np.empty((0, spec.dimension), np.float32), *workers.map(compute, slices)]
        )


def figure(found: Sequence[Finding], classes: int, title: str) -> bytes:
    """Return a PNG: a line a protocol, chance dotted, the honest score dashed."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(8.0, 0.9 + 0.36 * len(found)), dpi=100, layout="constrained")
    axes = drawn.add_subplot()
    for place, one in enumerate(found):
        colour = "#2166ac" if one.honest else "#b2182b"
        if one.interval is not None:
            axes.plot(one.interval, [place, place], color=colour, lw=2, solid_capstyle="butt")
        axes.plot([one.score], [place], "o" if one.interval else "D", color=colour, ms=5)
        axes.text(1.02, place, f"{one.score:.2f}", va="center", fontsize=8, color=colour)
    axes.axvline(1 / classes, color="#7f7f7f", lw=1, ls=":", zorder=0)
    axes.axvline(found[0].score, color="#2166ac", lw=1, ls="--", zorder=0)
    axes.set_yticks(range(len(found)), [one.says for one in found], fontsize=8)
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.set_xlabel("score (95 % interval over groups); dashed: honest, dotted: chance", fontsize=8)
    axes.set_title(title, fontsize=10)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return png(drawn)


def run(name: str, photographs: Photographs, title: str, folder: Path) -> dict[str, object]:
    threads = os.cpu_count() or 1
    pool = pool_of(photographs, threads)
    found = findings(pool, SEED, threads)
    (folder / f"{name}.png").write_bytes(figure(found, len(pool.names), title))
    show(found, title)
    return {
        "images": len(pool.rows(0)),
        "groups": len(set(pool.groups[pool.rows(0)].tolist())),
        "synthetic": len(pool.rows(1)),
        "classes": len(pool.names),
        "chance": round(1 / len(pool.names), 4),
        "backbone": BACKBONE,
        "findings": [one.as_json() for one in found],
    }


def show(found: Sequence[Finding], title: str) -> None:
    table = Table("protocol", "score", "95 % interval", title=title)
    for one in found:
        ends = "" if one.interval is None else f"{one.interval[0]:.3f} to {one.interval[1]:.3f}"
        table.add_row(one.says, f"{one.score:.3f}", ends, style="" if one.honest else "red")
    Console(width=110).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, help="a folder of real images in any layout")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    path = asked.folder / "figures.json"
    told = json.loads(path.read_text()) if path.exists() else {}
    told["noise"] = run("noise", noise_photographs(), "Noise: the truth is chance", asked.folder)
    if asked.dataset:
        title = f"Photographs: {asked.dataset.name}"
        told["dataset"] = run(
            "dataset", Photographs(sources_of(asked.dataset)), title, asked.folder
        )
        told["dataset"] |= {"name": asked.dataset.name}
    path.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
