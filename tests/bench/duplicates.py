"""``python -m tests.bench.duplicates FOLDER``: how well near-duplicates of real images are found.

Draws ``--images`` real images for calibration and as many others for the test, makes one copy of
each by every edit and two by pairs of edits, and searches originals and copies together. Prints
kind x recall, writes build/near_duplicates.json and a sheet of real-real pairs that were flagged.
Exit code 0 only if recall is >= 0.99 for each edit, >= 0.95 for pairs, and precision >= 0.99.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from core.ingest.alignment import Alignment, AlignThreshold, align
from core.ingest.duplicates import near_pairs
from core.ingest.fingerprints import Fingerprint, fingerprint
from core.ingest.images import decode
from core.ingest.keypoints import RECORD, keypoints
from core.ingest.retrieval import likely_pairs
from core.ingest.thorough import thorough_pairs
from core.plots.contact_sheet import Pair, Row, contact_sheet
from tests.unit.ingest.edits import EDITS, two_edits

OUT = Path("build/near_duplicates.json")
SHEET = Path("build/near_duplicates.png")
REAL, PAIR = "real", "two edits"
PAIRS_EACH = 2
GOALS = {PAIR: 0.95}
SINGLE_GOAL = PRECISION_GOAL = 0.99
GRID = range(6, 31)
_SHOWN = 48


@dataclass(frozen=True, slots=True)
class Corpus:
    """Originals and copies: of which original each is, and by which edit."""

    prints: list[Fingerprint]
    images: np.ndarray
    owner: np.ndarray
    kind: np.ndarray
    seconds: float

    def is_copy_of_same(self, pairs: np.ndarray) -> np.ndarray:
        return np.asarray(self.owner[pairs[:, 0]] == self.owner[pairs[:, 1]])

    def is_real_real(self, pairs: np.ndarray) -> np.ndarray:
        return np.asarray((self.kind[pairs] == REAL).all(axis=1))


def copies(path: Path, seed: int) -> Iterator[tuple[str, Any]]:
    original = decode(path)
    yield REAL, original
    rng = np.random.default_rng(seed)
    for name, edit in EDITS.items():
        yield name, edit(original, rng)
    for _ in range(PAIRS_EACH):
        yield PAIR, two_edits(original, rng)


def corpus(files: Sequence[Path], seed: int) -> Corpus:
    prints, images, owner, kinds = [], [], [], []
    spent = 0.0
    for number, path in enumerate(files):
        for kind, pixels in copies(path, seed + number):
            start = time.process_time()
            prints.append(fingerprint(pixels))
            images.append(keypoints(pixels))
            spent += time.process_time() - start
            owner.append(number)
            kinds.append(kind)
    return Corpus(prints, np.array(images, RECORD), np.array(owner), np.array(kinds), spent)


def calibrate(found: Corpus, correlation: float) -> tuple[int, list[dict[str, Any]]]:
    """Return the fewest inliers that keep the precision at 0.999, and the whole curve."""
    pairs = likely_pairs(found.images)
    seen = [align(found.images[a], found.images[b], min(GRID)) for a, b in pairs]
    same, real = found.is_copy_of_same(pairs), found.is_real_real(pairs)
    curve = [_point(seen, same, real, inliers, correlation) for inliers in GRID]
    enough = [point["inliers"] for point in curve if point["precision"] >= 0.999]
    return (enough[0] if enough else GRID[-1]), curve


def _point(
    seen: Sequence[Alignment], same: np.ndarray, real: np.ndarray, inliers: int, correlation: float
) -> dict[str, Any]:
    threshold = AlignThreshold(inliers, correlation)
    flagged = np.array([one.passes(threshold) for one in seen], dtype=bool)
    judged = flagged & ~real
    right = int((judged & same).sum())
    return {
        "inliers": inliers,
        "flagged": int(judged.sum()),
        "wrong": int(judged.sum()) - right,
        "precision": right / max(1, int(judged.sum())),
        "real_real": int((flagged & real).sum()),
    }


def judge(found: Corpus, pairs: np.ndarray) -> dict[str, Any]:
    """Recall of (original, copy) by kind; precision over all pairs that are not real-real."""
    same, real = found.is_copy_of_same(pairs), found.is_real_real(pairs)
    with_original = pairs[same & (found.kind[pairs[:, 0]] == REAL)][:, 1]
    hit = np.zeros(len(found.kind), bool)
    hit[with_original] = True
    recall = {}
    for kind in (*EDITS, PAIR):
        of_kind = found.kind == kind
        recall[kind] = {"n": int(of_kind.sum()), "recall": float(hit[of_kind].mean())}
    return {
        "recall": recall,
        "flagged": int((~real).sum()),
        "precision": float(same[~real].mean()) if (~real).any() else 1.0,
        "real_real": int(real.sum()),
    }


def draw_real_pairs(files: Sequence[Path], found: Corpus, pairs: np.ndarray) -> None:
    shown = pairs[found.is_real_real(pairs)][:_SHOWN]
    if not len(shown):
        SHEET.unlink(missing_ok=True)
        return
    cells = [
        Pair(
            decode(files[found.owner[a]]), decode(files[found.owner[b]]), files[found.owner[a]].stem
        )
        for a, b in shown
    ]
    rows = [Row(f"pairs from {n + 1}", tuple(cells[n : n + 6])) for n in range(0, len(cells), 6)]
    SHEET.write_bytes(contact_sheet(rows, title="Real images flagged as near-duplicates"))


def study(files: Sequence[Path], count: int) -> dict[str, Any]:
    chosen = np.random.default_rng(0).permutation(len(files))[: 2 * count]
    drawn = [files[place] for place in chosen]
    threshold = AlignThreshold()
    inliers, curve = calibrate(corpus(drawn[count:], 10**6), threshold.correlation)
    tested = corpus(drawn[:count], 0)
    start = time.process_time()
    near = thorough_pairs(tested.prints, tested.images)
    spent = time.process_time() - start
    pairs = np.array([(p.first, p.second) for p in near], np.int64).reshape(-1, 2)
    fast = np.array([(p.first, p.second) for p in near_pairs(tested.prints)], np.int64)
    OUT.parent.mkdir(exist_ok=True)
    draw_real_pairs(drawn, tested, pairs)
    return {
        "originals": count,
        "images": len(tested.prints),
        "threshold": threshold.as_dict(),
        "calibrated_inliers": inliers,
        "calibration": curve,
        "keypoint_cpu_seconds": tested.seconds,
        "search_cpu_seconds": spent,
        "thorough": judge(tested, pairs),
        "fast": judge(tested, fast.reshape(-1, 2)),
    }


def show(report: dict[str, Any]) -> bool:
    table = Table("kind", "n", "recall", "goal", "fast search")
    good = report["thorough"]["precision"] >= PRECISION_GOAL
    for kind, row in report["thorough"]["recall"].items():
        goal = GOALS.get(kind, SINGLE_GOAL)
        good = good and row["recall"] >= goal
        other = report["fast"]["recall"][kind]["recall"]
        table.add_row(kind, str(row["n"]), f"{row['recall']:.4f}", f"{goal}", f"{other:.4f}")
    console = Console(width=120)
    console.print(table)
    for name in ("thorough", "fast"):
        one = report[name]
        console.print(
            f"{name}: precision {one['precision']:.4f} over {one['flagged']} flagged pairs; "
            f"{one['real_real']} real-real pairs flagged"
        )
    console.print(
        f"threshold {report['threshold']}, calibrated inliers {report['calibrated_inliers']}; "
        f"{report['images']} images: {report['keypoint_cpu_seconds']:.1f} s keypoints, "
        f"{report['search_cpu_seconds']:.1f} s search (CPU)"
    )
    return bool(good)


def photographs(folder: Path) -> list[Path]:
    """Return the images of a folder, the masks beside them left out, in a fixed order."""
    files = (p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    return sorted(p for p in files if not p.stem.endswith("_mask"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.duplicates")
    parser.add_argument("folder", type=Path, help="real images, JPEG or PNG")
    parser.add_argument("--images", type=int, default=500)
    given = parser.parse_args()
    files = photographs(given.folder)
    if len(files) < 2 * given.images:
        parser.error(f"{given.folder} has {len(files)} images, {2 * given.images} are needed")
    cv2.setNumThreads(1)
    report = study(files, given.images)
    OUT.write_text(json.dumps(report, indent=1) + "\n")
    return 0 if show(report) else 1


if __name__ == "__main__":
    sys.exit(main())
