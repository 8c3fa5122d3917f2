"""Copies that do not say of whom: found; what is declared: spared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.ingest.fingerprints import fingerprint
from core.manifest import ImageRecord
from core.quality import copies as module
from core.quality.copies import Screening, screen
from core.synthesis.procedural import Drawing, draw
from tests.unit.ingest.edits import EDITS

COUNT = 10
_pixels: dict[str, Any] = {}


def _lesion(number: int) -> Any:
    return draw(Drawing(str(number), "nv", number, 0), seed=7, size=160)[0]


def _record(name: str, pixels: Any, **changes: Any) -> ImageRecord:
    _pixels[name] = pixels
    record = ImageRecord(
        image_id=name,
        filename=f"{name}.png",
        label="nv",
        sha256=name,
        source_sha256=name,
        pixel_sha256=name,
        width=160,
        height=160,
        media_type="image/png",
        modality="rgb",
        split="train",
        source="real",
        group_ids=(f"g-{name}",),
    )
    return replace(record, **changes)


def _made(name: str, pixels: Any, parents: tuple[ImageRecord, ...] = (), **more: Any) -> Any:
    changes: dict[str, Any] = {
        "source": "synthetic",
        "group_ids": tuple(g for p in parents for g in p.group_ids),
        "parents": tuple(p.image_id for p in parents),
        "parent_sha256": tuple(p.sha256 for p in parents),
    }
    return _record(name, pixels, **(changes | more))


@pytest.fixture(scope="module")
def real() -> list[ImageRecord]:
    return [_record(f"r{i}", _lesion(i)) for i in range(COUNT)]


def _screen(real: list[ImageRecord], made: list[Any], novel: bool = False) -> Screening:
    return screen(real, made, _pixels.__getitem__, novel=lambda _: novel, threads=2)


def _found(screening: Screening) -> list[tuple[str, str, str]]:
    return [(c.synthetic.image_id, c.real.image_id, c.way) for c in screening.copies]


@pytest.mark.parametrize("kind", list(EDITS))
def test_a_near_copy_passed_as_new_is_found_beside_its_source(
    kind: str, real: list[ImageRecord]
) -> None:
    rng = np.random.default_rng(5)
    made = [_made(f"c{kind}{i}", EDITS[kind](_lesion(i), rng)) for i in range(4)]
    made += [_made(f"new{i}", _lesion(100 + i)) for i in range(4)]
    found = _screen(real, made)
    assert [(s, r) for s, r, _ in _found(found)] == [(f"c{kind}{i}", f"r{i}") for i in range(4)]
    assert found.aligned == 8
    counts = found.by_class()["nv"]
    assert counts["examined"] == 8
    assert counts["near"] + counts["aligned"] == 4


def test_declared_parents_and_their_groups_are_spared(real: list[ImageRecord]) -> None:
    sibling = _record("sibling", _lesion(0), group_ids=real[0].group_ids)
    made = [
        _made("m0", _lesion(0)[:, ::-1].copy(), (real[0],)),
        _made("m1", _lesion(1), (real[1],)),
    ]
    assert _screen([*real, sibling], made).copies == ()


def test_likeness_to_somebody_else_is_found_though_a_parent_is_declared(
    real: list[ImageRecord],
) -> None:
    made = [_made("m", _lesion(3)[::-1].copy(), (real[0],)), _made("own", _lesion(1), (real[1],))]
    assert _found(_screen(real, made)) == [("m", "r3", "near")]


def test_nothing_excuses_a_novel_image(real: list[ImageRecord]) -> None:
    made = [_made("m0", _lesion(0), (real[0],)), _made("m1", _lesion(50), (real[1],))]
    found = _screen(real, made, novel=True)
    assert _found(found) == [("m0", "r0", "near")]
    assert found.novel == 2


@pytest.mark.parametrize("field", ["sha256", "source_sha256", "pixel_sha256"])
def test_the_same_bytes_or_pixels_are_an_exact_copy(field: str, real: list[ImageRecord]) -> None:
    other = _lesion(60)
    made = replace(_made("exact", other), **{field: real[2].sha256})
    _pixels.setdefault(made.sha256, other)
    found = _screen(real, [made])
    assert _found(found) == [("exact", "r2", "exact")]
    assert found.copies[0].likeness == 1.0


def test_the_hash_of_the_import_is_used_when_there_is_one(real: list[ImageRecord]) -> None:
    known = [replace(r, perceptual_hash=fingerprint(_pixels[r.sha256]).text) for r in real]
    looked: list[str] = []

    def load(name: str) -> Any:
        looked.append(name)
        return _pixels[name]

    flat = np.full((160, 160, 3), 99, np.uint8)
    made = [_made("flat", flat, (real[0],)), _made("copy", _lesion(4)[::-1].copy(), (real[0],))]
    found = screen(known, made, load, novel=lambda _: False)
    assert _found(found) == [("copy", "r4", "near")]
    assert "r4" in looked
    assert len(looked) < len(real)


def test_too_many_to_lay_over_each_other_is_told(
    real: list[ImageRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_IMAGES", COUNT)
    copy = _made("whole", _lesion(5)[::-1].copy())
    crop = _made("crop", _lesion(6)[30:140, 20:130].copy())
    found = _screen(real, [copy, crop])
    assert _found(found) == [("whole", "r5", "near")]
    assert (found.too_many, found.aligned) == (True, 0)
    assert found.as_json()["too_many_for_crops_and_turns"] is True


def test_many_copies_of_one_image_do_not_crowd_each_other_out(real: list[ImageRecord]) -> None:
    rng = np.random.default_rng(1)
    made = [_made(f"many{i}", EDITS["crop_corner"](_lesion(0), rng)) for i in range(60)]
    assert {r for _, r, _ in _found(_screen(real, made))} == {"r0"}
    assert len(_screen(real, made).copies) == 60


def test_nothing_to_look_at(real: list[ImageRecord]) -> None:
    for images, made in (([], []), (real, []), ([], [_made("alone", _lesion(70))])):
        found = _screen(images, made)
        assert found.copies == ()
        assert found.image_ids == frozenset()


def test_images_that_show_nothing_are_copies_of_nothing(real: list[ImageRecord]) -> None:
    black = _record("black", np.zeros((40, 40, 3), np.uint8))
    made = [_made("dark", np.full((40, 40, 3), 3, np.uint8)), _made("dot", _lesion(80)[:1, :1])]
    assert _screen([*real, black], made).copies == ()
