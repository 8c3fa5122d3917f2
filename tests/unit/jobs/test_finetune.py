"""Training a network end to end as a job: its papers, its checkpoints, and predicting with it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.errors import InvalidInput, JobCancelled, JobFailed
from core.features.contract import BACKBONES, Weights
from core.jobs import finetune_watch
from core.jobs.context import Inputs
from core.jobs.runtime import JobRuntime
from core.jobs.spec import JOB_KINDS
from core.learning import finetune_course
from core.learning.model_file import load_model
from tests.unit.jobs.inline import InlineOutcome, InlineRunner
from tests.unit.jobs.learning_stack import install, real_images, square

COUNTS = {"mole": 30, "scar": 24, "wart": 24}
SMALL = {"epochs": 2, "batch_size": 8, "learning_rate": 3e-3, "validation": 0.25}
BACKBONE = "resnet18"


def _tiny(_: Weights | None) -> torch.nn.Module:
    torch.manual_seed(3)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 5, stride=2, bias=False),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
    )


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InlineRunner:
    """A runner whose ResNet18 is a small network for 32 pixels with weights of its own."""
    path = tmp_path / "weights.pth"
    path.write_bytes(b"weights")
    found = Weights(path, hashlib.sha256(b"weights").hexdigest())
    small = replace(
        BACKBONES.get(BACKBONE), size=32, dimension=8, build=_tiny, find=lambda _: found
    )
    monkeypatch.setitem(BACKBONES._entries, BACKBONE, small)
    return InlineRunner(tmp_path / "volume")


def asked(version: str, **changes: Any) -> dict[str, Any]:
    return {
        "dataset_version_ids": [version],
        "backbone": BACKBONE,
        "classifier": "finetune",
        "classifier_params": SMALL | changes,
    }


def predicted(runner: InlineRunner, model_id: str, label: str, count: int) -> list[dict[str, Any]]:
    images = [
        {"filename": f"{n}.png", "sha256": runner.blob(square(label, 900 + n, 5))}
        for n in range(count)
    ]
    params = {"model_id": model_id, "images": images}
    rows: list[dict[str, Any]] = runner.run("predict", params).result["predictions"]
    return rows


def test_a_network_is_published_with_its_papers_and_predicts(runner: InlineRunner) -> None:
    version = runner.version(real_images(runner, COUNTS), licence="CC-BY-NC-4.0")
    outcome = runner.run("train", asked(version, epochs=12))
    assert outcome.result["scores"]["balanced_accuracy"] > 0.4
    model = outcome.models[0]
    assert sorted(model.files) == ["model.json", "model.safetensors"]
    store = runner.store
    found, info = load_model(
        store.find(model.files["model.safetensors"]), store.find(model.files["model.json"])
    )
    assert info.classes == ("mole", "scar", "wart")
    assert info.preprocessing is not None
    assert info.preprocessing["size"] == 32
    assert info.history is not None
    assert info.history["validation_images"] > 0
    card = outcome.artifacts["model_card.md"].read_text()
    for told in ("not for diagnosis", "CC-BY-NC-4.0", "model.safetensors", "BSD-3-Clause"):
        assert told in card
    for image in predicted(runner, model.id, "mole", 2):
        assert sum(image["probabilities"].values()) == pytest.approx(1, abs=1e-6)
    rows = predicted(runner, model.id, "mole", 5)
    assert [row["label"] for row in rows].count("mole") >= 3
    assert found.network[1].weight.shape == (3, 8)


def test_the_pretrained_weights_are_not_needed_to_predict(
    runner: InlineRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = runner.version(real_images(runner, COUNTS))
    model_id = runner.run("train", asked(version)).models[0].id
    spec = BACKBONES.get(BACKBONE)

    def missing(_: Path) -> Weights:
        raise AssertionError("nobody asked for them")

    monkeypatch.setitem(BACKBONES._entries, BACKBONE, replace(spec, find=missing))
    assert predicted(runner, model_id, "wart", 1)[0]["error"] is None
    monkeypatch.setitem(BACKBONES._entries, BACKBONE, replace(spec, size=16))
    with pytest.raises(JobFailed, match="another way") as caught:
        predicted(runner, model_id, "wart", 1)
    assert caught.value.code == "model_corrupt"


def _weights(runner: InlineRunner, outcome: InlineOutcome) -> bytes:
    return runner.store.find(outcome.models[0].files["model.safetensors"]).read_bytes()


def test_a_killed_training_goes_on_to_the_same_weights(
    runner: InlineRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = runner.version(real_images(runner, COUNTS))
    params = asked(version, epochs=4)
    whole = runner.run("train", params)
    monkeypatch.setattr(finetune_watch, "CHECKPOINT_SECONDS", 0.0)
    states: list[dict[str, Any]] = []
    checkpoint = JobRuntime.checkpoint

    def twice(self: JobRuntime, state: dict[str, Any]) -> None:
        checkpoint(self, state)
        states.append(state)
        if len(states) == 2:
            raise JobCancelled("killed")

    monkeypatch.setattr(JobRuntime, "checkpoint", twice)
    with pytest.raises(JobCancelled):
        runner.run("train", params)
    monkeypatch.setattr(JobRuntime, "restored", lambda self: states[1])
    epochs: list[int] = []
    epoch = finetune_course.Course._epoch
    monkeypatch.setattr(
        finetune_course.Course,
        "_epoch",
        lambda self, monitor: epochs.append(self.history.epochs) or epoch(self, monitor),
    )
    again = runner.run("train", params, attempt=2)
    assert epochs == [2, 3]
    assert _weights(runner, again) == _weights(runner, whole)
    assert any("checkpoint" in str(m.get("message")) for m in again.messages)


def test_a_cancelled_training_stops_between_two_steps(
    runner: InlineRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = runner.version(real_images(runner, COUNTS))
    phases: list[str] = []
    progress = JobRuntime.progress

    def stopping(self: JobRuntime, phase: str, current: float = 0, total: float = 1) -> None:
        phases.append(phase)
        if phases.count("fitting") == 5:
            raise JobCancelled("told to stop")
        progress(self, phase, current, total)

    monkeypatch.setattr(JobRuntime, "progress", stopping)
    with pytest.raises(JobCancelled):
        runner.run("train", asked(version))
    assert phases[-1] == "fitting"


@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({"backbone": "inception_fid"}, "/backbone", "not_trainable"),
        ({"backbone": "timm:resnet50d"}, "/backbone", "not_trainable"),
        ({"classifier_params": {"epochs": 0}}, "/classifier_params/epochs", "invalid_input"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    runner: InlineRunner, changes: dict[str, Any], pointer: str, code: str
) -> None:
    version = runner.version(real_images(runner, COUNTS))
    with pytest.raises(InvalidInput) as caught:
        runner.run("train", asked(version) | changes)
    assert [e.pointer for e in caught.value.errors] == [pointer]
    assert caught.value.code == code


def test_changed_weights_are_refused(runner: InlineRunner, tmp_path: Path) -> None:
    version = runner.version(real_images(runner, COUNTS))
    outcome = runner.run("train", asked(version))
    info = runner.store.find(outcome.models[0].files["model.json"])
    fields = json.loads(info.read_bytes())
    for data in (b"no safetensors", _weights(runner, outcome)[:-4]):
        path = tmp_path / "model.safetensors"
        path.write_bytes(data)
        told = tmp_path / "model.json"
        told.write_text(json.dumps(fields | {"model_sha256": hashlib.sha256(data).hexdigest()}))
        with pytest.raises(JobFailed, match="cannot be read") as caught:
            load_model(path, told)
        assert caught.value.code == "model_corrupt"
    assert np.isfinite(fields["history"]["validation_losses"]).all()


def experiment(version: str, **changes: Any) -> dict[str, Any]:
    given = {key: value for key, value in SMALL.items() if key != "learning_rate"}
    return {
        "dataset_version_id": version,
        "synthesis": {"generator": "augment", "counts": {"wart": 4}},
        "arms": ["real", "class_weight", "augment", "control_noise"],
        "backbone": BACKBONE,
        "classifier": "finetune",
        "classifier_params": given,
        "folds": 2,
        "repeats": 1,
        "bootstrap": 200,
        "legacy_protocol": False,
        "tuning_candidates": 2,
        "inner_folds": 2,
    } | changes


def test_an_experiment_on_networks_and_on_vectors(
    runner: InlineRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch)
    version = runner.version(real_images(runner, {"mole": 24, "wart": 16}))
    params = experiment(version, other_classifiers=["logistic_regression"])
    outcome = runner.run("experiment", params)
    verdict = json.loads(outcome.artifacts["verdict.json"].read_bytes())
    assert verdict["primary"]["classifier"] == "finetune"
    found = {(row["arm"], row["classifier"]): row for row in outcome.result["table"]}
    assert len(found) == 8
    assert all(row["balanced_accuracy"] is not None for row in found.values())
    shard = next(
        JOB_KINDS.get(c.kind).params.model_validate(c.params)
        for c in runner.children
        if c.kind == "experiment_shard"
    )
    assert shard.classifiers["finetune"]["sampling"] == "as_given"
    assert JOB_KINDS.get("experiment_shard").queue_of(shard) == "gpu"
    plain = shard.model_copy(update={"classifiers": {"mlp": {}}})
    assert JOB_KINDS.get("experiment_shard").queue_of(plain) == "cpu"
    assert JOB_KINDS.get("experiment_shard").queues == ("cpu", "gpu")


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"classifier_params": {"sampling": "balanced"}}, "/classifier_params/sampling"),
        ({"classifier_params": {"learning_rate": 0.1}}, "/classifier_params/learning_rate"),
        ({"backbone": "inception_fid"}, "/backbone"),
        (
            {
                "backbone": "inception_fid",
                "classifier": "knn",
                "classifier_params": {},
                "other_classifiers": ["finetune"],
            },
            "/backbone",
        ),
    ],
)
def test_what_an_experiment_on_networks_refuses(
    runner: InlineRunner, changes: dict[str, Any], pointer: str
) -> None:
    version = runner.version(real_images(runner, COUNTS))
    with pytest.raises(InvalidInput) as caught:
        runner.run("experiment", experiment(version, **changes))
    assert [e.pointer for e in caught.value.errors] == [pointer]


def test_epochs_have_their_price(runner: InlineRunner) -> None:
    version = runner.version(real_images(runner, COUNTS))
    kind = JOB_KINDS.get("train")
    inputs = Inputs(versions=runner.versions)

    def seconds(epochs: int) -> float:
        assert kind.estimate is not None
        return kind.estimate(
            kind.params.model_validate(asked(version, epochs=epochs)), inputs
        ).seconds

    assert seconds(40) - seconds(20) == pytest.approx(seconds(60) - seconds(40))
    assert seconds(40) > 1.5 * seconds(20)
    plan = JOB_KINDS.get("experiment")
    assert plan.estimate is not None

    def whole(**changes: Any) -> float:
        params = plan.params.model_validate(experiment(version, **changes))
        assert plan.estimate is not None
        return plan.estimate(params, inputs).seconds

    assert whole() > 5 * whole(classifier="logistic_regression", classifier_params={})
