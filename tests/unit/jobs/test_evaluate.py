"""evaluate: rows of quality.json, pictures, refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import InvalidInput, WeightsMissing
from core.features import shards
from core.jobs.kinds.evaluate import EvaluateParams
from tests.unit.jobs.inline import InlineRunner
from tests.unit.jobs.pictures import mirrored, real

PNG = b"\x89PNG"
CONTRACT = {"metric", "scope", "class", "backbone", "n", "value", "interval", "floor"}
CONTRACT |= {"estimable", "reason", "reference_contains_parents", "left_out"}


def _versions(runner: InlineRunner) -> dict[str, str]:
    originals = real(runner, {"a": 44, "b": 8})
    made = mirrored(runner, originals)
    originals[0] = replace(originals[0], quarantined=True)
    return {
        "dataset_version_id": runner.version(originals),
        "synthetic_version_id": runner.version(made, kind="synthetic"),
    }


def test_rows_and_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SHARD_IMAGES", 90)
    runner = InlineRunner(tmp_path)
    params = _versions(runner)
    done = runner.run("evaluate", params)
    assert runner.kinds_run[:2] == ["evaluate", "extract_features"]
    rows = done.result["rows"]
    assert json.loads(done.artifacts["quality.json"].read_text()) == rows
    assert all(set(row) >= CONTRACT for row in rows)
    found = {(row["metric"], row["class"]): row for row in rows}
    assert {scope for _, scope in found} == {None, "a", "b"}
    assert found["ssim_aligned", "a"]["value"] == pytest.approx(1)
    frechet = found["fd_efficientnet_lite0", "a"]
    assert not frechet["estimable"]
    assert frechet["value"] is not None
    assert frechet["reference_contains_parents"] is False
    assert found["fd_efficientnet_lite0", "b"]["value"] is None
    assert found["kid_efficientnet_lite0", "b"]["reason"].startswith("4 images")
    for name in ("quality.png", "similarity.png"):
        assert done.artifacts[name].read_bytes().startswith(PNG)
    again = runner.run("evaluate", params)
    assert again.result == done.result


def test_ssim_alone_needs_no_network(tmp_path: Path) -> None:
    runner = InlineRunner(tmp_path)
    done = runner.run("evaluate", _versions(runner) | {"metrics": ["ssim"]})
    assert {row["metric"] for row in done.result["rows"]} == {
        "ssim_aligned",
        "ssim_raw",
        "ssim_within",
    }
    assert not (tmp_path / "features").exists()
    assert set(done.artifacts) == {"quality.json", "similarity.png"}


def test_all_metrics_that_need_no_download(tmp_path: Path) -> None:
    runner = InlineRunner(tmp_path)
    metrics = ["prdc", "vendi", "fd_infinity", "ms_ssim", "prdc"]
    done = runner.run("evaluate", _versions(runner) | {"metrics": metrics})
    found = {row["metric"] for row in done.result["rows"]}
    over = ("precision", "recall", "density", "coverage", "vendi", "fd_infinity")
    assert found == {f"{name}_efficientnet_lite0" for name in over} | {
        f"ms_ssim_{way}" for way in ("aligned", "raw", "within")
    }
    assert len(done.result["rows"]) == 3 * 9
    for row in done.result["rows"]:  # few and small images: refused, each with its reason
        assert (row["value"], row["estimable"]) == (None, False)
        assert row["reason"]
    assert done.artifacts["quality.png"].read_bytes().startswith(PNG)


@pytest.mark.parametrize("metric", ["fid", "lpips"])
def test_missing_weights_fail_before_anything_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metric: str
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "none"))
    runner = InlineRunner(tmp_path)
    with pytest.raises(WeightsMissing, match="curl -fL"):
        runner.run("evaluate", _versions(runner) | {"metrics": ["fd", "ssim", metric]})
    assert not (tmp_path / "features").exists()


def test_refusals_name_the_field(tmp_path: Path) -> None:
    runner = InlineRunner(tmp_path)
    a = real(runner, {"a": 1})
    real_a, real_b = runner.version(a), runner.version(real(runner, {"b": 1}, seed=9))
    made_a = runner.version(mirrored(runner, a), kind="synthetic")
    for pair, pointer, code in (
        ((made_a, made_a), "/dataset_version_id", "invalid_input"),
        ((real_a, real_a), "/synthetic_version_id", "invalid_input"),
        ((real_b, made_a), "/synthetic_version_id", "no_shared_class"),
    ):
        params = dict(zip(("dataset_version_id", "synthetic_version_id"), pair, strict=True))
        with pytest.raises(InvalidInput) as caught:
            runner.run("evaluate", params)
        assert (caught.value.errors[0].pointer, caught.value.code) == (pointer, code)


def test_the_example_validates() -> None:
    for example in EvaluateParams.model_json_schema()["examples"]:
        EvaluateParams.model_validate(example)
    with pytest.raises(ValueError, match="at least 1"):
        EvaluateParams.model_validate(example | {"metrics": []})
