"""Predicting: good images get probabilities, bad ones an error of their own."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from core.errors import JobFailed
from core.features import extract
from core.features.extract import FeatureTable
from core.ingest import foreign
from core.ingest.decoder import DecoderLimits
from core.ingest.images import prepare
from core.jobs.context import Limits
from core.jobs.runtime import JobRuntime
from tests.unit.jobs import learning_stack
from tests.unit.jobs.inline import InlineRunner
from tests.unit.jobs.learning_stack import install, real_images, square


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InlineRunner:
    install(monkeypatch)
    return InlineRunner(tmp_path)


def trained(runner: InlineRunner, classifier: str = "logistic_regression") -> str:
    version = runner.version(real_images(runner, {"mole": 40, "scar": 40, "wart": 20}))
    params = {"dataset_version_ids": [version], "classifier": classifier}
    return str(runner.run("train", params).result["model_id"])


@pytest.mark.parametrize("classifier", ["logistic_regression", "random_forest"])
def test_probabilities_sum_to_one_and_name_the_label(runner: InlineRunner, classifier: str) -> None:
    model = trained(runner, classifier)
    images = [
        {"filename": f"{n}.png", "sha256": runner.blob(square("mole", 900 + n, 5))}
        for n in range(5)
    ]
    result = runner.run("predict", {"model_id": model, "images": images}).result
    assert result["classes"] == ["mole", "scar", "wart"]
    assert result["intended_use"] == "research only, not for diagnosis"
    for image, row in zip(images, result["predictions"], strict=True):
        assert row["filename"] == image["filename"]
        assert row["error"] is None
        assert sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-6)
        assert row["label"] == max(row["probabilities"], key=row["probabilities"].get)
    assert [row["label"] for row in result["predictions"]].count("mole") >= 4


def test_bad_images_have_errors_and_do_not_spoil_the_others(runner: InlineRunner) -> None:
    good = square("wart", 1)
    sent = {
        "text.jpg": b"I am no image",
        "empty.png": b"",
        "cut.png": good[:60],
        "good.png": good,
        "twin.png": good,
    }
    images = [{"filename": n, "sha256": runner.blob(data)} for n, data in sent.items()]
    images.append({"filename": "gone.png", "sha256": "0" * 64})
    result = runner.run("predict", {"model_id": trained(runner), "images": images}).result
    rows = {row["filename"]: row for row in result["predictions"]}
    for name in ("text.jpg", "empty.png", "cut.png", "gone.png"):
        assert rows[name]["error"]["code"]
        assert rows[name]["label"] is None
        assert rows[name]["probabilities"] is None
    assert rows["good.png"]["error"] is None
    assert rows["good.png"]["probabilities"] == rows["twin.png"]["probabilities"]


def test_the_operators_limit_of_pixels_is_kept(
    runner: InlineRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = trained(runner)
    limits = Limits(image_pixels=100)
    monkeypatch.setattr(JobRuntime, "limits", property(lambda _: limits))
    images = [{"filename": "a.png", "sha256": runner.blob(square("mole", 1))}]
    row = runner.run("predict", {"model_id": model, "images": images}).result["predictions"][0]
    assert row["error"]["code"] == "too_many_pixels"


def test_an_image_that_crashes_its_decoder_has_an_error_of_its_own(
    runner: InlineRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, bad = trained(runner), square("mole", 2)

    def crashing(data: bytes, *, max_pixels: int) -> Any:
        if data == bad:
            os.kill(os.getpid(), signal.SIGSEGV)
        return prepare(data, max_pixels=max_pixels)

    monkeypatch.setattr(foreign, "prepare", crashing)
    sent = {"bad.png": bad, "good.png": square("mole", 3)}
    images = [{"filename": n, "sha256": runner.blob(data)} for n, data in sent.items()]
    rows = runner.run("predict", {"model_id": model, "images": images}).result["predictions"]
    assert rows[0]["error"]["code"] == "decoder_failed"
    assert rows[1]["label"] == "mole"


def test_the_operators_limits_of_decoders_are_kept(
    runner: InlineRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = trained(runner)
    limits = Limits(decoder=DecoderLimits(seconds=0.2))
    monkeypatch.setattr(JobRuntime, "limits", property(lambda _: limits))
    monkeypatch.setattr(foreign, "prepare", lambda *_, **__: time.sleep(60))
    images = [{"filename": "a.png", "sha256": runner.blob(square("mole", 1))}]
    row = runner.run("predict", {"model_id": model, "images": images}).result["predictions"][0]
    assert row["error"]["code"] == "decoder_timeout"


def test_other_weights_than_at_training_are_refused(
    runner: InlineRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = trained(runner)

    def other(*args: object, **options: object) -> FeatureTable:
        found = learning_stack.statistics(*args, **options)  # type: ignore[arg-type]
        return FeatureTable(found.matrix, "c" * 64, found.computed, found.cached)

    monkeypatch.setattr(extract, "features", other)
    images = [{"filename": "a.png", "sha256": runner.blob(square("mole", 1))}]
    with pytest.raises(JobFailed) as caught:
        runner.run("predict", {"model_id": model, "images": images})
    assert caught.value.code == "backbone_changed"
