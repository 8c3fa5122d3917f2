"""project: points, pictures, refusals."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from core.errors import InvalidInput
from core.jobs.kinds.project import ProjectParams
from tests.unit.jobs.inline import InlineRunner
from tests.unit.jobs.pictures import mirrored, real


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_points_and_pictures(tmp_path: Path, method: str) -> None:
    runner = InlineRunner(tmp_path)
    originals = real(runner, {"a": 3, "b$^": 3})
    versions = [
        runner.version(originals),
        runner.version(mirrored(runner, originals), kind="synthetic"),
    ]
    params = {"dataset_version_ids": versions, "method": method, "seed": 4}
    done = runner.run("project", params)
    assert done.result["points"] == 12
    explained = done.result["explained_variance"]
    assert (explained is None) == (method != "pca")
    if explained:
        assert 1 >= explained[0] >= explained[1] > 0
    table = pq.read_table(done.artifacts["projection.parquet"])
    assert table.column_names == ["image_id", "label", "source", "x", "y"]
    assert table["source"].to_pylist() == ["real"] * 6 + ["synthetic"] * 6
    for name in ("pca_by_class.png", "pca_by_source.png"):
        assert done.artifacts[name].read_bytes().startswith(b"\x89PNG")
    again = runner.run("project", params)
    assert {n: p.read_bytes() for n, p in done.artifacts.items()} == {
        n: p.read_bytes() for n, p in again.artifacts.items()
    }


def test_too_few_images_are_refused(tmp_path: Path) -> None:
    runner = InlineRunner(tmp_path)
    with pytest.raises(InvalidInput) as caught:
        runner.run("project", {"dataset_version_ids": [runner.version(real(runner, {"a": 3}))]})
    assert caught.value.code == "too_few_images"
    assert caught.value.errors[0].pointer == "/dataset_version_ids"


def test_the_example_validates() -> None:
    for example in ProjectParams.model_json_schema()["examples"]:
        ProjectParams.model_validate(example)
