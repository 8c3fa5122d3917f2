"""Each repeat trains on a synthetic version of its own, in the pipeline and in the experiment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from core.errors import InvalidInput
from core.jobs.context import Inputs
from core.jobs.kinds.pipeline import PipelineParams, estimate
from core.learning.verdict_schema import json_schema
from tests.unit.jobs.inline import InlineOutcome, InlineRunner
from tests.unit.jobs.learning_stack import install, real_images

COUNTS = {"mole": 24, "scar": 12}
QUICK: dict[str, Any] = {
    "arms": ["real", "combined"],
    "folds": 2,
    "repeats": 2,
    "bootstrap": 200,
    "legacy_protocol": False,
    "tuning": "none",
}


class Recorder(InlineRunner):
    """Keeps the parameters of every job."""

    def run(self, kind: str, params: dict[str, Any], attempt: int = 1) -> InlineOutcome:
        self.asked: list[tuple[str, dict[str, Any]]] = [*getattr(self, "asked", ()), (kind, params)]
        return super().run(kind, params, attempt)

    def params_of(self, kind: str) -> list[dict[str, Any]]:
        return [params for name, params in self.asked if name == kind]


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    install(monkeypatch)
    return Recorder(tmp_path)


def test_every_repeat_of_a_pipeline_trains_on_its_own_version(runner: Recorder) -> None:
    version = runner.version(real_images(runner, COUNTS))
    asked = {"experiment": QUICK, "evaluate": {"metrics": ["vendi"]}, "seed": 5}
    outcome = runner.run("pipeline", {"dataset_version_id": version, **asked})
    made = outcome.result["synthetic_version_ids"]
    assert [p["seed"] for p in runner.params_of("synthesize")] == [5, 6]
    assert len({runner.versions[v].manifest_sha256 for v in made}) == 2
    assert outcome.result["synthetic_version_id"] == made[0]
    shards = {
        (p["seed"], *p["synthetic_version_ids"]) for p in runner.params_of("experiment_shard")
    }
    assert shards == {(5, made[0]), (6, made[1])}
    (gate,) = runner.params_of("experiment_gate")
    assert gate["synthetic_version_ids"] == made
    (features,) = runner.params_of("extract_features")[:1]
    assert features["dataset_version_ids"] == [version, *made]
    summary = json.loads(outcome.artifacts["summary.json"].read_bytes())
    assert summary["synthetic_version_ids"] == made
    page = outcome.artifacts["report.html"].read_text()
    assert "Each of the 2 repeats was trained on a version of its own" in page
    assert "synthetic images of its own." in page
    assert "Seed by seed" in page


def test_the_verdict_says_whether_the_spread_holds_synthesis(runner: Recorder) -> None:
    version = runner.version(real_images(runner, COUNTS))
    plan = {"dataset_version_id": version, "counts": {"scar": 12}, "sources": "all"}
    made = [runner.run("synthesize", plan | {"seed": s}).versions[0].id for s in (1, 2)]
    for changes, own in (
        ({"synthetic_version_per_repeat": made}, True),
        ({"synthetic_version_ids": made}, False),
        ({"synthetic_version_per_repeat": [], "arms": ["real"]}, None),
    ):
        outcome = runner.run("experiment", {"dataset_version_id": version, **QUICK, **changes})
        verdict = json.loads(outcome.artifacts["verdict.json"].read_bytes())
        jsonschema.validate(verdict, json_schema())
        assert verdict["exploratory"]["synthesis_by_seed"] is own
        rows = verdict["exploratory"]["seeds"]
        low, high = sorted(rows[0]["balanced_accuracy"])
        assert rows[0]["deviation"] == pytest.approx((high - low) / 2**0.5)


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"synthetic_version_per_repeat": [0]}, "/synthetic_version_per_repeat"),
        ({"synthetic_version_per_repeat": [0, 0]}, "/synthetic_version_per_repeat/1"),
        (
            {"synthetic_version_ids": [1], "synthetic_version_per_repeat": [0, 1]},
            "/synthetic_version_per_repeat/1",
        ),
        ({"synthetic_version_per_repeat": [0, "real"]}, "/synthetic_version_per_repeat/1"),
        (
            {"synthetic_version_per_repeat": [0, 1], "synthesis": {"counts": {"scar": 2}}},
            "/synthesis",
        ),
    ],
)
def test_versions_that_are_not_one_a_repeat_are_refused(
    runner: Recorder, changes: dict[str, Any], pointer: str
) -> None:
    records = real_images(runner, COUNTS)
    real = runner.version(records)
    made = [runner.version(records[:1], kind="synthetic") for _ in range(2)]
    named: dict[str, Any] = {
        field: [real if v == "real" else made[v] for v in value]
        if isinstance(value, list)
        else value
        for field, value in changes.items()
    }
    with pytest.raises(InvalidInput) as caught:
        runner.run("experiment", {"dataset_version_id": real, **QUICK, **named})
    assert [e.pointer for e in caught.value.errors] == [pointer]


def test_a_repeat_more_costs_a_synthesis_more(runner: Recorder) -> None:
    version = runner.version(real_images(runner, COUNTS))
    inputs = Inputs(versions={version: runner.versions[version]})

    def children(repeats: int) -> int:
        asked = {"dataset_version_id": version, "experiment": QUICK | {"repeats": repeats}}
        return estimate(PipelineParams.model_validate(asked), inputs).children

    assert children(3) - children(2) >= 1 + QUICK["folds"]
