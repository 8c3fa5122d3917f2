"""The subgroup of apparent tone: each image is looked at once, and abstention is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from core.ingest.images import encode_png
from core.jobs import experiment_tone
from core.jobs.kinds.experiment import ExperimentParams
from core.learning.cohort import cohort
from core.learning.folds import fold_table
from core.learning.verdict_schema import json_schema
from core.manifest import ImageRecord
from tests.unit.jobs.inline import InlineOutcome, InlineRunner
from tests.unit.jobs.learning_stack import install, real_images
from tests.unit.synthesis.test_tone import photograph

COUNTS = {"mole": 48, "scar": 48}


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InlineRunner:
    install(monkeypatch)
    return InlineRunner(tmp_path)


def photographs(runner: InlineRunner) -> list[ImageRecord]:
    """Every third image is on light skin, every third on brown, the others show no lesion."""
    found = []
    for number, record in enumerate(real_images(runner, COUNTS)):
        if number % 3 == 2:
            found.append(replace(record, metadata={"apparent_tone": "told, not measured"}))
            continue
        pixels = photograph((66, 45)[number % 3], 15, side=96, radius=20)
        pixels[0, 0] = (number, 0, 0)  # no two images are the same
        found.append(replace(record, sha256=runner.blob(encode_png(pixels))))
    return found


def run(runner: InlineRunner, records: list[ImageRecord], **changes: Any) -> InlineOutcome:
    params: dict[str, Any] = {
        "dataset_version_id": runner.version(records),
        "arms": ["real"],
        "folds": 2,
        "repeats": 2,
        "bootstrap": 200,
        "legacy_protocol": False,
        "tuning": "none",
    }
    return runner.run("experiment", params | changes)


def test_images_are_looked_at_once_and_grouped_by_what_was_seen(
    runner: InlineRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiment_tone, "SHARD_IMAGES", 40)
    outcome = run(runner, photographs(runner))
    assert runner.kinds_run.count("experiment_tone") == 3
    verdict = json.loads(outcome.artifacts["verdict.json"].read_bytes())
    jsonschema.validate(verdict, json_schema())
    rows = {r["level"]: r for r in verdict["subgroups"] if r["attribute"] == "apparent_tone"}
    assert {level: row["n_images"] for level, row in rows.items()} == {"light": 32, "brown": 32}
    assert all(row["difference"] is None and row["reason"] for row in rows.values())
    told = verdict["settings"]["apparent_tone"]
    assert (told["images"], told["measured"]) == (96, 64)
    assert sum(told["abstained"].values()) == 32
    assert "uncalibrated" in told["method"]
    page = outcome.artifacts["report.html"].read_text()
    assert "Apparent tone, uncalibrated" in page
    assert "Apparent tone was measured on 64 of 96 images" in page
    assert "told, not measured" not in page


def test_without_the_option_or_without_colour_nothing_is_looked_at(runner: InlineRunner) -> None:
    outcome = run(runner, real_images(runner, COUNTS), apparent_tone=False)
    assert "experiment_tone" not in runner.kinds_run
    verdict = json.loads(outcome.artifacts["verdict.json"].read_bytes())
    assert verdict["settings"]["apparent_tone"] is None


def test_a_picture_without_colour_has_no_tone(runner: InlineRunner) -> None:
    records = [replace(r, modality="grey") for r in real_images(runner, COUNTS)]
    params = ExperimentParams(dataset_version_id=runner.version(records))
    members = cohort(records)
    table = fold_table(members, design="cv", folds=2, repeats=1, seed=0)
    assert experiment_tone.tone_children(params, members, table) == []
