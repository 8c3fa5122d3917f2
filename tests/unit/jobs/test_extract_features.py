"""extract_features: files, cache, shards, refusals."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from core.errors import UnknownName, WeightsMissing
from core.features import shards
from core.jobs.kinds.extract_features import ExtractFeaturesParams
from tests.unit.jobs.inline import InlineRunner
from tests.unit.jobs.pictures import real

NAME = "efficientnet_lite0"


def test_files_hold_every_image_once(tmp_path: Path) -> None:
    runner = InlineRunner(tmp_path)
    records = real(runner, {"a": 2, "b": 2})
    records[0] = replace(records[0], filename="=HYPERLINK(1).png", label='+a, "b"')
    records[1] = replace(records[1], quarantined=True)
    records.append(replace(records[2], image_id=records[2].image_id[:-1] + "0", label="twin"))
    version = runner.version(records)
    done = runner.run("extract_features", {"dataset_version_ids": [version]})
    assert done.result["images"] == 4
    assert (done.result["computed"], done.result["cached"]) == (3, 0)
    assert (done.result["backbone"], done.result["dimension"]) == (NAME, 1280)
    table = pq.read_table(done.artifacts["features.parquet"])
    assert table.column_names == ["image_id", "filename", "label", "split", "source", "features"]
    assert table["image_id"].to_pylist() == [r.image_id for r in records if not r.quarantined]
    with done.artifacts["features.csv"].open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["filename", "label", *(f"{NAME}_{i}" for i in range(1280))]
    assert rows[0][:2] == ["'=HYPERLINK(1).png", '\'+a, "b"']
    matrix = np.array(table["features"].to_pylist(), dtype=np.float32)
    assert np.array_equal(matrix, np.array([row[2:] for row in rows], dtype=np.float32))
    assert np.array_equal(matrix[1], matrix[3])


def test_a_second_run_computes_nothing(tmp_path: Path) -> None:
    runner = InlineRunner(tmp_path)
    params = {"dataset_version_ids": [runner.version(real(runner, {"a": 3}))]}
    first = runner.run("extract_features", params)
    second = runner.run("extract_features", params)
    assert (second.result["computed"], second.result["cached"]) == (0, 3)
    for name in ("features.parquet", "features.csv"):
        assert first.artifacts[name].read_bytes() == second.artifacts[name].read_bytes()


def test_shards_give_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = []
    for folder, size in (("one", 256), ("many", 2)):
        monkeypatch.setattr(shards, "SHARD_IMAGES", size)
        monkeypatch.setattr(shards.plan_shards, "__defaults__", (size,))
        runner = InlineRunner(tmp_path / folder)
        records = [replace(r, image_id="img_" + "0" * 26) for r in real(runner, {"a": 5})]
        done = runner.run("extract_features", {"dataset_version_ids": [runner.version(records)]})
        assert done.result["computed"] == 5
        assert done.result["cached"] == 0
        files.append([path.read_bytes() for path in done.artifacts.values()])
        ran = ["extract_features"] + (["extract_features_shard"] * 3 if size == 2 else [])
        assert runner.kinds_run == ran
    assert files[0] == files[1]


def test_further_views_are_cached_but_not_listed(tmp_path: Path) -> None:
    runner = InlineRunner(tmp_path)
    version = runner.version(real(runner, {"a": 2}))
    params = {"dataset_version_ids": [version], "dihedral": [4, 5]}
    done = runner.run("extract_features", params)
    assert (done.result["images"], done.result["computed"]) == (2, 6)
    assert runner.run("extract_features", params).result["computed"] == 0


def test_an_empty_version_gives_empty_files(tmp_path: Path) -> None:
    runner = InlineRunner(tmp_path)
    done = runner.run("extract_features", {"dataset_version_ids": [runner.version([])]})
    assert done.result["images"] == 0
    assert pq.read_table(done.artifacts["features.parquet"]).num_rows == 0
    assert len(done.artifacts["features.csv"].read_text().splitlines()) == 1


def test_unknown_backbone_is_refused_at_submission(tmp_path: Path) -> None:
    runner = InlineRunner(tmp_path)
    params = {"dataset_version_ids": [runner.version([])], "backbone": "resnet81"}
    with pytest.raises(UnknownName) as caught:
        runner.run("extract_features", params)
    assert caught.value.errors[0].pointer == "/backbone"
    assert "resnet18" in caught.value.detail


def test_missing_weights_fail_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "none"))
    runner = InlineRunner(tmp_path)
    version = runner.version(real(runner, {"a": 1}))
    with pytest.raises(WeightsMissing) as caught:
        runner.run("extract_features", {"dataset_version_ids": [version], "backbone": "resnet18"})
    assert caught.value.code == "weights_missing"
    assert "curl" in caught.value.fix


def test_the_example_validates() -> None:
    for example in ExtractFeaturesParams.model_json_schema()["examples"]:
        ExtractFeaturesParams.model_validate(example)
