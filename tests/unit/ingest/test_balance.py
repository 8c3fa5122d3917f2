from __future__ import annotations

from dataclasses import replace

from core.ids import new_id
from core.ingest.balance import summarise
from core.manifest import ImageRecord

PLAIN = ImageRecord(
    "img_0", "a.jpg", "nv", "s", "s", "p", 1, 1, "image/png", "rgb", "train", "real", ("g1",)
)


def records(label: str, *groups: str) -> list[ImageRecord]:
    return [replace(PLAIN, image_id=new_id("img"), label=label, group_ids=(g,)) for g in groups]


def test_weak_classes_are_below_the_largest() -> None:
    nv, mel = summarise(records("nv", "a", "a", "b") + records("mel", "c"))[::-1]
    assert (nv.count, nv.groups, nv.weak, nv.target) == (3, 2, False, 3)
    assert (mel.count, mel.groups, mel.weak, mel.target) == (1, 1, True, 3)
    assert nv.by_split == {"train": 3, "val": 0, "test": 0}


def test_quarantined_images_do_not_count() -> None:
    hidden = [replace(r, quarantined=True) for r in records("df", "x", "y")]
    df, nv = summarise(hidden + records("nv", "a"))
    assert (df.count, df.groups, df.weak) == (0, 0, True)
    assert nv.target == 1


def test_no_images() -> None:
    assert summarise([]) == ()
