from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from core.errors import InvalidInput
from core.ingest.images import decode
from core.ingest.layouts import LAYOUTS
from core.jobs.kinds.import_ import ImportParams, LayoutName
from core.jobs.spec import JOB_KINDS
from core.manifest import read_manifest
from tests.unit.ingest.made import class_folders, encoded, jpeg, pixels, zipped
from tests.unit.jobs.inline import InlineOutcome, InlineRunner


@pytest.fixture
def runner(tmp_path: Path) -> InlineRunner:
    return InlineRunner(tmp_path / "data", threads=2)


def imported(runner: InlineRunner, files: dict[str, bytes], **params: Any) -> InlineOutcome:
    path = zipped(runner.store.root / f"{len(runner.uploads)}.zip", files)
    return runner.run("import", {"upload_id": runner.upload(path), "name": "made", **params})


@pytest.fixture(autouse=True)
def _folder(runner: InlineRunner) -> None:
    runner.store.root.mkdir(parents=True, exist_ok=True)


def test_example_validates_and_layouts_are_those_of_the_registry() -> None:
    for example in ImportParams.model_json_schema()["examples"]:
        ImportParams.model_validate(example)
    assert sorted(get_args(LayoutName)) == sorted(["auto", *LAYOUTS.names()])
    assert JOB_KINDS.get("import").queue == "io"


def test_kind_is_light_to_import() -> None:
    heavy = "{'numpy', 'PIL', 'cv2', 'pydicom', 'pyarrow'}"
    check = f"import core.jobs.kinds.import_, sys; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_version_artifact_and_rejects(runner: InlineRunner) -> None:
    files = class_folders({"nv": 8, "mel": 4}) | {"nv/=cmd.jpg": b"no", "nv/x.jpg": b""}
    outcome = imported(runner, files, licence="CC0-1.0")
    assert outcome.result["accepted"] == 12
    assert outcome.result["rejected"] == 2
    version = outcome.versions[0]
    assert (version.kind, version.new_dataset, version.name) == ("real", True, "made")
    assert version.licence == "CC0-1.0"
    assert {c.name: (c.count, c.weak) for c in version.classes} == {
        "nv": (8, False),
        "mel": (4, True),
    }
    lines = runner.store.find(version.info["rejects_blob"]).read_text().splitlines()
    assert {tuple(json.loads(line)) for line in lines} == {("code", "detail", "name")}
    table = outcome.artifacts["rejects.csv"].read_text()
    rows = list(csv.reader(io.StringIO(table)))
    assert rows[0] == ["name", "code", "detail"]
    assert {r[1] for r in rows[1:]} == {"not_an_image", "empty_file"}
    for record in read_manifest(runner.store.find(version.manifest_blob)):
        assert decode(runner.store.find(record.sha256)).shape[:2] == (record.height, record.width)


def test_info_is_what_the_api_shows(runner: InlineRunner) -> None:
    info = imported(runner, class_folders({"nv": 3})).versions[0].info
    assert {"group_basis", "groups", "largest_group", "duplicates", "near_threshold"} <= set(info)
    assert {"rejected_count", "rejects_blob", "layout", "warnings"} <= set(info)
    assert info["warnings"][0].startswith("one_class")
    json.dumps(info, allow_nan=False)


def test_same_archive_same_manifest(runner: InlineRunner) -> None:
    files = class_folders({"nv": 6, "mel": 5})
    hashes = {imported(runner, files, seed=3).versions[0].manifest_sha256 for _ in range(2)}
    assert len(hashes) == 1


def test_append_makes_a_version_of_the_same_dataset(runner: InlineRunner) -> None:
    first = imported(runner, class_folders({"nv": 6, "mel": 5}), licence="CC0-1.0")
    old = first.versions[0]
    flipped = encoded(pixels(0)[:, ::-1].copy(), "PNG")
    more = {"nv/again.jpg": jpeg(0), "nv/flipped.png": flipped, "df/new.jpg": jpeg(99)}
    second = imported(runner, more, append_to=old.id, licence="CC-BY-4.0")
    new = second.versions[0]
    assert (new.dataset_id, new.new_dataset, new.parents) == (old.dataset_id, False, (old.id,))
    assert (second.result["accepted"], second.result["rejected"]) == (2, 1)
    assert new.image_count == 13
    assert new.licence == "CC-BY-4.0 AND CC0-1.0"
    assert new.info["duplicates"] == {"exact": 1, "near": 1}


def test_unknown_licence_stays_unknown(runner: InlineRunner) -> None:
    old = imported(runner, class_folders({"nv": 2, "mel": 2})).versions[0]
    new = imported(runner, {"df/new.jpg": jpeg(99)}, append_to=old.id, licence="CC0-1.0")
    assert new.versions[0].licence == "unknown"


def test_append_to_synthetic_is_refused(runner: InlineRunner) -> None:
    old = imported(runner, class_folders({"nv": 2, "mel": 2})).versions[0]
    records = read_manifest(runner.store.find(old.manifest_blob))
    synthetic = runner.version(records, kind="synthetic")
    with pytest.raises(InvalidInput) as error:
        imported(runner, {"df/new.jpg": jpeg(99)}, append_to=synthetic)
    assert error.value.code == "not_a_real_version"


@pytest.mark.parametrize(
    ("files", "params", "code"),
    [
        ({}, {}, "empty_archive"),
        ({"nv/1.jpg": b"no"}, {}, "no_images"),
        ({"1.jpg": jpeg(1), "m.csv": b"image,dx\n1,nv\n"}, {"label_column": "z"}, "unknown_column"),
        ({"nv/1.jpg": jpeg(1)}, {"layout": "ham10000"}, "missing_table"),
    ],
)
def test_bad_archives_fail_typed_and_publish_nothing(
    runner: InlineRunner, files: dict[str, bytes], params: dict[str, Any], code: str
) -> None:
    with pytest.raises(InvalidInput) as error:
        imported(runner, files, **params)
    assert error.value.code == code
    assert runner.versions == {}


def test_not_an_archive(runner: InlineRunner) -> None:
    path = runner.store.root / "a.zip"
    for data in (b"", b"hello"):
        path.write_bytes(data)
        with pytest.raises(InvalidInput) as error:
            runner.run("import", {"upload_id": runner.upload(path), "name": "x"})
        assert error.value.code == "not_an_archive"


@pytest.mark.parametrize(
    "change", [{"name": " "}, {"layout": "zip"}, {"label_column": ""}, {"x": 1}]
)
def test_bad_parameters(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ImportParams.model_validate({"upload_id": "upl_" + "0" * 26, "name": "a"} | change)
