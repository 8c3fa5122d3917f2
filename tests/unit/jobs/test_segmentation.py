"""Training segmentation networks as a job: children, papers, refusals and checkpoints."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pyarrow.parquet as pq
import pytest

from core.errors import DeviceMissing, InvalidInput, JobCancelled, OutOfMemory, WeightsMissing
from core.jobs.context import Inputs
from core.jobs.kinds import train_segmentation_shard as shard
from core.jobs.kinds.train_segmentation import TrainSegmentationParams, arms_of, check
from core.jobs.runtime import JobRuntime
from core.jobs.segmentation_cost import estimate
from core.jobs.spec import JOB_KINDS
from core.learning.segmentation.contract import ARCHITECTURES
from core.learning.segmentation.model_file import load_segmenter
from core.learning.segmentation.schema import json_schema
from tests.unit.jobs.inline import InlineOutcome, InlineRunner
from tests.unit.jobs.pictures import picture, record
from tests.unit.learning.segmentation.discs import SIDE, dataset, synthetic

COUNTS = {"mole": 32, "scar": 16}
SMALL = {"image_size": 32, "epochs": 1, "folds": 2, "bootstrap": 200, "batch_size": 8}


@pytest.fixture
def runner(tmp_path: Path) -> InlineRunner:
    return InlineRunner(tmp_path)


def run(runner: InlineRunner, real: str, made: list[str], **changes: Any) -> InlineOutcome:
    asked = {"dataset_version_id": real, "synthetic_version_ids": made} | SMALL | changes
    return runner.run("train_segmentation", asked)


def versions(runner: InlineRunner) -> tuple[str, str]:
    real = dataset(runner, COUNTS)
    bare = record(runner, picture(3), "mole")
    made = synthetic(runner, real)
    return (
        runner.version([*real, bare], licence="CC-BY-NC-4.0"),
        runner.version([*made, record(runner, picture(9), "mole", source="synthetic")],
                       kind="synthetic", generator={"name": "transplant"}),
    )  # fmt: skip


def test_all_arms_are_judged_on_real_masks_and_the_model_is_published(
    runner: InlineRunner,
) -> None:
    real, made = versions(runner)
    outcome = run(runner, real, [made], epochs=3)
    assert runner.kinds_run.count("experiment_gate") == 1
    assert runner.kinds_run.count("train_segmentation_shard") == 2 * 3 + 1
    document = json.loads(outcome.artifacts["segmentation.json"].read_bytes())
    jsonschema.validate(document, json_schema())
    assert outcome.result["verdict"] == document["primary"]["verdict"] != "not_estimable"
    assert [row["arm"] for row in outcome.result["table"]] == ["real", "synthetic", "combined"]
    assert all(row["valid"] for row in outcome.result["table"])
    images = outcome.result["images"]
    assert (images["real"], images["groups"], images["real_without_mask"]) == (48, 24, 1)
    assert (images["synthetic"], images["synthetic_without_mask"]) == (48, 1)
    rows = pq.read_table(outcome.artifacts["predictions.parquet"]).to_pylist()
    assert len(rows) == 48 * 3
    for row in rows:
        hits, wrong = row["true_positive"], row["false_positive"] + row["false_negative"]
        assert row["dice"] == pytest.approx(2 * hits / (2 * hits + wrong))
        assert row["pixels"] == SIDE * SIDE
    means = {a: np.mean([r["dice"] for r in rows if r["arm"] == a]) for a in ("real", "combined")}
    assert document["primary"]["difference"] == pytest.approx(means["combined"] - means["real"])
    model = outcome.models[0]
    network, info = load_segmenter(
        runner.store.find(model.files["model.safetensors"]),
        runner.store.find(model.files["model.json"]),
    )
    assert (info.arm, info.size, info.task) == ("combined", 32, "segmentation")
    assert model.info["task"] == "segmentation"
    assert not network.training
    card = outcome.artifacts["model_card.md"].read_text()
    assert "not for diagnosis" in card
    assert "CC-BY-NC-4.0" in card
    assert outcome.artifacts["overlays.png"].stat().st_size > 10_000
    assert "data:image" in outcome.artifacts["report.html"].read_text()


def test_one_class_and_no_synthetic_images_will_do(runner: InlineRunner) -> None:
    real = runner.version(dataset(runner, {"mole": 12}))
    outcome = run(runner, real, [])
    assert outcome.result["model_arm"] == "real"
    assert outcome.result["verdict"] == "not_estimable"
    assert "experiment_gate" not in runner.kinds_run
    assert [row["arm"] for row in outcome.result["table"]] == ["real"]


def shard_params(runner: InlineRunner, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the parameters of a shard that some job asked for, with checkpoints each epoch."""
    eager = replace(ARCHITECTURES.get("unet"), checkpoint_seconds=0.0)
    monkeypatch.setitem(ARCHITECTURES._entries, "unet", eager)
    run(runner, runner.version(dataset(runner, {"mole": 12})), [])
    asked = next(c for c in runner.children if c.role == "fold")
    return asked.params | {"epochs": 4}


def test_a_killed_shard_goes_on_from_its_last_epoch_to_the_same_scores(
    runner: InlineRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = shard_params(runner, monkeypatch)
    whole = runner.run("train_segmentation_shard", params)
    states: list[dict[str, Any]] = []
    checkpoint = JobRuntime.checkpoint

    def twice(self: JobRuntime, state: dict[str, Any]) -> None:
        checkpoint(self, state)
        states.append(state)
        if len(states) == 2:
            raise JobCancelled("killed")

    monkeypatch.setattr(JobRuntime, "checkpoint", twice)
    with pytest.raises(JobCancelled):
        runner.run("train_segmentation_shard", params)
    monkeypatch.setattr(JobRuntime, "restored", lambda self: states[1])
    again = runner.run("train_segmentation_shard", params, attempt=2)
    assert len(states) == 4
    assert again.result == whole.result
    tables = [pq.read_table(o.artifacts["part.parquet"]).to_pylist() for o in (whole, again)]
    assert tables[0] == tables[1]


def test_a_gpu_that_is_asked_for_and_memory_that_is_not_there_are_named(
    runner: InlineRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = shard_params(runner, monkeypatch)
    with pytest.raises(DeviceMissing, match="GPU"):
        runner.run("train_segmentation_shard", params | {"device": "cuda"})
    monkeypatch.setattr("core.memory.available_memory", lambda: 2**20)
    with pytest.raises(OutOfMemory, match="batch_size"):
        runner.run("train_segmentation_shard", params)
    assert shard.queue_for(shard.TrainSegmentationShardParams(**params)) == "gpu"
    assert (
        shard.queue_for(shard.TrainSegmentationShardParams(**params | {"device": "cpu"})) == "cpu"
    )


def test_weights_that_are_not_there_name_the_command(
    runner: InlineRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = shard_params(runner, monkeypatch)
    monkeypatch.setattr("core.features.weights.torch_cache_folders", list)
    asked = {"architecture": "deeplabv3", "weights": "imagenet", "image_size": 64}
    with pytest.raises(WeightsMissing, match="curl"):
        runner.run("train_segmentation_shard", params | asked)


def test_hostile_versions_are_refused_before_anything_is_trained(runner: InlineRunner) -> None:
    bare = runner.version([record(runner, picture(i), "mole") for i in range(4)])
    real = dataset(runner, COUNTS)
    full = runner.version(
        [replace(r, provenance={"annotations": {"mask": _flat(runner, 255)}}) for r in real[:10]]
    )
    empty = runner.version(
        [replace(r, provenance={"annotations": {"mask": _flat(runner, 0)}}) for r in real[:10]]
    )
    good = runner.version(real)
    foreign = runner.version(
        synthetic(runner, dataset(runner, {"mole": 4}, start=800)), kind="synthetic"
    )
    blank = runner.version(
        [record(runner, picture(7), "mole", source="synthetic")], kind="synthetic"
    )
    for version, made, code in (
        (bare, [], "no_masks"),
        (full, [], "masks_without_outline"),
        (empty, [], "masks_without_outline"),
        (good, [blank], "no_masks"),
        (good, [foreign], "foreign_synthetic"),
    ):
        with pytest.raises(InvalidInput) as caught:
            run(runner, version, made)
        assert caught.value.code == code
    with pytest.raises(InvalidInput) as caught:
        run(runner, runner.version(real[:2]), [])
    assert caught.value.code == "too_few_groups"
    assert "train_segmentation_shard" not in runner.kinds_run


def _flat(runner: InlineRunner, value: int) -> str:
    from core.ingest.images import encode_png

    return runner.blob(encode_png(np.full((SIDE, SIDE), value, np.uint8)))


@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({"arms": ["synthetic"]}, "/arms", "invalid_input"),
        ({"arms": ["real", "combined"]}, "/synthetic_version_ids", "needs_synthetic"),
        ({"synthetic_version_ids": ["@real"]}, "/synthetic_version_ids/0", "invalid_input"),
        (
            {"synthetic_version_ids": ["@made", "@made"]},
            "/synthetic_version_ids/1",
            "invalid_input",
        ),
        ({"dataset_version_id": "@made"}, "/dataset_version_id", "invalid_input"),
        ({"architecture": "unett"}, "/architecture", "unknown_architecture"),
        ({"weights": "imagenet"}, "/weights", "no_pretrained_weights"),
        ({"image_size": 40}, "/image_size", "invalid_input"),
        ({"image_size": 1024, "batch_size": 256}, "/batch_size", "batch_too_large"),
    ],
)
def test_what_cannot_work_is_refused_at_submission(
    runner: InlineRunner, changes: dict[str, Any], pointer: str, code: str
) -> None:
    real = dataset(runner, {"mole": 6})
    ids = {
        "@real": runner.version(real),
        "@made": runner.version(synthetic(runner, real), kind="synthetic"),
    }
    fields = {"dataset_version_id": ids["@real"]} | {
        key: [ids.get(v, v) for v in value] if isinstance(value, list) else ids.get(value, value)
        for key, value in changes.items()
    }
    params = TrainSegmentationParams.model_validate(fields)
    with pytest.raises(InvalidInput) as caught:
        check(params, Inputs(versions=runner.versions))
    assert caught.value.code == code
    assert [e.pointer for e in caught.value.errors] == [pointer]


def test_versions_without_masks_are_refused_at_submission(runner: InlineRunner) -> None:
    real = dataset(runner, {"mole": 6})
    first = runner.version(real)
    made = runner.version(synthetic(runner, real), kind="synthetic")
    params = TrainSegmentationParams(dataset_version_id=first, synthetic_version_ids=[made])
    for bare, pointer in ((first, "/dataset_version_id"), (made, "/synthetic_version_ids/0")):
        counted = {v: runner.versions[v].model_copy(update={"masks": int(v != bare)})
                   for v in (first, made)}  # fmt: skip
        with pytest.raises(InvalidInput) as caught:
            check(params, Inputs(versions=counted))
        assert (caught.value.code, caught.value.errors[0].pointer) == ("no_masks", pointer)


def test_the_cost_follows_what_is_asked_for(runner: InlineRunner) -> None:
    real = dataset(runner, {"mole": 20})
    first = runner.version(real)
    made = runner.version(synthetic(runner, real), kind="synthetic")
    inputs = Inputs(versions=runner.versions)

    def cost(**changes: Any) -> Any:
        fields = {"dataset_version_id": first, "synthetic_version_ids": [made]} | changes
        return estimate(TrainSegmentationParams.model_validate(fields), inputs)

    plain = cost()
    assert plain.children == 5 * 3 + 2
    assert plain.images == 40
    assert cost(epochs=80).seconds > 1.5 * plain.seconds
    assert cost(image_size=256).seconds > 3 * plain.seconds
    assert cost(repeats=2).children == 10 * 3 + 2
    assert cost(ratio=0.1).seconds < plain.seconds
    alone = cost(synthetic_version_ids=[])
    assert alone.children == 6
    assert alone.seconds < plain.seconds / 3
    half = inputs.versions[first].model_copy(update={"masks": 10})
    inputs = Inputs(versions=inputs.versions | {first: half})
    assert cost().seconds < plain.seconds
    assert arms_of(TrainSegmentationParams(dataset_version_id=first)) == ("real",)


def test_a_network_of_outlines_does_not_classify(runner: InlineRunner) -> None:
    real = runner.version(dataset(runner, {"mole": 12}))
    model = run(runner, real, []).models[0]
    image = {"filename": "a.png", "sha256": "0" * 64}
    with pytest.raises(InvalidInput) as caught:
        runner.run("predict", {"model_id": model.id, "images": [image]})
    assert caught.value.code == "not_a_classifier"
    assert JOB_KINDS.get("predict").check is not None
