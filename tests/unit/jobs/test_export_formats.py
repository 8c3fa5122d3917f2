"""Exports are read back by the libraries that their formats are for."""

from __future__ import annotations

import contextlib
import io
import json
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.ingest.images import decode, encode_png
from core.manifest import ImageRecord
from tests.unit.jobs.inline import InlineRunner
from tests.unit.jobs.learning_stack import real_images

COUNTS = {"mole": 6, "scar": 4}


@pytest.fixture
def runner(tmp_path: Path) -> InlineRunner:
    return InlineRunner(tmp_path / "data")


@pytest.fixture
def records(runner: InlineRunner) -> list[ImageRecord]:
    """Ten images; the first has a mask of 3 x 2 pixels, the second an empty one."""
    found = sorted(real_images(runner, COUNTS), key=lambda r: r.image_id)
    pixels = np.zeros((found[0].height, found[0].width), dtype=np.uint8)
    empty = runner.blob(encode_png(pixels))
    pixels[4:6, 1:4] = 255
    mask = runner.blob(encode_png(pixels))
    splits = ["train"] * 6 + ["val"] * 2 + ["test"] * 2
    found = [replace(r, split=s) for r, s in zip(found, splits, strict=True)]  # type: ignore[arg-type]
    found[0] = replace(found[0], provenance={"annotations": {"mask": mask}})
    found[1] = replace(found[1], provenance={"annotations": {"mask": empty}})
    return found


def unpacked(
    runner: InlineRunner, records: list[ImageRecord], folder: Path, layout: str, **changes: Any
) -> Path:
    version = runner.version(records, created_at="2026-03-04T05:06:07+00:00", **changes)
    outcome = runner.run("export", {"dataset_version_ids": [version], "format": layout})
    (path,) = outcome.artifacts.values()
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    return folder


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_coco_is_loaded_by_pycocotools(
    runner: InlineRunner, records: list[ImageRecord], tmp_path: Path
) -> None:
    from pycocotools.coco import COCO

    folder = unpacked(runner, records, tmp_path / "out", "coco")
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(folder / "annotations" / "instances.json")
    assert {c["name"] for c in coco.loadCats(coco.getCatIds())} == set(COUNTS)
    images = coco.loadImgs(coco.getImgIds())
    names = {c["id"]: c["name"] for c in coco.loadCats(coco.getCatIds())}
    known = {decode(runner.store.find(r.sha256)).tobytes(): r for r in records}
    for image in images:
        pixels = np.asarray(Image.open(folder / image["file_name"]))
        record = known[pixels.tobytes()]
        assert (image["height"], image["width"]) == pixels.shape[:2]
        assert names[image["category_id"]] == record.label
        assert image["group_ids"] == list(record.group_ids)
    (annotation,) = coco.loadAnns(coco.getAnnIds())  # an empty mask is no instance
    assert annotation["bbox"] == [1.0, 4.0, 3.0, 2.0]
    assert annotation["area"] == 6
    shown = coco.annToMask(annotation)
    assert shown[4:6, 1:4].all()
    assert shown.sum() == 6


def test_hugging_face_datasets_loads_it(
    runner: InlineRunner,
    records: list[ImageRecord],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = unpacked(runner, records, tmp_path / "out", "hf", licence="CC-BY-NC-4.0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of the library's own dependencies
        import datasets

        datasets.disable_progress_bars()
        found = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert {name: len(split) for name, split in found.items()} == {
        "train": 6,
        "validation": 2,
        "test": 2,
    }
    assert found["train"].features["label"].names == sorted(COUNTS)
    by_hash = {r.sha256: r for r in records}
    masks = 0
    for split in found.values():
        for row in split:
            record = by_hash[row["sha256"]]
            assert split.features["label"].int2str(row["label"]) == record.label
            assert row["group_ids"] == list(record.group_ids)
            stored = decode(runner.store.find(record.sha256))
            assert np.array_equal(np.asarray(row["image"]), stored)
            masks += row["mask"] is not None
    assert masks == 2
    assert "license: cc-by-nc-4.0" in (folder / "README.md").read_text()


def test_croissant_validates_and_its_records_have_their_images(
    runner: InlineRunner, records: list[ImageRecord], tmp_path: Path
) -> None:
    made = replace(
        records[2], image_id="img_" + "9" * 26, source="synthetic", parent_sha256=("a" * 64,)
    )
    folder = unpacked(runner, [*records, made], tmp_path / "out", "croissant", dataset_name="a / ü")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of the library's own dependencies
        import mlcroissant

        dataset = mlcroissant.Dataset(jsonld=folder / "croissant.json")
        rows = list(dataset.records("images_with_labels"))
    assert dataset.metadata.ctx.issues.errors == set()
    assert len(rows) == 11
    by_hash = {r.sha256: r for r in records}
    for row in rows:
        record = by_hash[row["images_with_labels/sha256"].decode()]
        assert row["images_with_labels/label"].decode() == record.label
        assert row["images_with_labels/width"] == record.width
        pixels = np.asarray(row["images_with_labels/image"])
        assert np.array_equal(pixels, decode(runner.store.find(record.sha256)))
    document = json.loads((folder / "croissant.json").read_text())
    assert document["datePublished"] == "2026-03-04"
    assert "rai:dataCollection" in document


@pytest.mark.parametrize("layout", ["coco", "hf", "croissant"])
def test_bytes_are_the_same_every_time(
    runner: InlineRunner, records: list[ImageRecord], layout: str
) -> None:
    version = runner.version(records, created_at="2026-03-04T05:06:07+00:00")
    params = {"dataset_version_ids": [version], "format": layout}
    first, second = (
        next(iter(runner.run("export", params).artifacts.values())).read_bytes() for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize("layout", ["coco", "hf", "croissant"])
def test_a_purpose_that_the_licence_forbids_is_refused(
    runner: InlineRunner, records: list[ImageRecord], layout: str
) -> None:
    from core.errors import InvalidInput

    version = runner.version(records, licence="CC-BY-NC-4.0")
    with pytest.raises(InvalidInput) as caught:
        runner.run(
            "export",
            {"dataset_version_ids": [version], "format": layout, "purpose": "commercial"},
        )
    assert caught.value.code == "licence_forbids"


def test_the_command_line_offers_every_format() -> None:
    from typing import get_args

    from api.commands import files
    from core.export.writing import FORMATS
    from core.jobs.kinds.export import ExportParams

    assert files.FORMATS == FORMATS
    assert get_args(ExportParams.model_fields["format"].annotation) == FORMATS
