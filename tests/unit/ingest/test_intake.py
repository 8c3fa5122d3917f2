from __future__ import annotations

import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.errors import InvalidInput, JobCancelled, StorageFull
from core.ingest.images import decode, encode_png
from core.ingest.intake import IntakeOptions, ingest
from core.manifest import manifest_sha256
from tests.unit.ingest.made import (
    Blobs,
    class_folders,
    codes,
    encoded,
    jpeg,
    pixels,
    png_header,
    taken,
    tarred,
    zipped,
)
from tests.unit.ingest.test_dicom import dicom

SIZES = {"nv": 12, "mel": 6, "df": 4}


def test_every_container_gives_the_same_manifest(tmp_path: Path) -> None:
    files = class_folders(SIZES) | {"nv/bad.jpg": b"no"}
    made = [
        zipped(tmp_path / "a.zip", files),
        zipped(tmp_path / "b.zip", files, zipfile.ZIP_STORED),
        tarred(tmp_path / "a.tar", files),
        tarred(tmp_path / "a.tar.gz", files),
    ]
    intakes = [taken(path, threads=1 + n) for n, path in enumerate(made)]
    assert len({manifest_sha256(i.records) for i in intakes}) == 1
    assert [[r.filename for r in i.records] for i in intakes[1:]] == [
        [r.filename for r in intakes[0].records]
    ] * 3
    assert [codes(i) for i in intakes] == [{"nv/bad.jpg": "not_an_image"}] * 4


def test_seed_decides_the_split(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", class_folders(SIZES))
    assert manifest_sha256(taken(path, seed=1).records) == manifest_sha256(
        taken(path, seed=1).records
    )
    assert [r.split for r in taken(path, seed=1).records] != [
        r.split for r in taken(path, seed=2).records
    ]


def test_records_describe_their_blobs(tmp_path: Path) -> None:
    blobs = Blobs()
    files = class_folders(SIZES) | {"df/grey.png": encoded(pixels(99, channels=1), "PNG")}
    intake = taken(zipped(tmp_path / "a.zip", files), blobs)
    assert len(intake.records) == len(files)
    for record in intake.records:
        array = decode(blobs[record.sha256])
        assert array.shape[:2] == (record.height, record.width)
        assert record.modality == ("grey" if array.ndim == 2 else "rgb")
        assert record.label == record.filename.split("/")[0]
    assert intake.info["layout"] == "imagefolder"
    assert intake.info["groups"] == len(files)


HOSTILE: dict[str, tuple[bytes, str]] = {
    "nv/empty.jpg": (b"", "empty_file"),
    "nv/text.jpg": (b"a text file named .jpg", "not_an_image"),
    "nv/cut.jpg": (jpeg(500)[:-200], "truncated"),
    "nv/huge.png": (png_header(30_000, 30_000), "too_many_pixels"),
    "nv/page.html": (b"<html>", "not_an_image"),
    "nv/anim.gif": (b"GIF89a" + b"\0" * 99, "unsupported_format"),
    "nv/inner.zip": (b"PK\x03\x04" + b"\0" * 99, "nested_archive"),
    "../escape.jpg": (jpeg(501), "unsafe_path"),
    "/abs.jpg": (jpeg(502), "unsafe_path"),
    "nv/" + "n" * 500 + ".jpg": (jpeg(503), "name_too_long"),
    "NV/1.JPG": (jpeg(504), "name_collision"),
    "stray.jpg": (jpeg(505), "no_label"),
    "nv/bomb.bmp": (b"BM" + b"\0" * 30_000_000, "compression_bomb"),
}


def test_hostile_corpus_is_listed_and_the_rest_is_taken(tmp_path: Path) -> None:
    good = class_folders(SIZES)
    noise = {"__MACOSX/nv/._0.jpg": b"x", "nv/.DS_Store": b"x"}
    files = good | {name: data for name, (data, _) in HOSTILE.items()} | noise
    intake = taken(zipped(tmp_path / "a.zip", files))
    assert {r.filename for r in intake.records} == set(good)
    assert codes(intake) == {name[:500]: code for name, (_, code) in HOSTILE.items()}
    assert intake.info["rejected_count"] == len(HOSTILE)


def test_one_corrupt_file_among_many(tmp_path: Path) -> None:
    files = class_folders({"nv": 150, "mel": 50})
    files["nv/77.jpg"] = files["nv/77.jpg"][:100]
    intake = taken(zipped(tmp_path / "a.zip", files))
    assert (len(intake.records), codes(intake)) == (199, {"nv/77.jpg": "truncated"})


def test_identical_files_are_taken_once(tmp_path: Path) -> None:
    files = class_folders(SIZES) | {"nv/again.jpg": jpeg(0), "nv/tagged.jpg": jpeg(1, comment=b"c")}
    intake = taken(zipped(tmp_path / "a.zip", files))
    assert codes(intake) == {"nv/again.jpg": "duplicate", "nv/tagged.jpg": "duplicate"}
    assert intake.info["duplicates"] == {"exact": 2, "near": 0}


def test_the_same_image_under_two_labels_is_no_evidence(tmp_path: Path) -> None:
    files = class_folders(SIZES) | {"mel/x.jpg": jpeg(0)}
    intake = taken(zipped(tmp_path / "a.zip", files))
    assert codes(intake) == {"nv/0.jpg": "conflicting_label", "mel/x.jpg": "conflicting_label"}


def test_near_duplicates_share_group_and_split(tmp_path: Path) -> None:
    smaller = Image.fromarray(pixels(3)).resize((40, 30))
    turned = np.rot90(pixels(4)).copy()
    files = class_folders(SIZES) | {
        "nv/smaller.jpg": encoded(smaller),
        "mel/turned.png": encoded(turned, "PNG"),
        "nv/same_pixels.png": encoded(np.asarray(Image.open(_file(jpeg(5)))), "PNG"),
    }
    intake = taken(zipped(tmp_path / "a.zip", files))
    by_name = {r.filename: r for r in intake.records}
    for one, two in (
        ("nv/3.jpg", "nv/smaller.jpg"),
        ("nv/4.jpg", "mel/turned.png"),
        ("nv/5.jpg", "nv/same_pixels.png"),
    ):
        assert by_name[one].group_ids == by_name[two].group_ids
        assert by_name[one].split == by_name[two].split
    assert intake.info["groups"] == sum(SIZES.values())
    assert intake.info["duplicates"] == {"exact": 1, "near": 3}
    conflict = intake.info["near_label_conflicts"]
    assert [sorted(c["filenames"]) for c in conflict] == [["mel/turned.png", "nv/4.jpg"]]
    assert any(w.startswith("near_label_conflict") for w in intake.warnings)


def _file(data: bytes) -> Any:
    import io

    return io.BytesIO(data)


def test_metadata_makes_groups(tmp_path: Path) -> None:
    rows = [f"{i},{'nv' if i % 2 else 'mel'},P{i // 4}" for i in range(24)]
    files = {f"img/{i}.jpg": jpeg(i) for i in range(24)}
    files["m.csv"] = ("image,label,patient_id\n" + "\n".join(rows)).encode()
    intake = taken(zipped(tmp_path / "a.zip", files))
    assert (intake.info["groups"], intake.info["group_basis"]) == (6, "patient")
    of_patient: dict[str, set[str]] = {}
    for record in intake.records:
        of_patient.setdefault(record.metadata["patient_id"], set()).add(record.split)
    assert all(len(splits) == 1 for splits in of_patient.values())


def test_copies_under_two_lesions_tie_the_lesions(tmp_path: Path) -> None:
    files = {f"{i}.jpg": jpeg(i) for i in range(4)} | {"4.jpg": jpeg(0)}
    files["m.csv"] = b"image,label,lesion_id\n0,nv,A\n1,nv,A\n2,nv,B\n3,nv,C\n4,nv,B\n"
    intake = taken(zipped(tmp_path / "a.zip", files))
    groups = {r.filename: r.group_ids for r in intake.records}
    assert groups["0.jpg"] == groups["1.jpg"] == groups["2.jpg"] != groups["3.jpg"]


def test_group_ids_do_not_depend_on_the_rest(tmp_path: Path) -> None:
    few = taken(zipped(tmp_path / "a.zip", class_folders({"nv": 3, "mel": 2})))
    more = taken(zipped(tmp_path / "b.zip", class_folders({"nv": 3, "mel": 9})))
    known = {r.sha256: r.group_ids for r in more.records}
    assert all(known[r.sha256] == r.group_ids for r in few.records)


def test_dicom_images_of_one_patient_share_a_group(tmp_path: Path) -> None:
    ramps = [
        np.roll(np.arange(3072, dtype=np.uint16).reshape(48, 64) % (7 + n), n) for n in range(4)
    ]
    people = ["A", "A", "B", "C"]
    files = {f"x/{n}.dcm": dicom(r, PatientID=people[n]) for n, r in enumerate(ramps)}
    blobs = Blobs()
    intake = taken(zipped(tmp_path / "a.zip", files), blobs)
    groups = [r.group_ids for r in intake.records]
    assert groups[0] == groups[1]
    assert len(set(groups)) == 3
    assert all(r.modality == "grey" for r in intake.records)
    assert not any(b"Smith" in data for data in blobs.values())


def test_masks_are_stored_and_referenced(tmp_path: Path) -> None:
    blobs = Blobs()
    mask = np.zeros((48, 64), np.uint8)
    mask[10:20, 10:30] = 255
    clear = np.dstack([mask, mask, mask, np.zeros_like(mask)])
    files = {
        "1.jpg": jpeg(1),
        "1_mask.png": encoded(mask, "PNG"),
        "2.jpg": jpeg(2),
        "2_mask.png": encoded(clear, "PNG"),
        "3.jpg": jpeg(3),
        "3_mask.png": encoded(mask[:40], "PNG"),
        "4.jpg": b"broken",
        "4_mask.png": encoded(mask, "PNG"),
        "labels.csv": b"name,label\n1,a\n2,b\n3,a\n4,a\n",
    }
    intake = taken(zipped(tmp_path / "a.zip", files), blobs)
    assert codes(intake) == {
        "4.jpg": "not_an_image",
        "3_mask.png": "mask_size",
        "4_mask.png": "no_image",
    }
    notes = [r.provenance.get("annotations") for r in intake.records]
    assert notes[2] is None
    for note in notes[:2]:
        assert note is not None
        assert np.array_equal(decode(blobs[note["mask"]]), mask)


def test_one_class_is_warned_of(tmp_path: Path) -> None:
    intake = taken(zipped(tmp_path / "a.zip", class_folders({"nv": 4})))
    assert [w.split(":")[0] for w in intake.warnings] == ["one_class"]


def test_one_image_a_class(tmp_path: Path) -> None:
    intake = taken(zipped(tmp_path / "a.zip", class_folders({"a": 1, "b": 1, "c": 1})))
    assert [r.split for r in intake.records] == ["train"] * 3


def test_a_source_column_that_says_where_from_rejects_nothing(tmp_path: Path) -> None:
    table = b"image,dx,source\n0,nv,clinic\n1,nv,Synthetic\n2,mel,real\n3,mel,synthetics Ltd\n"
    files = {f"{n}.jpg": jpeg(n) for n in range(4)} | {"m.csv": table}
    intake = taken(zipped(tmp_path / "a.zip", files))
    assert codes(intake) == {"1.jpg": "synthetic_image"}
    assert sorted(r.filename for r in intake.records) == ["0.jpg", "2.jpg", "3.jpg"]


def test_unused_tables_are_named(tmp_path: Path) -> None:
    files = class_folders({"a": 2, "b": 2}) | {"notes.csv": b"who,when\nme,now\n"}
    intake = taken(zipped(tmp_path / "a.zip", files))
    assert any(w.startswith("unused_table: notes.csv") for w in intake.warnings)
    assert intake.rejects == ()


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"nv/1.jpg": b"no", "nv/2.jpg": b""}, "no_images"),
        ({"../1.jpg": b"x"}, "no_images"),
        ({"1.jpg": jpeg(1)}, "no_images"),
        ({"m.csv": b"image,dx\n1,nv\n"}, "no_images"),
        ({"nv/1.bmp": b"BM" + b"\0" * 30_000_000}, "archive_bomb"),
    ],
)
def test_nothing_taken_is_an_error_with_reasons(
    tmp_path: Path, files: dict[str, bytes], code: str
) -> None:
    with pytest.raises(InvalidInput) as error:
        taken(zipped(tmp_path / "a.zip", files))
    assert error.value.code == code
    assert len(error.value.extra["rejects"]) == sum(not n.endswith(".csv") for n in files)


def test_cancelling_and_full_disks_pass(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", class_folders({"a": 60, "b": 60}))

    def cancelled(phase: str, current: int, total: int) -> None:
        if phase == "images" and current > 10:
            raise JobCancelled("stop")

    def full(data: bytes) -> str:
        raise StorageFull("full")

    with pytest.raises(JobCancelled):
        ingest(path, IntakeOptions(), Blobs().put, cancelled, 2)
    with pytest.raises(StorageFull):
        ingest(path, IntakeOptions(), full, lambda *_: None, 2)


def test_progress_ends_at_its_total(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    path = zipped(tmp_path / "a.zip", class_folders(SIZES))
    ingest(path, IntakeOptions(), Blobs().put, lambda *step: seen.append(step), 2)
    last = {phase: (current, total) for phase, current, total in seen}
    assert last == {"scan": (1, 1), "images": (22, 22), "duplicates": (22, 22)}


def test_memory_does_not_grow_with_the_pixels(tmp_path: Path) -> None:
    tiles = [np.full((800, 800, 3), (n, 99, 200), np.uint8) for n in range(20)]
    files = {f"{'ab'[n % 2]}/{n}.png": encode_png(tile) for n, tile in enumerate(tiles)}
    path = zipped(tmp_path / "a.zip", files, zipfile.ZIP_STORED)
    del files, tiles
    tracemalloc.start()
    ingest(path, IntakeOptions(), lambda d: str(hash(d)), lambda *_: None, 2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6  # all pixels at once are 38 MB
