"""A reviewer can do an experiment again from what its report says, and sees what it ran in."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from core.jobs import environment as environments
from core.jobs import experiment_record
from core.jobs.environment import (
    code_sha256,
    environment,
    environment_sha256,
    record_sha256,
    versions,
)
from core.learning.verdict_schema import json_schema
from core.manifest import canonical_json
from tests.unit.jobs.inline import InlineOutcome, InlineRunner
from tests.unit.jobs.learning_stack import BACKBONE_SHA256, install, real_images

COUNTS = {"mole": 24, "scar": 12}
ASKED: dict[str, Any] = {
    "synthesis": {"generator": "augment", "counts": {"scar": 12}},
    "arms": ["real", "combined"],
    "folds": 2,
    "repeats": 2,
    "bootstrap": 200,
    "legacy_protocol": False,
    "tuning": "none",
    "seed": 11,
}


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InlineRunner:
    install(monkeypatch)
    return InlineRunner(tmp_path)


def told(outcome: InlineOutcome) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(outcome.artifacts["verdict.json"].read_bytes())
    jsonschema.validate(found, json_schema())
    return found


def test_the_request_in_the_verdict_gives_the_verdict_again(runner: InlineRunner) -> None:
    version = runner.version(real_images(runner, COUNTS))
    first = told(runner.run("experiment", {"dataset_version_id": version} | ASKED))
    again = told(runner.run("experiment", first["settings"]["request"]))
    for verdict in (first, again):
        del verdict["settings"]["synthesized"]  # ids of this installation
    assert again == first


def test_the_report_names_all_that_went_in(runner: InlineRunner) -> None:
    version = runner.version(real_images(runner, COUNTS))
    outcome = runner.run("experiment", {"dataset_version_id": version} | ASKED)
    settings = told(outcome)["settings"]
    page = outcome.artifacts["report.html"].read_text()
    own = json.loads(outcome.artifacts["environment.json"].read_bytes())
    made = [r for r in settings["synthetic_manifests"] if r["role"].startswith("synthesis")]
    assert [r["seed"] for r in made] == settings["seeds"] == [11, 12]
    for needed in (
        runner.versions[version].manifest_sha256,
        told(outcome)["fold_table_sha256"],
        BACKBONE_SHA256,
        *(r["manifest_sha256"] for r in made),
        environment_sha256(),
        code_sha256(),
        f"python {own['python']}",
        *(f"{name} {versions((name,))[name]}" for name in ("torch", "scikit-learn", "numpy")),
        "Seeds of folds and fits: 11, 12.",
        "200 replicates",
        "What the intervals mean",
        "What cannot be excluded:",
        "No image names its patient",
        "The largest of 18 holds 2 images",
        "all folds were fitted in it",
    ):
        assert needed in page, needed
    sha256 = hashlib.sha256(outcome.artifacts["environment.json"].read_bytes()).hexdigest()
    assert sha256 == settings["environment_sha256"]
    assert settings["environments_of_folds"] == [sha256]
    assert settings["request"]["classifier"] == "logistic_regression"


def test_folds_of_another_environment_are_told(
    runner: InlineRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["a" * 64, "b" * 64, "a" * 64, "a" * 64])
    version = runner.version(real_images(runner, COUNTS))
    own = experiment_record.environment_sha256  # of the merge, which runs in this one
    assert own is environments.environment_sha256
    monkeypatch.setattr(environments, "environment_sha256", lambda: next(answers))
    outcome = runner.run("experiment", {"dataset_version_id": version} | ASKED)
    verdict = told(outcome)
    assert verdict["settings"]["environments_of_folds"] == ["a" * 64, "b" * 64]
    assert any("2 different environments" in w for w in verdict["warnings"])


def test_a_group_that_is_much_of_a_class_is_told(runner: InlineRunner) -> None:
    records = real_images(runner, COUNTS)
    chained = [
        replace(r, group_ids=("chain",)) if r.label == "mole" and i < 8 else r
        for i, r in enumerate(records)
    ]
    asked = ASKED | {"arms": ["real"], "synthesis": None, "repeats": 1}
    outcome = runner.run("experiment", {"dataset_version_id": runner.version(chained)} | asked)
    verdict = told(outcome)
    assert verdict["settings"]["groups"]["largest"]["size"] == 8
    assert any("Group chain has 8 images and holds 33%" in w for w in verdict["warnings"])


def test_the_environment_holds_every_wheel_and_the_code() -> None:
    found = environment()
    names = [w["name"] for w in found["wheels"]]
    assert names == sorted(set(names))
    assert {"numpy", "torch", "scikit-learn", "pyarrow"} <= set(names)
    numpy = next(w for w in found["wheels"] if w["name"] == "numpy")
    assert numpy["version"] == np.__version__
    assert len(numpy["record_sha256"]) == 64
    text = canonical_json(found)
    assert hashlib.sha256(text.encode()).hexdigest() == environment_sha256()
    assert str(Path.home()) not in text


def test_other_code_has_another_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    monkeypatch.setattr(environments, "_CODE", tmp_path)
    before = code_sha256()
    (tmp_path / "a.py").write_text("x = 2\n")
    changed = code_sha256()
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    assert len({before, changed, code_sha256()}) == 3


def test_one_wheel_has_one_hash_wherever_it_is_installed() -> None:
    record = "a/b.py,sha256=x,9\na-1.dist-info/METADATA,sha256=y,3\n"
    installed = (
        "../../../bin/a,sha256=s,200\na/__pycache__/b.cpython-312.pyc,,\n"
        f"{record}a-1.dist-info/INSTALLER,sha256=i,4\na-1.dist-info/RECORD,,\n"
        "a-1.dist-info/direct_url.json,sha256=d,70\n"
    )
    assert record_sha256(installed) == record_sha256(record)
    reordered = "\n".join(reversed(record.splitlines()))
    assert record_sha256(reordered) == record_sha256(record)
    assert record_sha256(record.replace("=x", "=z")) != record_sha256(record)
    assert record_sha256(record.replace("a/b", "a/c")) != record_sha256(record)
