"""``python -m tests.bench.outlines FOLDER``: do transplanted lesions help to outline real ones?

FOLDER holds ``X.jpg`` beside ``X_mask.png`` and a table of labels, as the layout ``masks`` takes
it. Imports it, makes ``--synthetic`` images a class by transplant, and runs train_segmentation in
this process; ``--set name=value`` changes a parameter. Prints scores, verdict, and CPU seconds
against the estimate; writes report.html and segmentation.json to build/outlines.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from core.jobs.context import Inputs
from core.jobs.segmentation_cost import estimate
from core.jobs.spec import JOB_KINDS
from core.learning.model_card import between
from core.learning.segmentation.analysis import METRICS
from tests.unit.jobs.inline import InlineOutcome, InlineRunner

OUT = Path("build/outlines")
KEPT = ("report.html", "segmentation.json", "overlays.png", "predictions.parquet", "model_card.md")


def run(folder: Path, volume: Path, synthetic: int, changes: dict[str, Any]) -> InlineOutcome:
    """Import, synthesize and train; returns what the last job published."""
    runner = InlineRunner(volume)
    volume.mkdir(parents=True, exist_ok=True)
    archive = volume / "upload.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.iterdir()):
            file.write(path, path.name)
    asked = {"upload_id": runner.upload(archive), "name": folder.name, "layout": "masks"}
    real = runner.run("import", asked).versions[0]
    plan = {"dataset_version_id": real.id, "generator": "transplant", "sources": "all"}
    counts = {c.name: synthetic for c in real.classes}
    made = runner.run("synthesize", plan | {"counts": counts}).versions[0]
    params: dict[str, Any] = {"dataset_version_id": real.id, "synthetic_version_ids": [made.id]}
    params |= changes
    kind = JOB_KINDS.get("train_segmentation")
    cost = estimate(kind.params.model_validate(params), Inputs(versions=runner.versions))
    before = cpu_seconds()
    outcome = runner.run("train_segmentation", params)
    sys.stdout.write(f"{cpu_seconds() - before:.0f} CPU s, estimated {cost.seconds:.0f}\n")
    return outcome


def cpu_seconds() -> float:
    """Return what this process and its ended children have used."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def shown(document: dict[str, Any]) -> Table:
    """Return the table of arms."""
    table = Table("arm", *METRICS, "images")
    for arm in document["arms"]:
        scores = [arm["scores"].get(metric) for metric in METRICS]
        cells = [f"{s['value']:.3f} {between(s['interval'])}" if s else "-" for s in scores]
        table.add_row(arm["arm"], *cells, f"{arm['training_images']:.0f}")
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--synthetic", type=int, default=13, help="images a class")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    asked = parser.parse_args()
    changes = {k: json.loads(v) for k, v in (text.split("=", 1) for text in asked.set)}
    with tempfile.TemporaryDirectory() as volume:
        outcome = run(asked.folder, Path(volume) / "volume", asked.synthetic, changes)
        OUT.mkdir(parents=True, exist_ok=True)
        for name in KEPT:
            if name in outcome.artifacts:
                (OUT / name).write_bytes(outcome.artifacts[name].read_bytes())
    document = json.loads((OUT / "segmentation.json").read_text())
    Console().print(shown(document))
    primary = document["primary"]
    sys.stdout.write(f"{primary['verdict']}: {primary['reason']}; {primary['difference']}, ")
    sys.stdout.write(f"{primary['interval']}, smallest {primary['smallest_detectable']}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
