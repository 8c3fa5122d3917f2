"""``python -m tests.bench.standard [--dataset FOLDER]``: the standard experiment, timed.

2,200 images (drawn ones, or those of a folder in any layout), arms real, class_weight,
logit_adjust, oversample, augment, synthetic and combined at 1, 2 and 5, 5 folds of 3 seeds,
logistic regression and a forest beside it. Prints the processor seconds of every kind of job and
what they make on two cores, with features cached: what makes images and features stands apart.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import cv2

from core.synthesis.procedural import write_dataset
from tests.unit.jobs.inline import InlineOutcome, InlineRunner

IMAGES = 2204
CORES = 2
GOAL_MINUTES = 30
CACHED = ("import", "synthesize", "extract_features", "experiment_views")
"""Kinds, by how their names begin, that do nothing once images and features are there."""
ASKED = {
    "synthesis": {"generator": "augment", "balance": {"target": "max"}},
    "ratios": [1, 2, 5],
    "folds": 5,
    "repeats": 3,
    "classifier": "logistic_regression",
    "other_classifiers": ["random_forest"],
}


class TimedRunner(InlineRunner):
    """Counts processor seconds and runs by kind; those of children are theirs alone."""

    def __init__(self, folder: Path, weights_dir: Path | None) -> None:
        super().__init__(folder, weights_dir)
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.runs: Counter[str] = Counter()

    def run(self, kind: str, params: dict[str, Any], attempt: int = 1) -> InlineOutcome:
        before, start = sum(self.seconds.values()), time.process_time()
        ended = super().run(kind, params, attempt)
        of_children = sum(self.seconds.values()) - before
        self.seconds[kind] += time.process_time() - start - of_children
        self.runs[kind] += 1
        return ended


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.standard")
    parser.add_argument("--dataset", type=Path, metavar="FOLDER", help="else drawn images")
    parser.add_argument("--weights", type=Path, metavar="FOLDER", help="else those installed")
    given = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory(prefix="dermsynth-bench-") as folder:
        runner = TimedRunner(Path(folder) / "volume", given.weights)
        upload = runner.upload(_archive(given, Path(folder)))
        taken = runner.run("import", {"upload_id": upload, "name": "standard"})
        version = {"dataset_version_id": taken.result["dataset_version_id"]}
        ended = runner.run("experiment", version | ASKED)
    fits = sum(s for kind, s in runner.seconds.items() if not kind.startswith(CACHED))
    for kind, seconds in sorted(runner.seconds.items(), key=lambda item: -item[1]):
        print(f"{kind:28s} {runner.runs[kind]:4d} x  {seconds:8.1f} processor s")
    minutes = fits / CORES / 60
    print(f"verdict {ended.result['verdict']}")
    print(f"with features cached: {fits:.0f} processor s, {minutes:.1f} min on {CORES} cores")
    print(f"goal: <= {GOAL_MINUTES} min: {'yes' if minutes <= GOAL_MINUTES else 'NO'}")
    return 0 if minutes <= GOAL_MINUTES else 1


def _archive(given: argparse.Namespace, folder: Path) -> Path:
    """Return a dataset as the tar file that a caller would upload."""
    import tarfile

    source: Path | None = given.dataset
    if source is None:
        source = folder / "drawn"
        write_dataset(source, images=IMAGES)
    path = folder / "dataset.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(source, arcname=".")
    return path


if __name__ == "__main__":
    sys.exit(main())
