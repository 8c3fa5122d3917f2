"""The copy-cat: near-copies declared new look excellent to a distance, and fail the gate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from core.features.preprocess import COPY, view
from core.ingest.images import decode
from core.jobs import privacy_gate
from core.learning.verdict_schema import json_schema
from core.quality.copies import screen
from tests.unit.jobs.inline import InlineOutcome, InlineRunner
from tests.unit.jobs.learning_stack import install, real_images

COUNTS = {"mole": 48, "scar": 48, "wart": 12}


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InlineRunner:
    install(monkeypatch)
    return InlineRunner(tmp_path)


def experiment(runner: InlineRunner, counts: dict[str, int], **more: Any) -> InlineOutcome:
    params: dict[str, Any] = {
        "dataset_version_id": runner.version(real_images(runner, counts)),
        "arms": ["real", "control_copycat"],
        "folds": 3,
        "repeats": 1,
        "bootstrap": 300,
        "legacy_protocol": False,
        "tuning": "none",
    }
    return runner.run("experiment", params | more)


def test_near_copies_are_excellent_and_the_gate_keeps_all_of_them_out(
    runner: InlineRunner,
) -> None:
    outcome = experiment(runner, {"mole": 120, "scar": 90, "wart": 30})
    verdict = json.loads(outcome.artifacts["verdict.json"].read_bytes())
    jsonschema.validate(verdict, json_schema())
    found = verdict["controls"]["copycat"]
    assert (found["made"], found["quarantined"], found["passed"]) == (120, 120, 0)
    assert sorted(found["by_class"]) == ["scar", "wart"]
    distance, kernel = found["quality"]
    assert distance["metric"] == "fd_efficientnet_lite0"
    assert distance["n"] >= 50
    assert distance["ratio"] < 0.9
    assert distance["reference_contains_parents"]
    assert kernel["metric"] == "kid_efficientnet_lite0"
    row = verdict["arms"][1]
    assert (row["arm"], row["valid"]) == ("control_copycat", False)
    assert "the privacy gate kept all 120 near-copies out of training" in row["invalid_reason"]
    assert not any("near-copies" in w for w in verdict["warnings"])
    assert json.loads(outcome.artifacts["copycat.json"].read_bytes())["passed"] == []
    assert outcome.artifacts["copycat.png"].read_bytes().startswith(b"\x89PNG")
    page = outcome.artifacts["report.html"].read_text()
    assert "The gate put to the test" in page
    assert "It kept out all of them" in page
    assert "would have called them excellent" in page


def test_a_gate_that_sees_nothing_is_found_out(
    runner: InlineRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blind(real: Any, made: Any, load: Any, **options: Any) -> Any:
        return screen([], made, load, **options)

    monkeypatch.setattr(privacy_gate, "screen", blind)
    outcome = experiment(runner, COUNTS)
    verdict = json.loads(outcome.artifacts["verdict.json"].read_bytes())
    found = verdict["controls"]["copycat"]
    assert (found["made"], found["quarantined"], found["passed"]) == (12, 0, 12)
    assert any("let 12 of 12 near-copies" in w for w in verdict["warnings"])
    row = next(a for a in verdict["arms"] if a["arm"] == "control_copycat")
    assert row["valid"]
    page = outcome.artifacts["report.html"].read_text()
    assert "It let 12 of them pass" in page
    assert "copycat.png" not in outcome.artifacts


def test_classes_of_one_size_are_all_copied(runner: InlineRunner) -> None:
    outcome = experiment(runner, {"mole": 12, "scar": 12})
    found = json.loads(outcome.artifacts["verdict.json"].read_bytes())["controls"]["copycat"]
    assert found["made"] == 24


def test_without_the_arm_nothing_is_copied(runner: InlineRunner) -> None:
    outcome = experiment(runner, COUNTS, arms=["real"])
    assert "experiment_copycat" not in runner.kinds_run
    verdict = json.loads(outcome.artifacts["verdict.json"].read_bytes())
    assert verdict["controls"] == {"copycat": None}
    assert "The gate put to the test" not in outcome.artifacts["report.html"].read_text()


def test_a_near_copy_is_another_picture_that_nobody_tells_apart(runner: InlineRunner) -> None:
    (record,) = real_images(runner, {"mole": 1})
    pixels = decode(runner.store.find(record.sha256))
    seed = bytes.fromhex(record.sha256)
    copied = view(pixels, COPY, seed)
    assert copied.dtype == np.uint8
    assert not np.array_equal(copied, pixels)
    assert np.abs(copied.astype(int) - pixels).mean() < 4
    assert np.array_equal(copied, view(pixels, COPY, seed))
    grey = view(pixels[..., 0], COPY, seed)
    assert grey.shape == pixels.shape[:2]
