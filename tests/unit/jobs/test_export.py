"""The export of versions, and the way back in."""

from __future__ import annotations

import csv
import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.errors import InvalidInput
from core.jobs.context import Inputs
from core.jobs.kinds.export import ExportParams, estimate
from core.jobs.spec import JOB_KINDS
from core.manifest import ImageRecord, read_manifest
from tests.unit.jobs.inline import InlineOutcome, InlineRunner
from tests.unit.jobs.learning_stack import real_images

COUNTS = {"mole": 6, "scar": 4}


@pytest.fixture
def runner(tmp_path: Path) -> InlineRunner:
    return InlineRunner(tmp_path / "data")


def exported(runner: InlineRunner, *versions: str, **params: Any) -> InlineOutcome:
    return runner.run("export", {"dataset_version_ids": list(versions), **params})


def archive_of(outcome: InlineOutcome) -> Path:
    (path,) = outcome.artifacts.values()
    return path


def synthetic(records: list[ImageRecord]) -> list[ImageRecord]:
    return [
        replace(
            r,
            image_id=f"img_{number:026d}",
            source="synthetic",
            parents=(r.image_id,),
            parent_sha256=(r.sha256,),
        )
        for number, r in enumerate(records)
    ]


def test_bytes_are_the_same_every_time(runner: InlineRunner) -> None:
    version = runner.version(real_images(runner, COUNTS))
    first, second = (archive_of(exported(runner, version)).read_bytes() for _ in range(2))
    assert first == second


def test_result_and_artifact(runner: InlineRunner) -> None:
    version = runner.version(real_images(runner, COUNTS), dataset_name="HAM 10000 / test")
    outcome = exported(runner, version)
    assert list(outcome.artifacts) == ["HAM-10000-test.zip"]
    assert outcome.result == {"files": 10, "bytes": archive_of(outcome).stat().st_size}


@pytest.mark.parametrize("layout", ["imagefolder", "csv"])
@pytest.mark.parametrize("read_as", ["auto", "own"])
def test_what_was_exported_can_be_imported(
    runner: InlineRunner, tmp_path: Path, layout: str, read_as: str
) -> None:
    records = [
        replace(r, metadata={"lesion_id": r.group_ids[0]}) for r in real_images(runner, COUNTS)
    ]
    outcome = exported(runner, runner.version(records), format=layout)
    archive = tmp_path / "again.zip"
    archive.write_bytes(archive_of(outcome).read_bytes())
    params = {"upload_id": runner.upload(archive), "name": "again"}
    wanted = "auto" if read_as == "auto" else layout
    again = runner.run("import", params | {"layout": wanted})
    assert again.result["accepted"] == len(records)
    back = read_manifest(runner.store.find(again.versions[0].manifest_blob))
    assert {(r.label, r.pixel_sha256) for r in back} == {(r.label, r.pixel_sha256) for r in records}


def test_real_and_synthetic_go_into_one_archive(runner: InlineRunner) -> None:
    real = real_images(runner, COUNTS)
    quarantined = replace(real[0], quarantined=True)
    versions = [
        runner.version([quarantined, *real[1:]]),
        runner.version(synthetic(real), kind="synthetic"),
    ]
    with zipfile.ZipFile(archive_of(exported(runner, *versions))) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("metadata.csv").decode())))
        assert len({row["filename"] for row in rows}) == 19
        assert {row["filename"] for row in rows} <= set(archive.namelist())
    sources = [row["source"] for row in rows]
    assert (sources.count("real"), sources.count("synthetic")) == (9, 10)
    assert all(row["parent_sha256"] for row in rows if row["source"] == "synthetic")


@pytest.mark.parametrize("read_as", ["auto", "imagefolder", "csv"])
def test_exported_synthetic_images_do_not_come_back_as_real_ones(
    runner: InlineRunner, tmp_path: Path, read_as: str
) -> None:
    real = real_images(runner, COUNTS)
    versions = [runner.version(real[::2]), runner.version(synthetic(real[1::2]), kind="synthetic")]
    archive = tmp_path / "again.zip"
    archive.write_bytes(archive_of(exported(runner, *versions)).read_bytes())
    params = {"upload_id": runner.upload(archive), "name": "again", "layout": read_as}
    again = runner.run("import", params)
    back = read_manifest(runner.store.find(again.versions[0].manifest_blob))
    assert {r.pixel_sha256 for r in back} == {r.pixel_sha256 for r in real[::2]}
    rejects = list(csv.DictReader(io.StringIO(again.artifacts["rejects.csv"].read_text())))
    made = [r for r in rejects if r["name"].endswith(".png")]
    assert [r["code"] for r in made] == ["synthetic_image"] * 5
    assert all("metadata.csv calls it synthetic" in r["detail"] for r in made)


@pytest.mark.parametrize(
    ("licence", "kind", "purpose"),
    [
        ("unknown", "real", "share"),
        ("CC BY-NC 4.0", "real", "commercial"),
        ("CC0-1.0; CC-BY-ND-4.0", "synthetic", "share"),
    ],
)
def test_a_forbidden_purpose_is_refused_at_submission(
    runner: InlineRunner, licence: str, kind: str, purpose: str
) -> None:
    records = real_images(runner, COUNTS)
    records = synthetic(records) if kind == "synthetic" else records
    version = runner.version(records, kind=kind, licence=licence)
    with pytest.raises(InvalidInput) as caught:
        exported(runner, version, purpose=purpose)
    assert caught.value.code == "licence_forbids"
    assert caught.value.errors[0].pointer == "/purpose"
    assert runner.kinds_run == []
    assert exported(runner, version, purpose="internal").result["files"] == 10


def test_synthetic_images_hidden_in_a_real_version_count_as_derived(runner: InlineRunner) -> None:
    version = runner.version(synthetic(real_images(runner, COUNTS)), licence="CC-BY-ND-4.0")
    with pytest.raises(InvalidInput, match="nothing made from them"):
        exported(runner, version, purpose="share")


def test_annotations_cost_where_they_are_taken_along(runner: InlineRunner) -> None:
    records = real_images(runner, COUNTS)
    few, many = (runner.version(records, bytes=n) for n in (10**6, 10**9))
    seconds = {
        (version, layout): estimate(
            ExportParams(dataset_version_ids=[version], format=layout),
            Inputs(versions={version: runner.versions[version]}),
        ).seconds
        for version in (few, many)
        for layout in ("csv", "coco")
    }
    assert seconds[few, "csv"] == seconds[many, "csv"]
    assert seconds[many, "coco"] > seconds[few, "coco"] + 3


def test_nothing_to_export_is_refused(runner: InlineRunner) -> None:
    hidden = [replace(r, quarantined=True) for r in real_images(runner, COUNTS)]
    with pytest.raises(InvalidInput) as caught:
        exported(runner, runner.version(hidden))
    assert caught.value.code == "nothing_to_export"


def test_example_is_valid_and_runs_on_the_io_queue() -> None:
    extra: Any = ExportParams.model_config["json_schema_extra"]
    for example in extra["examples"]:
        ExportParams.model_validate(example)
    assert JOB_KINDS.get("export").queue == "io"
