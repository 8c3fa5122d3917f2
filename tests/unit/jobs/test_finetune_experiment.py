"""Networks trained in an experiment: their folds, features nobody needs, a lost worker."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from core.errors import InvalidInput, JobCancelled
from core.jobs import environment, training_watch
from core.jobs.context import Inputs
from core.jobs.runtime import JobRuntime
from core.jobs.spec import JOB_KINDS, Cost
from core.learning import fold_fits
from core.learning.course import Course
from core.learning.fitting import fit
from tests.unit.jobs.inline import InlineOutcome, InlineRunner
from tests.unit.jobs.learning_stack import TINY, install, install_tiny, real_images

COUNTS = {"mole": 24, "wart": 16}
SMALL = {"epochs": 2, "batch_size": 8, "validation": 0.25}


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InlineRunner:
    install_tiny(monkeypatch, tmp_path)
    install(monkeypatch)
    return InlineRunner(tmp_path / "volume")


def experiment(version: str, **changes: Any) -> dict[str, Any]:
    return {
        "dataset_version_id": version,
        "synthesis": {"generator": "augment", "counts": {"wart": 4}},
        "arms": ["real", "class_weight", "augment", "control_noise"],
        "backbone": TINY,
        "classifier": "finetune",
        "classifier_params": SMALL,
        "folds": 2,
        "repeats": 1,
        "bootstrap": 200,
        "legacy_protocol": False,
        "tuning_candidates": 2,
        "inner_folds": 2,
    } | changes


def test_an_experiment_on_networks_and_on_vectors(runner: InlineRunner) -> None:
    version = runner.version(real_images(runner, COUNTS))
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


def made(runner: InlineRunner, kind: str) -> list[dict[str, Any]]:
    return [child.params for child in runner.children if child.kind == kind]


def test_features_are_extracted_only_for_who_looks_at_them(runner: InlineRunner) -> None:
    version = runner.version(real_images(runner, COUNTS))
    outcome = runner.run("experiment", experiment(version))
    assert not made(runner, "extract_features")
    assert not made(runner, "experiment_views")
    settings = json.loads(outcome.artifacts["verdict.json"].read_bytes())["settings"]
    assert settings["backbone_sha256"] == hashlib.sha256(b"weights").hexdigest()
    assert settings["backbone_use"] == "trained end to end from there"
    assert "trained end to end from there" in outcome.artifacts["report.html"].read_text()
    runner.children.clear()
    runner.run("experiment", experiment(version, legacy_protocol=True))
    ((asked),) = made(runner, "extract_features")
    plans = [p for p in made(runner, "synthesize") if "policy" in p["generator_params"]]
    assert len(plans) == 1
    assert len(asked["dataset_version_ids"]) == 2  # the real one, and that of the old protocol
    assert not made(runner, "experiment_views")


def test_networks_are_trained_on_shares_for_the_question_of_worth(runner: InlineRunner) -> None:
    version = runner.version(real_images(runner, COUNTS))
    params = experiment(
        version,
        arms=["real", "combined"],
        synthesis={"generator": "augment", "counts": {"wart": 40}},
        tuning="none",
        worth=True,
    )
    outcome = runner.run("experiment", params)
    worth = json.loads(outcome.artifacts["verdict.json"].read_bytes())["worth"]
    assert [point["share"] for point in worth["curve"]] == [10, 25, 50, 75, 100]
    assert not list(runner.store.root.rglob("squares*"))


def _shard(runner: InlineRunner) -> dict[str, Any]:
    """Return the parameters of the first fold of an experiment that has been run."""
    version = runner.version(real_images(runner, COUNTS))
    runner.run("experiment", experiment(version, arms=["real", "class_weight"], synthesis=None))
    return made(runner, "experiment_shard")[0]


def _predictions(outcome: InlineOutcome) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(outcome.artifacts["part.parquet"]).to_pylist()
    return rows


def _stop_at(monkeypatch: pytest.MonkeyPatch, number: int, states: list[dict[str, Any]]) -> None:
    """Let every epoch and fit write a checkpoint, and the job end with this one."""
    monkeypatch.setattr(training_watch, "CHECKPOINT_SECONDS", 0.0)
    checkpoint = JobRuntime.checkpoint

    def counted(self: JobRuntime, state: dict[str, Any]) -> None:
        checkpoint(self, state)
        states.append(json.loads(json.dumps(state)))
        if len(states) == number:
            raise JobCancelled("killed")

    monkeypatch.setattr(JobRuntime, "checkpoint", counted)


# an arm has 2 x 2 fits of tuning and one more, of 2 epochs each: 3 checkpoints a fit
@pytest.mark.parametrize(("stop", "fits", "epochs"), [(4, 9, 17), (3, 9, 18), (16, 5, 9)])
def test_a_lost_fold_goes_on_where_it_was(
    runner: InlineRunner, monkeypatch: pytest.MonkeyPatch, stop: int, fits: int, epochs: int
) -> None:
    shard = _shard(runner)
    whole = runner.run("experiment_shard", shard)
    states: list[dict[str, Any]] = []
    _stop_at(monkeypatch, stop, states)
    with pytest.raises(JobCancelled):
        runner.run("experiment_shard", shard)
    monkeypatch.setattr(JobRuntime, "restored", lambda self: states[stop - 1])
    done: dict[str, int] = {"fits": 0, "epochs": 0}
    epoch = Course._epoch

    def counted_fit(*args: Any) -> Any:
        done["fits"] += 1
        return fit(*args)

    def counted_epoch(self: Course, monitor: Any) -> None:
        done["epochs"] += 1
        epoch(self, monitor)

    monkeypatch.setattr(fold_fits, "fit", counted_fit)
    monkeypatch.setattr(Course, "_epoch", counted_epoch)
    again = runner.run("experiment_shard", shard, attempt=2)
    assert done == {"fits": fits, "epochs": epochs}
    assert _predictions(again) == _predictions(whole)
    assert again.result == whole.result
    assert any("checkpoint of an earlier attempt" in str(m.get("message")) for m in again.messages)


def test_other_code_does_not_go_on_from_a_checkpoint(
    runner: InlineRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = _shard(runner)
    states: list[dict[str, Any]] = []
    _stop_at(monkeypatch, 4, states)
    with pytest.raises(JobCancelled):
        runner.run("experiment_shard", shard)
    monkeypatch.setattr(JobRuntime, "restored", lambda self: states[3])
    monkeypatch.setattr(environment, "environment_sha256", lambda: "e" * 64)
    again = runner.run("experiment_shard", shard, attempt=2)
    assert not any("earlier attempt" in str(m.get("message")) for m in again.messages)


def test_a_cancelled_fold_stops_within_a_training(
    runner: InlineRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = _shard(runner)
    epochs: list[int] = []
    epoch = Course._epoch

    def told_to_stop(self: Course, monitor: Any) -> None:
        epochs.append(self.history.epochs)
        monkeypatch.setattr(JobRuntime, "check_cancelled", _stop)
        epoch(self, monitor)

    monkeypatch.setattr(Course, "_epoch", told_to_stop)
    with pytest.raises(JobCancelled):
        runner.run("experiment_shard", shard)
    assert epochs == [0]


def _stop(_: JobRuntime) -> None:
    raise JobCancelled("told to stop")


def test_a_network_has_another_price_than_a_classifier_of_features(runner: InlineRunner) -> None:
    version = runner.version(real_images(runner, COUNTS))
    kind = JOB_KINDS.get("experiment")
    inputs = Inputs(versions=runner.versions)

    def cost(**changes: Any) -> Cost:
        assert kind.estimate is not None
        params = kind.params.model_validate(experiment(version, **changes))
        return kind.estimate(params, inputs)

    plain = {"classifier": "logistic_regression", "classifier_params": {}}
    assert cost().seconds > 5 * cost(**plain).seconds
    assert cost().images == cost(**plain).images == 40 + 4 + 4 + 16  # noise, and turned views
    legacy = cost(legacy_protocol=True).seconds - cost().seconds
    assert legacy == pytest.approx((40 + 30) / 30)  # features of these alone
    assert cost(**plain, legacy_protocol=True).seconds - cost(**plain).seconds == pytest.approx(1)
    few = {"classifier_params": SMALL | {"epochs": 1}}
    assert cost(**few).seconds < 0.6 * cost().seconds
