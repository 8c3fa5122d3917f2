from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import InvalidInput
from core.ingest.append import append
from core.ingest.images import decode
from core.ingest.intake import Intake
from core.manifest import ImageRecord
from tests.unit.ingest.made import Blobs, class_folders, codes, encoded, jpeg, pixels, taken, zipped
from tests.unit.ingest.test_dicom import dicom


class Case:
    """A dataset and what is added to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.blobs = Blobs()
        self.first = self.take("first", class_folders({"nv": 6, "mel": 4})).records

    def take(self, name: str, files: Mapping[str, bytes]) -> Intake:
        return taken(zipped(self.folder / f"{name}.zip", files), self.blobs)

    def add(self, files: Mapping[str, bytes], old: Any = None) -> Intake:
        records = self.first if old is None else old
        more = self.take("more", files)
        return append(records, more, lambda sha256: decode(self.blobs[sha256]))


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def named(records: tuple[ImageRecord, ...]) -> dict[str, ImageRecord]:
    return {r.filename: r for r in records}


def test_new_images_join_and_old_ones_stay(case: Case) -> None:
    merged = case.add(class_folders({"nv": 3, "df": 5}, start=100))
    assert merged.records[:10] == case.first
    assert len(merged.records) == 18
    assert merged.info["added"] == 8
    assert merged.info["groups"] == 18
    assert {r.split for r in merged.records if r.label == "df"} == {"train", "val", "test"}


def test_what_is_there_already_is_rejected(case: Case) -> None:
    merged = case.add({"nv/a.jpg": jpeg(0), "mel/b.jpg": jpeg(1), "df/c.jpg": jpeg(99)})
    assert codes(merged) == {"nv/a.jpg": "duplicate", "mel/b.jpg": "conflicting_label"}
    assert merged.info["rejected_count"] == 2
    assert merged.info["duplicates"] == {"exact": 2, "near": 0}


def test_nothing_new_is_an_error(case: Case) -> None:
    with pytest.raises(InvalidInput) as error:
        case.add({"nv/a.jpg": jpeg(0)})
    assert error.value.code == "no_images"


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_near_duplicates_follow_the_split_of_their_group(case: Case, split: Any) -> None:
    old = [replace(r, split=split) if r.filename == "nv/2.jpg" else r for r in case.first]
    turned = encoded(np.rot90(pixels(2)).copy(), "PNG")
    merged = named(case.add({"nv/turned.png": turned, "df/z.jpg": jpeg(99)}, old).records)
    assert merged["nv/turned.png"].split == split
    assert merged["nv/turned.png"].group_ids == merged["nv/2.jpg"].group_ids


def lesions(case: Case, names: dict[int, str], splits: dict[int, Any]) -> list[ImageRecord]:
    """The first images with lesion numbers and splits of our choice."""
    return [
        replace(
            r, metadata={"lesion_id": names[n]} if n in names else {}, split=splits.get(n, "train")
        )
        for n, r in enumerate(case.first)
    ]


TABLE = b"image,label,lesion_id\n50,nv,A\n51,nv,A\n"


def test_metadata_ties_new_images_to_old_groups(case: Case) -> None:
    old = lesions(case, {0: "A"}, {0: "test"})
    merged = case.add({"50.jpg": jpeg(50), "51.jpg": jpeg(51), "m.csv": TABLE}, old)
    added = merged.records[10:]
    assert [r.split for r in added] == ["test", "test"]
    assert {r.group_ids for r in added} == {old[0].group_ids}


def test_an_image_that_is_there_already_ties_what_came_with_it(case: Case) -> None:
    old = lesions(case, {}, {0: "test"})
    files = {
        "0.jpg": jpeg(0),
        "50.jpg": jpeg(50),
        "m.csv": b"image,label,lesion_id\n0,nv,A\n50,nv,A\n",
    }
    merged = case.add(files, old)
    assert codes(merged) == {"0.jpg": "duplicate"}
    new = merged.records[-1]
    assert new.filename == "50.jpg"
    assert new.split == "test"
    assert new.group_ids == merged.records[0].group_ids


def test_joined_groups_carry_the_ids_of_both(case: Case) -> None:
    old = lesions(case, {0: "A"}, {0: "test", 1: "test"})
    near = encoded(pixels(1)[:, ::-1].copy(), "PNG")
    merged = case.add({"50.png": near, "m.csv": b"image,label,lesion_id\n50,nv,A\n"}, old).records
    both = tuple(sorted(old[0].group_ids + old[1].group_ids))
    assert [merged[n].group_ids for n in (0, 1, 10)] == [both] * 3
    assert merged[2].group_ids == old[2].group_ids


def test_a_new_image_never_ties_two_splits(case: Case) -> None:
    old = lesions(case, {0: "A"}, {0: "test", 1: "train"})
    near = encoded(pixels(1)[:, ::-1].copy(), "PNG")
    files = {
        "50.png": near,
        "60.jpg": jpeg(60),
        "m.csv": b"image,label,lesion_id\n50,nv,A\n60,nv,B\n",
    }
    merged = case.add(files, old)
    assert codes(merged) == {"50.png": "bridges_splits"}
    assert list(merged.records[:10]) == old
    assert [r.filename for r in merged.records[10:]] == ["60.jpg"]


def test_quarantine_survives(case: Case) -> None:
    old = [replace(r, quarantined=True) for r in case.first]
    merged = case.add({"nv/z.jpg": jpeg(99)}, old)
    assert [r.quarantined for r in merged.records] == [True] * 10 + [False]


def test_dicom_patients_are_not_known_from_one_import_to_the_next(case: Case) -> None:
    ramps = [np.arange(3072, dtype=np.uint16).reshape(48, 64) % m for m in (7, 61, 350)]
    old = case.take("old", {f"x/{n}.dcm": dicom(r) for n, r in enumerate(ramps[:2])}).records
    told = case.add({"x/9.dcm": dicom(ramps[2])}, old=old).warnings
    assert [w.split(":")[0] for w in told].count("dicom_patients") == 1
    plain = case.add({"x/9.dcm": dicom(ramps[2])}).warnings
    assert not any(w.startswith("dicom_patients") for w in plain)
