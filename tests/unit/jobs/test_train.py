"""Training one model: what it sees, what it publishes, what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.errors import DermSynthError, InvalidInput, LeakDetected
from core.learning.model_file import load_model
from core.manifest import read_manifest
from tests.unit.jobs.inline import InlineRunner
from tests.unit.jobs.learning_stack import BACKBONE_SHA256, install, real_images

COUNTS = {"mole": 60, "scar": 30, "wart": 20}


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InlineRunner:
    install(monkeypatch)
    return InlineRunner(tmp_path)


@pytest.mark.parametrize("classifier", ["logistic_regression", "random_forest"])
def test_a_model_is_published_with_its_papers(runner: InlineRunner, classifier: str) -> None:
    records = real_images(runner, COUNTS)
    version = runner.version(records)
    outcome = runner.run("train", {"dataset_version_ids": [version], "classifier": classifier})
    result = outcome.result
    assert result["n_train"] == sum(r.split == "train" for r in records)
    assert result["n_test"] == sum(r.split == "test" for r in records)
    assert result["classes"] == ["mole", "scar", "wart"]
    assert result["scores"]["balanced_accuracy"] > 0.4
    model = outcome.models[0]
    assert model.id == result["model_id"]
    store = runner.store
    estimator, info = load_model(
        store.find(model.files["model.skops"]), store.find(model.files["model.json"])
    )
    assert info.backbone_sha256 == BACKBONE_SHA256
    assert info.classes == ("mole", "scar", "wart")
    assert info.training_version_ids == (version,)
    assert estimator.n_features_in_ == 24
    report = json.loads(outcome.artifacts["report.json"].read_bytes())
    assert sum(map(sum, report["confusion"])) == result["n_test"]
    card = outcome.artifacts["model_card.md"].read_text()
    assert "research only, not for diagnosis" in card
    assert outcome.artifacts["confusion.png"].read_bytes().startswith(b"\x89PNG")


def test_synthetic_images_are_used_only_when_their_groups_are_on_the_train_side(
    runner: InlineRunner,
) -> None:
    records = real_images(runner, COUNTS)
    real = runner.version(records)
    params = {"dataset_version_id": real, "balance": {"target": "max"}, "sources": "all"}
    made = runner.run("synthesize", params).result["dataset_version_id"]
    outcome = runner.run("train", {"dataset_version_ids": [real, made]})
    report = json.loads(outcome.artifacts["report.json"].read_bytes())
    n_real = sum(r.split == "train" for r in records)
    assert report["excluded_synthetic"] > 0
    assert report["n_train"] - n_real + report["excluded_synthetic"] == 70
    assert report["n_train"] > n_real


def test_a_patient_whom_another_dataset_tests_is_not_trained_on(runner: InlineRunner) -> None:
    records = real_images(runner, COUNTS)
    first = [r for r in records if r.split != "test"]
    second = [r for r in records if r.split == "test"]
    place = next(n for n, r in enumerate(first) if r.split == "train")
    for dataset, n in ((first, place), (second, 0)):
        dataset[n] = replace(dataset[n], metadata={"patient_id": "P1"})
    versions = [runner.version(first), runner.version(second)]
    outcome = runner.run("train", {"dataset_version_ids": versions})
    report = json.loads(outcome.artifacts["report.json"].read_bytes())
    assert report["excluded_namesakes"] == 1
    assert report["n_train"] == sum(r.split == "train" for r in records) - 1


def test_a_leak_stops_the_training(runner: InlineRunner) -> None:
    records = real_images(runner, COUNTS)
    group = next(r.group_ids for r in records if r.split == "test" and r.label == "mole")
    leaked = [
        replace(r, split="train") if r.image_id == _first(records, group) else r for r in records
    ]
    with pytest.raises(LeakDetected):
        runner.run("train", {"dataset_version_ids": [runner.version(leaked)]})


def _first(records: Any, group: tuple[str, ...]) -> str:
    return next(r.image_id for r in records if r.group_ids == group)


def test_quarantined_images_are_neither_trained_nor_tested(runner: InlineRunner) -> None:
    records = real_images(runner, COUNTS)
    kept = [replace(r, quarantined=i < 20) for i, r in enumerate(records)]
    outcome = runner.run("train", {"dataset_version_ids": [runner.version(kept)]})
    usable = [r for r in kept if not r.quarantined and r.split in ("train", "test")]
    assert outcome.result["n_train"] + outcome.result["n_test"] == len(usable)


def test_what_was_made_from_a_quarantined_image_is_not_trained_on(runner: InlineRunner) -> None:
    records = real_images(runner, COUNTS)
    plan = {"dataset_version_id": runner.version(records), "counts": {"scar": 40}}
    made = runner.run("synthesize", plan)
    bad = next(r for r in records if r.label == "scar" and r.split == "train")
    version = runner.version([replace(r, quarantined=r is bad) for r in records])
    assert sum(r.group_ids == bad.group_ids for r in records) > 1, "its group stays"
    outcome = runner.run("train", {"dataset_version_ids": [version, made.versions[0].id]})
    report = json.loads(outcome.artifacts["report.json"].read_bytes())
    children = read_manifest(runner.store.find(made.versions[0].manifest_blob))
    assert report["excluded_synthetic"] == sum(r.parents == (bad.image_id,) for r in children) > 0


@pytest.mark.parametrize(
    ("counts", "code"),
    [({"mole": 30}, "too_few_classes"), ({"mole": 2, "scar": 2}, "too_few_images")],
)
def test_too_little_data_is_refused(
    runner: InlineRunner, counts: dict[str, int], code: str
) -> None:
    version = runner.version(real_images(runner, counts))
    with pytest.raises(InvalidInput) as caught:
        runner.run("train", {"dataset_version_ids": [version]})
    assert caught.value.code == code
    assert "train" not in runner.kinds_run


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"classifier": "svm"}, "/classifier"),
        ({"backbone": "resnet"}, "/backbone"),
        ({"classifier_params": {"trees": 3}}, "/classifier_params/trees"),
        ({"classifier_params": {"a/b": 3}}, "/classifier_params/a~1b"),
    ],
)
def test_unknown_names_are_refused(
    runner: InlineRunner, changes: dict[str, Any], pointer: str
) -> None:
    version = runner.version(real_images(runner, COUNTS))
    with pytest.raises(DermSynthError) as caught:
        runner.run("train", {"dataset_version_ids": [version]} | changes)
    assert [e.pointer for e in caught.value.errors] == [pointer]


def test_synthetic_versions_alone_cannot_be_judged(runner: InlineRunner) -> None:
    version = runner.version(real_images(runner, COUNTS), kind="synthetic")
    with pytest.raises(InvalidInput):
        runner.run("train", {"dataset_version_ids": [version]})
