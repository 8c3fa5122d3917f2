"""The question of worth from parameters to report, with its jobs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow.parquet as pq
import pytest

from core.errors import InvalidInput
from core.features import extract
from core.jobs import experiment_worth
from core.jobs.context import Inputs
from core.jobs.experiment_cost import estimate
from core.jobs.kinds.experiment import ExperimentParams
from core.learning.verdict_schema import json_schema
from tests.unit.jobs.inline import InlineOutcome, InlineRunner
from tests.unit.jobs.learning_stack import install, real_images, statistics

COUNTS = {"mole": 48, "scar": 40}


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InlineRunner:
    install(monkeypatch)
    return InlineRunner(tmp_path)


def run(runner: InlineRunner, version: str, **changes: Any) -> InlineOutcome:
    params: dict[str, Any] = {
        "dataset_version_id": version,
        "synthesis": {"generator": "augment", "counts": {"scar": 80}},
        "arms": ["real", "class_weight", "combined"],
        "folds": 2,
        "repeats": 2,
        "bootstrap": 200,
        "legacy_protocol": False,
        "tuning": "none",
        "worth": True,
    }
    return runner.run("experiment", params | changes)


def test_the_worth_is_told_in_verdict_report_and_predictions(runner: InlineRunner) -> None:
    version = runner.version(real_images(runner, COUNTS))
    outcome = run(runner, version)
    verdict = json.loads(outcome.artifacts["verdict.json"].read_bytes())
    jsonschema.validate(verdict, json_schema())
    worth = verdict["worth"]
    scores = {a["arm"]: a["scores"]["balanced_accuracy"] for a in verdict["arms"]}
    remedies = ("real", "class_weight")
    assert worth["remedy"] == max(remedies, key=lambda arm: scores[arm]["value"])
    assert [p["share"] for p in worth["curve"]] == [10, 25, 50, 75, 100]
    assert [p["images"] for p in worth["curve"]] == sorted(p["images"] for p in worth["curve"])
    assert worth["curve"][-1]["images"] == 20
    assert worth["curve"][-1]["score"] == scores[worth["remedy"]]["value"]
    assert worth["curve"][-1]["interval"] == scores[worth["remedy"]]["interval"]
    assert [p["share"] for p in worth["combined"]] == [10, 25, 50]
    rows = pq.read_table(outcome.artifacts["worth.parquet"])
    assert rows.num_rows == 88 * 2 * 7
    assert runner.kinds_run.count("experiment_shard") == 8
    assert "combined_g10" not in {a["arm"] for a in verdict["arms"]}
    page = outcome.artifacts["report.html"].read_text()
    assert "<h2>Worth in real images</h2>" in page
    assert "of the weak classes) the synthetic images are worth" in page.replace("\n", " ")
    assert "worth.png" in outcome.artifacts


def test_it_is_asked_for_only_where_it_is_wanted(runner: InlineRunner) -> None:
    version = runner.version(real_images(runner, COUNTS))
    outcome = run(runner, version, worth=False)
    verdict = json.loads(outcome.artifacts["verdict.json"].read_bytes())
    assert verdict["worth"] is None
    assert "worth.parquet" not in outcome.artifacts
    assert "Worth in real images" not in outcome.artifacts["report.html"].read_text()
    with pytest.raises(InvalidInput) as caught:
        run(runner, version, arms=["real", "class_weight"])
    assert [e.pointer for e in caught.value.errors] == ["/worth"]


def test_views_of_smaller_sides_are_computed_before_their_folds(
    runner: InlineRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, tuple[str, int]]] = []

    def watched(ctx: Any, items: Any, backbone: str, **options: Any) -> Any:
        place = len(runner.kinds_run)
        seen.extend((place, (i.sha256, i.dihedral)) for i in items if i.dihedral)
        return statistics(ctx, items, backbone, **options)

    monkeypatch.setattr(extract, "features", watched)
    monkeypatch.setattr(experiment_worth, "best_remedy", lambda *_: "augment")
    records = real_images(runner, COUNTS)
    version = runner.version(records)
    plan = {"dataset_version_id": version, "counts": {"scar": 80}, "sources": "all"}
    made = runner.run("synthesize", plan).versions[0].id
    own = runner.versions[made].model_copy(update={"generator": {"name": "transplant"}})
    runner.versions[made] = own
    outcome = run(
        runner,
        version,
        synthesis=None,
        synthetic_version_ids=[made],
        arms=["real", "augment", "combined"],
    )
    assert (
        json.loads(outcome.artifacts["verdict.json"].read_bytes())["worth"]["remedy"] == "augment"
    )
    ahead: set[tuple[str, int]] = set()
    for place, view in seen:
        if runner.kinds_run[place - 1] == "experiment_views":
            ahead.add(view)
        elif runner.kinds_run[place - 1] == "experiment_shard":
            assert view in ahead


def test_shares_have_their_price(runner: InlineRunner) -> None:
    version = runner.version(real_images(runner, COUNTS))
    inputs = Inputs(versions={version: runner.versions[version]})

    def cost(**changes: Any) -> Any:
        plan = {"generator": "augment", "counts": {"scar": 80}}
        asked = {"dataset_version_id": version, "synthesis": plan, "folds": 4} | changes
        return estimate(ExperimentParams.model_validate(asked), inputs)

    plain, more = cost(), cost(worth=True)
    assert more.children - plain.children == 4 * 3
    others = cost(other_classifiers=["random_forest"])
    both = cost(other_classifiers=["random_forest"], worth=True)
    assert both.seconds - others.seconds == pytest.approx(more.seconds - plain.seconds)
    assert more.seconds > plain.seconds + 12 * 7 * 12 * 0.05
