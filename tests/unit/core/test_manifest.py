from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from core.ids import new_id
from core.manifest import ImageRecord, manifest_sha256, read_manifest, write_manifest


def record(number: int, **changes: Any) -> ImageRecord:
    fields: dict[str, Any] = {
        "image_id": new_id("img"),
        "filename": f"{number}.png",
        "label": "nævus",
        "sha256": f"{number:064x}",
        "source_sha256": f"{number:064x}",
        "pixel_sha256": f"{number:064x}",
        "width": 8,
        "height": 9,
        "media_type": "image/png",
        "modality": "rgb",
        "split": "train",
        "source": "real",
        "group_ids": (f"grp_{number}", "grp_a"),
    }
    return ImageRecord(**(fields | changes))


def test_a_manifest_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    records = [
        record(1, metadata={"age": 30, "sex": None}, provenance={"operations": [{"angle": 0.1}]}),
        record(2, parents=("img_1",), parent_sha256=("0" * 64,), quarantined=True),
    ]
    write_manifest(records, tmp_path / "m.parquet")
    assert read_manifest(tmp_path / "m.parquet") == records


def test_an_empty_manifest_is_read_back(tmp_path: Path) -> None:
    write_manifest([], tmp_path / "m.parquet")
    assert read_manifest(tmp_path / "m.parquet") == []


def test_the_hash_ignores_ids_and_the_order() -> None:
    records = [record(n, parents=(f"img_{n}",)) for n in range(5)]
    again = [
        replace(r, image_id=new_id("img"), parents=("img_x",), group_ids=r.group_ids[::-1])
        for r in reversed(records)
    ]
    assert manifest_sha256(records) == manifest_sha256(again)


@given(
    st.sampled_from(
        ["label", "split", "sha256", "quarantined", "parent_sha256", "provenance", "group_ids"]
    )
)
def test_the_hash_sees_every_other_change(name: str) -> None:
    changed = {
        "label": "x",
        "split": "test",
        "sha256": "f" * 64,
        "quarantined": True,
        "parent_sha256": ("e" * 64,),
        "provenance": {"a": 1},
        "group_ids": ("grp_b",),
    }
    records = [record(1), record(2)]
    other = [records[0], replace(records[1], **{name: changed[name]})]  # type: ignore[arg-type]
    assert manifest_sha256(records) != manifest_sha256(other)
