"""The thorough search: crops, free turns and whatever else leaves a photograph the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from core.errors import InvalidInput
from core.ingest import intake as intake_module
from core.ingest import thorough
from core.ingest.alignment import Alignment, AlignThreshold, align
from core.ingest.append import append
from core.ingest.fingerprints import Fingerprint, fingerprint
from core.ingest.images import decode
from core.ingest.intake import IntakeOptions
from core.ingest.keypoints import (
    MOST,
    SIDE,
    grey_of,
    keypoints,
    mirrored_bins,
    read_record,
    rooted,
)
from core.ingest.retrieval import likely_pairs
from core.ingest.thorough import MOST_IMAGES, check_size, records_of, thorough_pairs
from core.synthesis.procedural import Drawing, draw
from tests.unit.ingest.edits import EDITS, crop_corner, turn, two_edits
from tests.unit.ingest.made import Blobs, encoded, taken, zipped

COUNT = 8


def lesion(number: int) -> Any:
    return draw(Drawing(str(number), "nv", number, 0), seed=7, size=160)[0]


@pytest.fixture(scope="module")
def originals() -> list[Any]:
    return [lesion(number) for number in range(COUNT)]


def marked(pixels: Any) -> Fingerprint:
    return replace(fingerprint(pixels), keypoints=keypoints(pixels))


def found(images: list[Any], **options: Any) -> list[tuple[int, int]]:
    prints = [marked(pixels) for pixels in images]
    pairs = thorough_pairs(prints, records_of(prints), **options)
    return [(p.first, p.second) for p in pairs]


@pytest.mark.parametrize("kind", list(EDITS))
def test_each_edit_is_found_and_nothing_else(kind: str, originals: list[Any]) -> None:
    rng = np.random.default_rng(3)
    copies = [EDITS[kind](image, rng) for image in originals[:2]]
    assert found([*originals, *copies]) == [(0, COUNT), (1, COUNT + 1)]


def test_two_edits_are_found(originals: list[Any]) -> None:
    rng = np.random.default_rng(4)
    copies = [two_edits(image, rng) for image in originals]
    pairs = found([*originals, *copies])
    assert {(n, COUNT + n) for n in range(COUNT)} == set(pairs)


def test_blurred_pictures_alike_are_no_copies(originals: list[Any]) -> None:
    """Two lesions under one shading: the thumbnails correlate, the texture does not."""
    shade = np.linspace(0.2, 1.0, 160)[:, None, None] ** 2
    shaded = [(image * shade).astype(np.uint8) for image in originals]
    assert found(shaded) == []


def blob(across: float, down: float) -> Any:
    y, x = np.mgrid[:64, :64] / 63
    disc = (255 * ((x - across) ** 2 + (y - down) ** 2 < 0.1)).astype(np.uint8)
    return cv2.GaussianBlur(disc, (0, 0), 9)


def test_pictures_without_texture_stay_with_the_fast_search() -> None:
    plain = blob(0.4, 0.3)
    assert keypoints(plain)["count"] < 12
    assert found([plain, plain[:, ::-1].copy(), blob(0.55, 0.8)]) == [(0, 1)]


def test_unwanted_pairs_are_left_out(originals: list[Any]) -> None:
    images = [originals[0], originals[0][::-1].copy(), originals[0][:, ::-1].copy()]
    assert found(images) == [(0, 1), (0, 2), (1, 2)]
    assert found(images, wanted=lambda _, second: second == 2) == [(0, 2), (1, 2)]


def test_threshold_is_obeyed(originals: list[Any]) -> None:
    images = [originals[0], originals[0].copy()]
    for refused in (AlignThreshold(inliers=MOST + 1), AlignThreshold(correlation=1.01)):
        assert found(images, threshold=refused) == []


def test_threads_do_not_change_the_answer(originals: list[Any]) -> None:
    rng = np.random.default_rng(5)
    images = [*originals, *(turn(image, rng) for image in originals)]
    assert found(images, threads=1) == found(images, threads=3)


def test_no_image_and_one_image(originals: list[Any]) -> None:
    assert found([]) == []
    assert found(originals[:1]) == []


def test_a_crowd_of_copies_hangs_together(originals: list[Any]) -> None:
    """More copies than a word or an image has votes for are still one group."""
    from core.ingest.groups import connect

    records = np.repeat(keypoints(originals[0])[None], 150)
    pairs = [(int(a), int(b)) for a, b in likely_pairs(records)]
    assert len(pairs) < 150 * 149 // 2
    assert len(connect([()] * 150, pairs).sets()) == 1


def test_descriptors_of_the_mirror_image_are_told_by_those_of_the_image(
    originals: list[Any],
) -> None:
    plain, back = keypoints(originals[0]), keypoints(originals[0][:, ::-1].copy())
    ours = rooted(plain["descriptors"][: plain["count"]])[:, mirrored_bins()]
    theirs = rooted(back["descriptors"][: back["count"]])
    assert np.median((theirs @ ours.T).max(axis=1)) > 0.98


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000, 3), (5000, 1), (15, 15, 3), (1200, 3)])
def test_any_shape_has_a_record(shape: tuple[int, ...]) -> None:
    record = keypoints(np.zeros(shape, np.uint8))
    assert record["count"] == 0
    assert grey_of(record).size <= SIDE * SIDE
    assert align(record, record) == Alignment()


def test_what_another_process_says_is_checked(originals: list[Any]) -> None:
    good = keypoints(originals[0])
    assert read_record(good.tobytes()) == good
    for field, value in (("count", MOST + 1), ("height", 0), ("width", 60000)):
        bad = good.copy()
        bad[field] = value
        with pytest.raises(ValueError, match="sense"):
            read_record(bad.tobytes())
    bad = good.copy()
    bad["points"][0, 0] = np.nan
    with pytest.raises(ValueError, match="sense"):
        read_record(bad.tobytes())
    with pytest.raises(ValueError, match=r"length|multiple|size"):
        read_record(good.tobytes()[:-1])


def test_size_is_refused_or_decided() -> None:
    with pytest.raises(InvalidInput) as caught:
        check_size(MOST_IMAGES + 1)
    assert caught.value.code == "too_many_for_thorough"
    auto = IntakeOptions(near_duplicates="auto", existing=thorough.AUTO_IMAGES - 5)
    assert (auto.search(5), auto.search(6)) == ("thorough", "fast")
    with pytest.raises(InvalidInput):
        IntakeOptions(near_duplicates="thorough", existing=MOST_IMAGES).search(1)


def archive(folder: Path, name: str, images: dict[str, Any]) -> Path:
    return zipped(folder / name, {n: encoded(pixels, "PNG") for n, pixels in images.items()})


def test_import_groups_a_crop_with_its_source(tmp_path: Path, originals: list[Any]) -> None:
    crop = crop_corner(originals[0], np.random.default_rng(1))
    images = {f"nv/{n}.png": image for n, image in enumerate(originals)} | {"nv/crop.png": crop}
    source = archive(tmp_path, "a.zip", images)
    for search, groups in (("thorough", COUNT), ("fast", COUNT + 1)):
        intake = taken(source, near_duplicates=search)
        assert intake.info["groups"] == groups
        assert intake.info["near_search"] == search
        assert ("aligned_threshold" in intake.info) == (search == "thorough")


def test_append_searches_as_the_archive_was_searched(tmp_path: Path, originals: list[Any]) -> None:
    blobs = Blobs()
    first = {f"nv/{n}.png": image for n, image in enumerate(originals)}
    old = taken(archive(tmp_path, "a.zip", first), blobs).records
    turned = turn(originals[2], np.random.default_rng(2))
    source = archive(tmp_path, "b.zip", {"nv/turned.png": turned, "nv/new.png": lesion(99)})
    for search, together in (("thorough", True), ("fast", False)):
        more = taken(source, blobs, near_duplicates=search)
        merged = append(old, more, lambda sha256: decode(blobs[sha256]))
        by_name = {r.filename: r for r in merged.records}
        same = by_name["nv/turned.png"].group_ids == by_name["nv/2.png"].group_ids
        assert same == together
        assert by_name["nv/new.png"].group_ids != by_name["nv/turned.png"].group_ids


def test_a_fast_search_that_nobody_asked_for_says_so(
    tmp_path: Path, originals: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = archive(tmp_path, "a.zip", {"nv/0.png": originals[0], "nv/1.png": originals[1]})
    monkeypatch.setattr(intake_module, "AUTO_IMAGES", 1)
    told = taken(source, near_duplicates="auto").warnings
    assert any(w.startswith("near_duplicates_fast:") for w in told)
    asked = taken(source, near_duplicates="fast").warnings
    assert not any(w.startswith("near_duplicates_fast:") for w in asked)
