"""The experiment from parameters to verdict, with its children."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow.parquet as pq
import pytest

from core.errors import DermSynthError, InvalidInput, LeakDetected
from core.features import extract, shards
from core.features.preprocess import NOISE
from core.jobs.kinds.experiment import ExperimentParams, check
from core.jobs.spec import JOB_KINDS
from core.learning.verdict_schema import json_schema
from scripts import recompute_verdict
from tests.unit.jobs.inline import InlineOutcome, InlineRunner
from tests.unit.jobs.learning_stack import install, real_images, statistics

COUNTS = {"mole": 48, "scar": 24, "wart": 12}
TUNING = ("tuning_candidates", "inner_folds", "classifier_params")
ARMS = ["real", "class_weight", "logit_adjust", "oversample", "augment", "synthetic", "combined"]


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InlineRunner:
    install(monkeypatch)
    return InlineRunner(tmp_path)


def run(runner: InlineRunner, version: str, **changes: Any) -> InlineOutcome:
    params: dict[str, Any] = {
        "dataset_version_id": version,
        "synthesis": {"generator": "augment", "balance": {"target": "max", "max_per_real": 3}},
        "folds": 3,
        "repeats": 2,
        "bootstrap": 300,
        "legacy_per_class": 10,
        "tuning": "none" if changes.keys().isdisjoint(TUNING) else "grid",
    }
    return runner.run("experiment", params | changes)


def test_the_whole_experiment(runner: InlineRunner) -> None:
    version = runner.version(real_images(runner, COUNTS))
    outcome = run(
        runner,
        version,
        ratios=[1.0],
        classifier="random_forest",
        classifier_params={"n_estimators": 10},
        other_classifiers=["logistic_regression"],
        tuning_candidates=2,
        inner_folds=2,
    )
    verdict = json.loads(outcome.artifacts["verdict.json"].read_bytes())
    arms = [*ARMS, "combined_r1"]
    assert [(r["arm"], r["classifier"]) for r in outcome.result["table"]] == [
        (arm, name) for arm in arms for name in ("random_forest", "logistic_regression")
    ]
    assert all(row["valid"] for row in outcome.result["table"])
    assert outcome.result["verdict"] == verdict["primary"]["verdict"]
    assert verdict["settings"]["generator_augment_is_treatment"] is True
    assert {c["comparator"] for c in verdict["primary"]["comparisons"]} == {
        "real",
        "class_weight",
        "logit_adjust",
        "oversample",
    }
    assert verdict["legacy_protocol"]["valid"] is False
    assert verdict["legacy_protocol"]["combined"]["accuracy"] > 0
    rows = pq.read_table(outcome.artifacts["predictions.parquet"])
    assert rows.num_rows == 84 * 2 * len(arms) * 2
    folds = pq.read_table(outcome.artifacts["folds.parquet"])
    assert folds.schema.metadata[b"sha256"].decode() == verdict["fold_table_sha256"]
    assert runner.kinds_run.count("experiment_shard") == 6
    assert runner.kinds_run.count("synthesize") == 3
    assert "experiment_views" in runner.kinds_run
    page = outcome.artifacts["report.html"].read_text()
    assert "data:image/png" in page
    pictures = {name for name in outcome.artifacts if name.endswith(".png")}
    assert pictures == {
        "arms.png",
        "per_class.png",
        "dose_response.png",
        "calibration.png",
        *(f"confusion_{arm}.png" for arm in arms),
    }
    tuned = json.loads(outcome.artifacts["tuning.json"].read_bytes())
    assert tuned["budget"] == verdict["settings"]["tuning"] == {"candidates": 2, "folds": 2}
    assert [len(grid) for grid in tuned["grids"].values()] == [2, 2]
    assert len(tuned["rows"]) == 6 * len(arms) * 2
    assert {row["chosen"] for row in tuned["rows"]} <= {0, 1}
    assert len({(row["seed"], row["fold"]) for row in tuned["rows"]}) == 6
    assert "Hyperparameters chosen over all folds" in page
    jsonschema.validate(verdict, json_schema())
    again = recompute_verdict.recompute(str(outcome.artifacts["predictions.parquet"]), 3000)
    assert again["verdict"] == verdict["primary"]["verdict"]
    assert set(again["differences"]) == {c["comparator"] for c in verdict["primary"]["comparisons"]}
    for row in verdict["primary"]["comparisons"]:
        value, low, high = again["differences"][row["comparator"]]
        assert value == pytest.approx(row["difference"])
        assert [low, high] == pytest.approx(row["interval"], abs=0.03)
    assert outcome.experiments[0].id == outcome.result["experiment_id"]
    assert outcome.experiments[0].verdict == verdict


def test_predictions_made_elsewhere_are_judged_by_the_same_bootstrap(
    runner: InlineRunner, tmp_path: Path
) -> None:
    version = runner.version(real_images(runner, COUNTS))
    arms: dict[str, Any] = {"arms": ["real"], "synthesis": None, "legacy_protocol": False}
    first = run(runner, version, **arms)
    table = json.loads(first.artifacts["verdict.json"].read_bytes())["fold_table_sha256"]
    rows = pq.read_table(first.artifacts["folds.parquet"]).to_pylist()
    lines = ["image_id,seed,fold,probability_mole,probability_scar,probability_wart"]
    for row in rows:
        sure = ",".join("0.98" if row["label"] == c else "0.01" for c in ("mole", "scar", "wart"))
        lines.append(f"{row['image_id']},{row['seed']},{row['fold']},{sure}")
    path = tmp_path / "elsewhere.csv"
    path.write_text("\n".join(lines))
    given = {"external_upload_id": runner.upload(path), "external_fold_table_sha256": table}
    outcome = run(runner, version, **arms, **given)
    verdict = outcome.experiments[0].verdict
    jsonschema.validate(json.loads(json.dumps(verdict)), json_schema())
    row = next(a for a in verdict["arms"] if a["arm"] == "external")
    assert row["scores"]["balanced_accuracy"]["value"] == 1.0
    (compared,) = verdict["exploratory"]["external"]
    assert compared["comparator"] == "real"
    assert compared["interval"][0] > 0
    assert "Predictions made elsewhere" in outcome.artifacts["report.html"].read_text()
    with pytest.raises(InvalidInput) as caught:
        run(runner, version, **arms, **given | {"external_fold_table_sha256": "0" * 64})
    assert caught.value.code == "external_folds"


def test_the_same_seed_gives_the_same_verdict(runner: InlineRunner) -> None:
    version = runner.version(real_images(runner, COUNTS))
    arms = {"arms": ["real", "combined"], "legacy_protocol": False, "repeats": 1}
    documents = [
        json.loads(run(runner, version, seed=seed, **arms).artifacts["verdict.json"].read_bytes())
        for seed in (5, 5)
    ]
    for document in documents:
        del document["settings"]["synthesized"]
    assert documents[0] == documents[1]


def test_each_seed_has_its_own_synthesis(runner: InlineRunner) -> None:
    version = runner.version(real_images(runner, COUNTS))
    outcome = run(runner, version, arms=["real", "combined"], legacy_protocol=False)
    made = json.loads(outcome.artifacts["verdict.json"].read_bytes())["settings"]["synthesized"]
    hashes = {runner.versions[v].manifest_sha256 for v in made.values()}
    assert set(made) == {"synthesis:0", "synthesis:1"}
    assert len(hashes) == 2


def test_given_synthetic_versions_and_no_plan(runner: InlineRunner) -> None:
    version = runner.version(real_images(runner, COUNTS))
    params = {"dataset_version_id": version, "balance": {"target": "max"}, "sources": "all"}
    made = runner.run("synthesize", params).result["dataset_version_id"]
    outcome = run(
        runner,
        version,
        synthesis=None,
        synthetic_version_ids=[made],
        legacy_protocol=False,
        arms=["real", "combined"],
    )
    assert outcome.result["legacy_protocol"] is None
    assert runner.kinds_run.count("synthesize") == 1


def test_turned_images_are_computed_once_before_the_folds(
    runner: InlineRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, tuple[str, int]]] = []

    def watched(ctx: Any, items: Any, backbone: str, **options: Any) -> Any:
        seen.extend((runner.kinds_run[-1], (i.sha256, i.dihedral)) for i in items if i.dihedral)
        return statistics(ctx, items, backbone, **options)

    monkeypatch.setattr(extract, "features", watched)
    monkeypatch.setattr(shards, "SHARD_IMAGES", 20)
    version = runner.version(real_images(runner, COUNTS))
    arms = ["real", "augment", "combined", "control_noise", "control_shuffled"]
    outcome = run(runner, version, arms=arms, legacy_protocol=False)
    assert [row["arm"] for row in outcome.result["table"]] == arms
    assert all(row["balanced_accuracy"] is not None for row in outcome.result["table"])
    page = outcome.artifacts["report.html"].read_text()
    assert "Control: noise images" in page
    assert "Control: labels permuted" in page
    early = [view for kind, view in seen if kind == "experiment_views"]
    assert len(early) == len(set(early)) > 20
    assert runner.kinds_run.count("experiment_views") == -(-len(early) // 20)
    assert {view for kind, view in seen if kind == "experiment_shard"} == set(early)
    assert {view for _, view in early} > {1, 2, NOISE}
    last_view = max(i for i, k in enumerate(runner.kinds_run) if k == "experiment_views")
    assert last_view < runner.kinds_run.index("experiment_shard")


@pytest.mark.parametrize(
    ("generators", "spared"),
    [(("augment",), True), (("augment", "render3d"), False), (("",), False)],
)
def test_the_arm_augment_is_spared_only_when_all_images_are_of_that_generator(
    runner: InlineRunner, generators: tuple[str, ...], spared: bool
) -> None:
    records = real_images(runner, COUNTS)
    version = runner.version(records)
    plan = {"dataset_version_id": version, "counts": {"scar": 30, "wart": 30}, "sources": "all"}
    source = runner.run("synthesize", plan).versions[0].id
    made = []
    for number, name in enumerate(generators):
        own = runner.versions[source].model_copy(
            update={"id": f"dsv_{number:026d}", "generator": {"name": name} if name else None}
        )
        runner.versions[own.id] = own
        made.append(own.id)
    outcome = run(
        runner,
        version,
        synthesis=None,
        synthetic_version_ids=made,
        arms=["real", "augment", "combined"],
        legacy_protocol=False,
        repeats=1,
    )
    verdict = outcome.experiments[0].verdict
    compared = {c["comparator"] for c in verdict["primary"]["comparisons"]}
    assert ("augment" in compared) is not spared
    assert verdict["settings"]["generators"] == sorted(name or "unknown" for name in generators)


def test_synthetic_images_of_other_groups_give_no_verdict(runner: InlineRunner) -> None:
    records = real_images(runner, COUNTS)
    version = runner.version(records)
    made = [
        replace(r, image_id=f"img_made{i}", source="synthetic", group_ids=(f"elsewhere-{i}",))
        for i, r in enumerate(records[-6:])
    ]
    outcome = run(
        runner,
        version,
        synthesis=None,
        synthetic_version_ids=[runner.version(made, kind="synthetic")],
        legacy_protocol=False,
    )
    verdict = outcome.experiments[0].verdict
    assert verdict["primary"]["verdict"] == "not_estimable"
    assert [a["arm"] for a in verdict["arms"] if a["valid"]] == [
        "real",
        "class_weight",
        "logit_adjust",
    ]
    assert any(w.startswith("6 synthetic images were never used") for w in verdict["warnings"])


def test_real_arms_alone_need_no_synthesis(runner: InlineRunner) -> None:
    version = runner.version(real_images(runner, COUNTS))
    arms = ["real", "class_weight"]
    outcome = run(runner, version, synthesis=None, arms=arms, legacy_protocol=False)
    assert outcome.result["verdict"] == "not_estimable"
    assert "synthesize" not in runner.kinds_run


def test_legacy_with_augmented_real_images(runner: InlineRunner) -> None:
    version = runner.version(real_images(runner, COUNTS))
    outcome = run(runner, version, synthesis=None, arms=["real"], real_is_augmented=True)
    legacy = outcome.result["legacy_protocol"]
    assert legacy["real_is_augmented"] is True
    assert legacy["real"]["images"] == 48 + 30 + 30
    assert legacy["synthetic"]["images"] == 20
    assert legacy["combined"]["images"] == 128


def test_holdout_tests_the_official_side(runner: InlineRunner) -> None:
    records = real_images(runner, COUNTS)
    sides = [
        replace(r, metadata={"source_split": "test" if i % 4 < 2 else "train"})
        for i, r in enumerate(records)
    ]
    version = runner.version(sides)
    few: dict[str, Any] = {"arms": ["real", "combined"], "legacy_protocol": False}
    outcome = run(runner, version, design="holdout", **few)
    rows = pq.read_table(outcome.artifacts["predictions.parquet"], columns=["image_id"])
    tested = set(rows["image_id"].to_pylist())
    assert tested == {r.image_id for r in sides if r.metadata["source_split"] == "test"}
    with pytest.raises(InvalidInput) as caught:
        run(runner, runner.version(records), design="holdout", legacy_protocol=False)
    assert caught.value.code == "no_official_split"


def test_a_lying_synthetic_image_fails_the_job(runner: InlineRunner) -> None:
    records = real_images(runner, COUNTS)
    version = runner.version(records)
    parent = records[0]
    liar = replace(
        records[1],
        image_id="img_liar",
        source="synthetic",
        sha256=records[1].sha256,
        source_sha256="",
        pixel_sha256="",
        group_ids=(),
        parents=(parent.image_id,),
        parent_sha256=(parent.sha256,),
    )
    made = runner.version([liar], kind="synthetic")
    with pytest.raises(LeakDetected) as caught:
        run(runner, version, synthesis=None, synthetic_version_ids=[made], legacy_protocol=False)
    assert caught.value.image_ids == ("img_liar",)


@pytest.mark.parametrize(
    ("changes", "code", "pointer"),
    [
        ({"arms": ["real", "combinde"]}, "unknown_arm", "/arms/1"),
        ({"arms": ["combined"]}, "invalid_input", "/arms"),
        ({"ratios": [0.0]}, "unknown_arm", "/ratios/0"),
        ({"synthesis": None}, "needs_synthetic", "/synthetic_version_ids"),
        ({"backbone": "resnet999"}, "unknown_backbone", "/backbone"),
        ({"classifier": "forest"}, "unknown_classifier", "/classifier"),
        ({"other_classifiers": ["forest"]}, "unknown_classifier", "/other_classifiers/0"),
        ({"classifier_params": {"C": -1}}, "invalid_input", "/classifier_params/C"),
        ({"classifier_params": {"C": 1.0}}, "invalid_input", "/classifier_params/C"),
        ({"folds": 20}, "too_few_groups", "/folds"),
        (
            {"external_fold_table_sha256": "0" * 64},
            "invalid_input",
            "/external_fold_table_sha256",
        ),
        ({"synthesis": {"generator": "augmnt"}}, "unknown_generator", "/synthesis/generator"),
        ({"synthesis": {"counts": {"boil": 3}}}, "unknown_class", "/synthesis/counts/boil"),
    ],
)
def test_bad_parameters_are_refused_at_submission(
    runner: InlineRunner, changes: dict[str, Any], code: str, pointer: str
) -> None:
    version = runner.version(real_images(runner, {"mole": 20, "scar": 10}))
    with pytest.raises(DermSynthError) as caught:
        run(runner, version, **changes)
    assert caught.value.code == code
    assert [e.pointer for e in caught.value.errors] == [pointer]
    assert "experiment" not in runner.kinds_run


def test_one_class_is_too_few(runner: InlineRunner) -> None:
    version = runner.version(real_images(runner, {"mole": 20}))
    with pytest.raises(InvalidInput) as caught:
        run(runner, version)
    assert caught.value.code == "too_few_classes"


def test_versions_of_the_wrong_kind_are_refused(runner: InlineRunner) -> None:
    records = real_images(runner, COUNTS)
    real, made = runner.version(records), runner.version(records, kind="synthetic")
    for changes in ({"dataset_version_id": made}, {"synthetic_version_ids": [real]}):
        with pytest.raises(InvalidInput):
            run(runner, real, **changes)


def test_the_example_validates_and_the_cost_is_finite(runner: InlineRunner) -> None:
    kind = JOB_KINDS.get("experiment")
    example = kind.params.model_json_schema()["examples"][0]
    version = runner.version(real_images(runner, COUNTS))
    params = ExperimentParams.model_validate(example | {"dataset_version_id": version})
    inputs = runner._inputs(_references(params))
    check(params, inputs)
    assert kind.estimate is not None
    assert 0 < kind.estimate(params, inputs).seconds < 600


def _references(params: ExperimentParams) -> list[Any]:
    from core.jobs.spec import references

    return list(references(params))
