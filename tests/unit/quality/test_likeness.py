"""SSIM rows: what has no single parent is left out and counted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from core.manifest import ImageRecord
from core.quality import likeness as module
from core.quality.likeness import Measure, likeness
from core.quality.rows import QualityRow
from core.quality.similarity import ms_ssim, ssim

MEASURES = [Measure("ssim", ssim, "11 pixels"), Measure("ms_ssim", ms_ssim, "176 pixels")]
_pixels: dict[str, np.ndarray] = {}


def _picture(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (40, 40), interpolation=cv2.INTER_CUBIC))


def _record(name: str, pixels: np.ndarray, **changes: Any) -> ImageRecord:
    _pixels[name] = pixels
    record = ImageRecord(
        image_id=name,
        filename=name,
        label="a",
        sha256=name,
        source_sha256=name,
        pixel_sha256=name,
        width=40,
        height=40,
        media_type="image/png",
        modality="rgb",
        split="train",
        source="real",
        group_ids=(name,),
    )
    return replace(record, **changes)


def _mirrored(n: int, label: str = "a") -> tuple[list[ImageRecord], list[ImageRecord]]:
    real = [_record(f"r{label}{i}", _picture(i), label=label) for i in range(n)]
    matrix = [[-1.0, 0, 39], [0, 1, 0], [0, 0, 1]]
    made = [
        _record(
            f"s{label}{i}",
            _picture(i)[:, ::-1],
            label=label,
            source="synthetic",
            group_ids=r.group_ids,
            parents=(r.image_id,),
            parent_sha256=(r.sha256,),
            provenance={"transform": matrix},
        )
        for i, r in enumerate(real)
    ]
    return real, made


def _rng(*key: int | str) -> np.random.Generator:
    return np.random.default_rng([ord(c) for c in repr(key)])


def _rows(real: list[ImageRecord], made: list[ImageRecord]) -> dict[Any, QualityRow]:
    found = likeness(real, made, MEASURES, _pixels.__getitem__, _rng)
    return {(row.metric, row.label): row for row in found.rows}


def test_aligned_raw_and_within() -> None:
    rows = _rows(*_mirrored(8))
    aligned, raw, within = (rows[f"ssim_{m}", "a"] for m in ("aligned", "raw", "within"))
    assert aligned.value == pytest.approx(1)
    assert raw.value is not None
    assert raw.value < 0.9
    assert raw.interval is not None
    assert raw.interval[0] <= raw.value <= raw.interval[1]
    assert within.n == 28
    assert within.floor == pytest.approx(within.value)
    assert (aligned.n, aligned.left_out) == (8, 0)


def test_images_without_parent_or_transform_are_counted() -> None:
    real, made = _mirrored(8)
    made[0] = replace(made[0], parent_sha256=("ra0", "ra1"), parents=("ra0", "ra1"))
    made[1] = replace(made[1], provenance={"transform": None})
    rows = _rows(real, made)
    assert (rows["ssim_aligned", "a"].n, rows["ssim_aligned", "a"].left_out) == (6, 2)
    assert (rows["ssim_raw", "a"].n, rows["ssim_raw", "a"].left_out) == (7, 1)


def test_nothing_to_compare_is_not_estimable() -> None:
    real, made = _mirrored(1)
    rows = _rows(real, [replace(made[0], parent_sha256=(), parents=())])
    assert {row.value for row in rows.values()} == {None}
    assert not any(row.estimable for row in rows.values())
    assert all(row.reason for row in rows.values())


def test_overall_weighs_classes_alike() -> None:
    real_a, made_a = _mirrored(6)
    real_b, made_b = _mirrored(3, "b")
    flat = [replace(m, sha256=f"flat{i}") for i, m in enumerate(made_b)]
    for record in flat:
        _pixels[record.sha256] = np.zeros((40, 40, 3), np.uint8)
    rows = _rows([*real_a, *real_b], [*made_a, *flat])
    one, other = rows["ssim_aligned", "a"].value, rows["ssim_aligned", "b"].value
    assert one is not None
    assert other is not None
    assert rows["ssim_aligned", None].value == pytest.approx((one + other) / 2)
    assert rows["ssim_aligned", None].interval is None  # three groups in class b


def test_large_classes_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PER_CLASS", 5)
    rows = _rows(*_mirrored(9))
    assert [rows[f"ssim_{m}", "a"].n for m in ("aligned", "raw", "within")] == [5, 5, 5]


def test_what_is_too_small_for_a_measure_is_left_out_of_that_one() -> None:
    rows = _rows(*_mirrored(8))
    small = rows["ms_ssim_raw", "a"]
    assert (small.value, small.estimable, small.n, small.left_out) == (None, False, 0, 8)
    assert "176 pixels" in str(small.reason)
    assert rows["ssim_raw", "a"].value is not None
    assert not rows["ms_ssim_within", None].estimable


def test_sources_that_share_groups_give_no_interval() -> None:
    real, made = _mirrored(8)
    chained = [replace(m, group_ids=(f"g{i}", f"g{i + 1}")) for i, m in enumerate(made)]
    row = _rows(real, chained)["ssim_raw", "a"]
    assert (row.interval, row.reason) == (None, "too few groups for an interval")


def test_no_images_no_rows_of_classes() -> None:
    rows = _rows([], [])
    assert {label for _, label in rows} == {None}
