"""``python -m tests.bench.donors --masks FOLDER``: segmentation against masks drawn by hand.

FOLDER holds ``X.jpg`` beside ``X_mask.png``, or a folder an image with ``image.*`` and
``lesions.png``; give it several times to judge them together. Prints Dice, quality and decision of
every image and writes build/donors.json. Qualities and the threshold in ``left_out`` come from a
fit that has not seen the image; ``--fit`` prints the constants of core/synthesis/mask_quality.py.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr

from core.ingest.images import decode
from core.synthesis.donors import bounds, find_lesion
from core.synthesis.mask_quality import ACCEPTED, NAMES, dice

OUT = Path("build/donors.json")
_PENALTY = 60.0
"""Ridge penalty on standardised traits."""
_GOAL = 0.85
"""Least mean Dice, in every folder, that the threshold is chosen for."""
_GRID = np.arange(0.4, 1.21, 0.02)
_MARGIN = 0.08
"""How much wider than the lesion a drawn box is, a side."""

Array = NDArray[np.float64]


@dataclass
class Judged:
    """One image: dice of the automatic mask, accepted as shipped and by the fit without it."""

    folder: str
    name: str
    dice: float
    quality: float
    accepted: bool
    reason: str | None
    box_dice: float
    box_accepted: bool
    traits: tuple[float, ...]
    left_out_quality: float = 0.0
    left_out_accepted: bool = False


def pairs(folder: Path) -> list[tuple[str, Path, Path]]:
    """Return name, image and mask of every image of a folder."""
    found = [
        (mask.name.removesuffix("_mask.png"), mask.with_name(f"{mask.name[:-9]}.jpg"), mask)
        for mask in sorted(folder.glob("*_mask.png"))
    ]
    return found + [
        (mask.parent.name, next(mask.parent.glob("image.*")), mask)
        for mask in sorted(folder.glob("*/lesions.png"))
    ]


def drawn_mask(path: Path) -> NDArray[np.uint8]:
    found = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if found is None:
        raise SystemExit(f"{path} is not an image")
    return np.asarray(found, np.uint8)


def judge(folder: Path, name: str, image: Path, mask: Path) -> Judged:
    pixels = decode(image)
    truth = np.asarray(drawn_mask(mask).max(axis=2) >= 128)
    found = find_lesion(pixels, None, None, automatic=True)
    prompted = find_lesion(pixels, None, _box(truth), automatic=True)
    assert found.traits is not None
    return Judged(
        folder=folder.name, name=name, dice=dice(found.mask, truth), quality=found.quality,
        accepted=found.reason is None, reason=found.reason,
        box_dice=dice(prompted.mask, truth), box_accepted=prompted.reason is None,
        traits=found.traits.vector(),
    )  # fmt: skip


def _box(truth: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    left, top, right, bottom = bounds(truth)
    across, down = round(_MARGIN * (right - left)), round(_MARGIN * (bottom - top))
    height, width = truth.shape
    return (
        max(0, left - across), max(0, top - down),
        min(width, right + across), min(height, bottom + down),
    )  # fmt: skip


def fit(X: Array, y: Array) -> tuple[Array, float]:
    """Return weights and bias of a ridge regression of Dice on traits."""
    mean, spread = X.mean(axis=0), X.std(axis=0) + 1e-6
    Z = (X - mean) / spread
    w = np.linalg.solve(Z.T @ Z + _PENALTY * np.eye(Z.shape[1]), Z.T @ (y - y.mean())) / spread
    return w, float(y.mean() - mean @ w)


def threshold(scores: Array, y: Array, folders: NDArray[np.str_]) -> float:
    """Return the lowest quality above which every folder's mean Dice meets the goal."""
    for level in _GRID:
        kept = scores >= level
        means = [y[kept & (folders == f)] for f in np.unique(folders)]
        if all(m.size == 0 or m.mean() >= _GOAL for m in means):
            return float(level)
    return float(_GRID[-1])


def leave_one_out(images: Sequence[Judged]) -> None:
    """Judge every image by weights and a threshold that have not seen it."""
    X = np.array([i.traits for i in images])
    y = np.array([i.dice for i in images])
    folders = np.array([i.folder for i in images])
    for place, image in enumerate(images):
        others = np.arange(len(images)) != place
        w, b = fit(X[others], y[others])
        level = threshold(X[others] @ w + b, y[others], folders[others])
        image.left_out_quality = float(X[place] @ w + b)
        skin = image.reason != "not_skin"
        image.left_out_accepted = bool(image.left_out_quality >= level) and skin


def summary(images: Sequence[Judged]) -> dict[str, Any]:
    def of(chosen: Sequence[Judged]) -> dict[str, Any]:
        def mean(values: list[float]) -> float | None:
            return round(float(np.mean(values)), 4) if values else None

        return {
            "images": len(chosen),
            "dice_all": mean([i.dice for i in chosen]),
            "accepted": sum(i.accepted for i in chosen),
            "dice_accepted": mean([i.dice for i in chosen if i.accepted]),
            "left_out_accepted": sum(i.left_out_accepted for i in chosen),
            "left_out_dice_accepted": mean([i.dice for i in chosen if i.left_out_accepted]),
            "box_accepted": sum(i.box_accepted for i in chosen),
            "box_dice_accepted": mean([i.box_dice for i in chosen if i.box_accepted]),
        }

    y = [i.dice for i in images]
    return {
        "folders": {
            name: of([i for i in images if i.folder == name])
            for name in sorted({i.folder for i in images})
        },
        "spearman": round(float(spearmanr([i.quality for i in images], y)[0]), 4),
        "left_out_spearman": round(float(spearmanr([i.left_out_quality for i in images], y)[0]), 4),
        "threshold": ACCEPTED,
    }


def show(images: Sequence[Judged]) -> None:
    table = Table("folder", "image", "Dice", "quality", "left out", "decision", "box Dice")
    for i in images:
        table.add_row(
            i.folder, i.name, f"{i.dice:.3f}", f"{i.quality:.3f}", f"{i.left_out_quality:.3f}",
            i.reason or "accepted", f"{i.box_dice:.3f}{'' if i.box_accepted else ' (refused)'}",
        )  # fmt: skip
    Console(width=140).print(table)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.donors")
    parser.add_argument("--masks", type=Path, action="append", required=True, metavar="FOLDER")
    parser.add_argument("--fit", action="store_true", help="print the constants of a fit to all")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    images = [judge(folder, *pair) for folder in given.masks for pair in pairs(folder)]
    seconds = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    if len(images) < 2 * len(NAMES):
        parser.error(f"{len(images)} images with masks are too few to judge")
    leave_one_out(images)
    show(images)
    found = summary(images) | {"cpu_seconds_per_image": round(seconds / (2 * len(images)), 4)}
    print(json.dumps(found, indent=1))
    if given.fit:
        X, y = np.array([i.traits for i in images]), np.array([i.dice for i in images])
        w, b = fit(X, y)
        level = threshold(X @ w + b, y, np.array([i.folder for i in images]))
        print(dict(zip(NAMES, w.round(3).tolist(), strict=True)), round(b, 3), round(level, 2))
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(found | {"rows": [asdict(i) for i in images]}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
