from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.errors import JobFailed
from core.export.bundle import Bundle, Entry, entries
from core.export.card import Origin, dataset_card, literal
from core.export.licences import lineage
from core.export.metadata import metadata_csv
from core.manifest import ImageRecord


def record(number: int, label: str = "nv", filename: str = "x.png", **changes: Any) -> ImageRecord:
    data = f"bytes {number}".encode()
    made = ImageRecord(
        image_id=f"img_{number:026d}",
        filename=filename,
        label=label,
        sha256=hashlib.sha256(data).hexdigest(),
        source_sha256="0" * 64,
        pixel_sha256="1" * 64,
        width=4,
        height=4,
        media_type="image/png",
        modality="rgb",
        split="train",
        source="real",
        group_ids=("g1", "g2"),
    )
    return replace(made, **changes)


def blobs(folder: Path, numbers: int) -> dict[str, Path]:
    found = {}
    for number in range(numbers):
        data = f"bytes {number}".encode()
        sha256 = hashlib.sha256(data).hexdigest()
        found[sha256] = folder / sha256
        found[sha256].write_bytes(data)
    return found


def no_mask(_: Entry) -> str:
    return ""


def _table(records: list[ImageRecord]) -> io.StringIO:
    return io.StringIO("".join(metadata_csv(entries(records, by_class=False), no_mask)))


def write_bundle(target: Path, images: list[Entry], card: str, find: Callable[[str], Path]) -> None:
    with Bundle(target) as bundle:
        bundle.text("README.md", card)
        for entry in images:
            bundle.image(entry, find(entry.record.sha256))
        bundle.text("metadata.csv", metadata_csv(images, no_mask))


def test_paths_are_safe_unique_and_sorted() -> None:
    records = [
        record(0),
        record(1),
        record(2, label="NV"),
        record(3, label="../x"),
        record(4, quarantined=True),
        record(0),
    ]
    paths = [e.path for e in entries(records, by_class=True)]
    assert paths == sorted(paths)
    assert paths == [
        "images/NV/x.png",
        "images/_x/x.png",
        "images/nv_2/x.png",
        "images/nv_2/x_2.png",
    ]
    assert [e.path for e in entries(records[:2], by_class=False)] == [
        "images/x.png",
        "images/x_2.png",
    ]


def test_order_of_records_does_not_matter(tmp_path: Path) -> None:
    records = [record(i, label=f"c{i % 3}") for i in range(9)]
    found = blobs(tmp_path, 9)
    digests = []
    for order in (records, records[::-1]):
        target = tmp_path / "out.zip"
        write_bundle(target, entries(order, by_class=True), "card", found.__getitem__)
        digests.append(target.read_bytes())
    assert digests[0] == digests[1]


def test_sums_cover_every_file_and_hold(tmp_path: Path) -> None:
    found = blobs(tmp_path, 3)
    images = entries([record(i) for i in range(3)], by_class=False)
    write_bundle(tmp_path / "out.zip", images, "card\n", found.__getitem__)
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert archive.testzip() is None
        lines = archive.read("SHA256SUMS").decode().splitlines()
        sums = dict(line.split("  ", 1)[::-1] for line in lines)
        assert set(sums) == set(archive.namelist()) - {"SHA256SUMS"}
        for name, digest in sums.items():
            assert hashlib.sha256(archive.read(name)).hexdigest() == digest
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_a_blob_that_rotted_fails_the_export(tmp_path: Path) -> None:
    found = blobs(tmp_path, 1)
    next(iter(found.values())).write_bytes(b"rotten")
    with pytest.raises(JobFailed) as caught:
        write_bundle(
            tmp_path / "o.zip", entries([record(0)], by_class=False), "", found.__getitem__
        )
    assert caught.value.code == "blob_corrupt"


def test_metadata_is_neutralised_and_complete() -> None:
    bad = record(
        0, label="=cmd|' /C calc'!A0", metadata={"age": -5, "@evil": "+1+1", "note": {"a": 1}}
    )
    rows = list(csv.DictReader(_table([bad])))
    assert rows[0]["label"].startswith("'=")
    assert rows[0]["'@evil"] == "'+1+1"
    assert rows[0]["age"] == "-5"
    assert rows[0]["note"] == '{"a":1}'
    assert rows[0]["group_ids"] == "g1;g2"


def test_metadata_of_the_dataset_cannot_replace_a_standard_column() -> None:
    mine = record(0, metadata={"label": "melanoma", "sha256": "x"})
    rows = list(csv.reader(_table([mine])))
    assert rows[0].count("label") == 1
    assert rows[1][rows[0].index("label")] == "nv"


def test_card_states_licences_and_shows_names_literally() -> None:
    origin = Origin("<b>x</b> | y\n# z", "dsv_1", "real", "a" * 64, "hospital", "lesion")
    images = entries([record(0, label="a|b")], by_class=False)
    card = dataset_card([origin], images, lineage(["hospital", "CC-BY-SA-4.0"]), "internal", ["x"])
    assert "<b>" not in card
    assert "| a\\|b | 1 | 0 |" in card
    assert "unknown (given as: hospital)" in card
    assert "do not pass it on" in card
    assert "same licence" in card
    assert literal("a\nb") == "a b"
