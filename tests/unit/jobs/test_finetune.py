"""Training a network end to end as a job: its papers, its checkpoints, and predicting with it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import InvalidInput, JobCancelled, JobFailed
from core.features.contract import BACKBONES, Weights
from core.jobs import training_watch
from core.jobs.context import Inputs
from core.jobs.runtime import JobRuntime
from core.jobs.spec import JOB_KINDS
from core.learning import course
from core.learning.model_file import load_model
from tests.unit.jobs.inline import InlineOutcome, InlineRunner
from tests.unit.jobs.learning_stack import TINY, install_tiny, real_images, square

COUNTS = {"mole": 30, "scar": 24, "wart": 24}
SMALL = {"epochs": 2, "batch_size": 8, "learning_rate": 3e-3, "validation": 0.25}


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InlineRunner:
    install_tiny(monkeypatch, tmp_path)
    return InlineRunner(tmp_path / "volume")


def asked(version: str, **changes: Any) -> dict[str, Any]:
    return {
        "dataset_version_ids": [version],
        "backbone": TINY,
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
    spec = BACKBONES.get(TINY)

    def missing(_: Path) -> Weights:
        raise AssertionError("nobody asked for them")

    monkeypatch.setitem(BACKBONES._entries, TINY, replace(spec, find=missing))
    assert predicted(runner, model_id, "wart", 1)[0]["error"] is None
    monkeypatch.setitem(BACKBONES._entries, TINY, replace(spec, size=16))
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
    monkeypatch.setattr(training_watch, "CHECKPOINT_SECONDS", 0.0)
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
    epoch = course.Course._epoch

    def counted(self: course.Course, monitor: Any) -> None:
        epochs.append(self.history.epochs)
        epoch(self, monitor)

    monkeypatch.setattr(course.Course, "_epoch", counted)
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


def test_epochs_have_their_price(runner: InlineRunner) -> None:
    version = runner.version(real_images(runner, COUNTS))
    kind = JOB_KINDS.get("train")
    inputs = Inputs(versions=runner.versions)

    def seconds(epochs: int, backbone: str = TINY) -> float:
        assert kind.estimate is not None
        params = asked(version, epochs=epochs) | {"backbone": backbone}
        return kind.estimate(kind.params.model_validate(params), inputs).seconds

    assert seconds(40) - seconds(20) == pytest.approx(seconds(60) - seconds(40))
    assert seconds(40) > 1.5 * seconds(20)
    larger = (seconds(40, "resnet50") - 10) / (seconds(40) - 10)
    own, other = (BACKBONES.get(b).epoch_seconds for b in ("resnet50", TINY))
    assert own
    assert other
    assert larger == pytest.approx(own / other)
