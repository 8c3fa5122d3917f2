"""Exports are read back by the libraries that their formats are for."""

from __future__ import annotations

import contextlib
import csv
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

from core.errors import JobFailed
from core.export import coco as coco_export
from core.ingest.images import decode, encode_png
from core.manifest import ImageRecord, read_manifest
from core.rendering.annotations import NAMES
from tests.rendered import rendered
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
    (image,) = coco.loadImgs(annotation["image_id"])
    stored = np.asarray(Image.open(folder / image["annotation_files"]["mask"]))
    assert np.array_equal(shown * 255, stored)


@pytest.fixture
def render(runner: InlineRunner) -> ImageRecord:
    """A rendered image with two lesions and everything that is annotated on it."""
    pixels, files = rendered(4)
    (found,) = real_images(runner, {"mole": 1})
    return replace(
        found,
        image_id="img_" + "7" * 26,
        filename="synthetic_0000001.png",
        source="synthetic",
        sha256=runner.blob(pixels),
        width=64,
        height=64,
        provenance={"annotations": {name: runner.blob(data) for name, data in files.items()}},
    )


def coco_of(folder: Path) -> Any:
    from pycocotools.coco import COCO

    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(folder / "annotations" / "instances.json")


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_lesions_of_a_render_are_instances_and_the_rest_are_files(
    runner: InlineRunner, render: ImageRecord, records: list[ImageRecord], tmp_path: Path
) -> None:
    folder = unpacked(runner, [*records, render], tmp_path / "out", "coco", licence="CC-BY-4.0")
    coco = coco_of(folder)
    (image,) = [i for i in coco.dataset["images"] if i["source"] == "synthetic"]
    blobs = render.provenance["annotations"]
    numbers = np.asarray(Image.open(runner.store.find(blobs["instances"])))
    found = coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))
    assert [row["instance"] for row in found] == sorted(set(np.unique(numbers)) - {0})
    assert found
    for row in found:
        inside = coco.annToMask(row).astype(bool)
        assert np.array_equal(inside, numbers == row["instance"])
        assert row["area"] == inside.sum()
        left, top, width, height = map(int, row["bbox"])
        assert inside[top : top + height, left : left + width].sum() == inside.sum()
        assert row["category_id"] == image["category_id"]
    assert set(image["annotation_files"]) == set(NAMES) - {"coco"}
    for name, path in image["annotation_files"].items():
        assert path.split("/")[:2] == ["annotations", name]
        assert (folder / path).read_bytes() == runner.store.find(blobs[name]).read_bytes()
    assert image["image_uid"] == render.image_id
    (licence,) = coco.dataset["licenses"]
    assert licence["url"] == "https://creativecommons.org/licenses/by/4.0/"
    assert {i["license"] for i in coco.dataset["images"]} == {licence["id"]}
    assert coco.dataset["info"]["date_created"] == "2026-03-04"


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_the_number_of_an_image_is_the_same_in_every_export(
    runner: InlineRunner, records: list[ImageRecord], tmp_path: Path
) -> None:
    few, all_of_them = (
        {i["image_uid"]: i["id"] for i in coco_of(folder).dataset["images"]}
        for folder in (
            unpacked(runner, records[3:], tmp_path / "few", "coco"),
            unpacked(runner, records, tmp_path / "all", "coco"),
        )
    )
    assert few.items() < all_of_them.items()
    assert len(set(all_of_them.values())) == len(records)
    assert all(0 < number < 2**53 for number in all_of_them.values())


def test_numbers_that_meet_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coco_export, "_ID_DIGITS", 1)
    ids = [f"img_{n:026d}" for n in range(40)]
    numbers = coco_export.image_numbers(ids)
    assert len(set(numbers.values())) == 40
    assert coco_export.image_numbers(reversed(ids)) == numbers
    assert 0 not in numbers.values()


def test_a_rotten_mask_fails_the_export(runner: InlineRunner, records: list[ImageRecord]) -> None:
    mask = records[0].provenance["annotations"]["mask"]
    runner.store.find(mask).write_bytes(b"rotten")
    version = runner.version(records)
    for layout in ("imagefolder", "hf"):
        with pytest.raises(JobFailed, match=records[0].image_id) as caught:
            runner.run("export", {"dataset_version_ids": [version], "format": layout})
        assert caught.value.code == "blob_corrupt"


@pytest.mark.parametrize("layout", ["imagefolder", "csv"])
def test_masks_come_back_with_their_images(
    runner: InlineRunner, records: list[ImageRecord], tmp_path: Path, layout: str
) -> None:
    mask = records[0].provenance["annotations"]["mask"]
    masked = [replace(r, provenance={"annotations": {"mask": mask}}) for r in records]
    folder = unpacked(runner, masked, tmp_path / "out", layout)
    rows = list(csv.DictReader((folder / "metadata.csv").open()))
    assert all((folder / row["mask"]).read_bytes() == runner.store.find(mask).read_bytes()
               for row in rows)  # fmt: skip
    archive = tmp_path / "again.zip"
    with zipfile.ZipFile(archive, "w") as made:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            made.write(path, path.relative_to(folder))
    again = runner.run("import", {"upload_id": runner.upload(archive), "name": "again"})
    assert again.result["accepted"] == len(records)
    back = read_manifest(runner.store.find(again.versions[0].manifest_blob))
    assert {(r.label, r.pixel_sha256) for r in back} == {(r.label, r.pixel_sha256) for r in records}
    stored = decode(runner.store.find(mask))
    for record in back:
        assert np.array_equal(
            decode(runner.store.find(record.provenance["annotations"]["mask"])), stored
        )


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
        masks = list(dataset.records("masks_of_images"))
    assert dataset.metadata.ctx.issues.errors == set()
    assert len(rows) == 11
    pointed = {row["images_with_labels/mask"] for row in rows} - {None}
    names = {Path(p.decode()).name for p in pointed if isinstance(p, bytes) and p}
    assert names == {row["masks_of_images/filename"].decode() for row in masks}
    shown = [np.asarray(row["masks_of_images/mask"].convert("L")) for row in masks]
    assert sorted((pixels == 255).sum() for pixels in shown) == [0, 6]
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
