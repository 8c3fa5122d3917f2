"""``python -m tests.bench.render_sheet --dataset FOLDER``: renders beside real photographs.

Lesions are those of the folder that come with a mask (any layout). Seeds 0 to 47 in order, none
left out; tones run from light to dark and every body is shown eight times. ``--real`` is another
folder of photographs to stand beside. Writes build/render-MODE.png and prints the processor seconds
an image.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from core.ingest.images import decode
from core.rendering import runtime
from core.rendering.body import body_surface, materials, sample_body
from core.rendering.lesions import Lesion, lifted
from core.rendering.raycast import Target
from core.rendering.render import Rendering, render
from core.rendering.scene import Wanted, draw_scene
from core.rendering.sizes import draw_across
from core.rendering.skin import draw_skin
from core.rendering.views import MODES, ModeName, Sites
from core.synthesis.contract import Pixels, Source
from core.synthesis.donors import donor_reason, find_lesion
from tests.bench.sheet import SEEDS, Cell, sheet, sources_of

BODIES = Path("build/bodies")
TONES = (57, 48, 38, 25, 8, -12, -35, -55)
"""ITA, degrees: in turn."""
FURTHER = {"regional": 3, "whole_body": 5}
"""Lesions beyond the first one in a view."""
_PER_BODY = 8


class Donors:
    """Lesions of a folder that can be lifted, in turn."""

    def __init__(self, folder: Path) -> None:
        self.usable = [found for s in sources_of(folder) if (found := _liftable(s)) is not None]

    def take(self, number: int, rng: np.random.Generator) -> tuple[Lesion, str]:
        pixels, inside, label = self.usable[number % len(self.usable)]
        return lifted(pixels, inside, draw_across(label, rng)), label


def _liftable(source: Source) -> tuple[Pixels, np.ndarray, str] | None:
    if source.mask is None:
        return None
    pixels = decode(Path(source.sha256))
    lesion = find_lesion(pixels, decode(Path(source.mask.sha256)), None, automatic=False)
    return None if donor_reason(pixels, lesion) else (pixels, lesion.mask, source.label)


def bodies(seed: int) -> Sites:
    """Return the body of a seed, whose face is framed out."""
    body = sample_body(seed)
    target = Target(body_surface(body, BODIES), materials=materials(body, BODIES))
    return Sites(target, avoided=("head",))


def make(sites: Sites, donors: Donors, mode: ModeName, seed: int, side: int) -> Rendering:
    rng = np.random.default_rng(seed)
    skin = draw_skin(float(TONES[seed % len(TONES)]), rng)
    count = 1 + FURTHER.get(mode, 0)
    lesions = [donors.take(seed * count + number, rng)[0] for number in range(count)]
    scene = draw_scene(sites, skin, lesions, Wanted(MODES[mode], (side, side)), rng)
    return render(sites.target, scene)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.render_sheet")
    parser.add_argument("--dataset", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--real", type=Path, metavar="FOLDER", help="else the dataset itself")
    parser.add_argument("--mode", choices=sorted(MODES), default="clinical")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--pixels", type=int, default=512, help="of a render")
    parser.add_argument("--side", type=int, default=256, help="pixels of an image on the sheet")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    runtime.start()
    donors = Donors(given.dataset)
    made, seconds = [], []
    for seed in range(given.seeds):
        if seed % _PER_BODY == 0:
            sites = bodies(seed // _PER_BODY)
        start = time.process_time()
        found = make(sites, donors, given.mode, seed, given.pixels)
        seconds.append(time.process_time() - start)
        asked, albedo = TONES[seed % len(TONES)], found.record["ita"]["albedo"]
        print(seed, asked, found.record["ita"], found.record["refused"], f"{seconds[-1]:.2f}")
        made.append(Cell(found.pixels, f"{seed}: ITA {asked} ({albedo:.0f})"))
    paths = sorted(Path(s.sha256) for s in sources_of(given.real or given.dataset))
    real = [
        Cell(decode(paths[n % len(paths)]), paths[n % len(paths)].stem[:20])
        for n in range(given.seeds)
    ]
    page = sheet(made, real, given.side, f"{given.mode}, seeds 0-{given.seeds - 1}")
    out = given.out or Path(f"build/render-{given.mode}.png")
    out.parent.mkdir(parents=True, exist_ok=True)
    page.save(out)
    print(f"{out}: {np.median(seconds):.3f} processor s an image (median)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
