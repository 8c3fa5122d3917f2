"""What each arm trains on: nothing of a test group, nothing of a group that stops it early."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.errors import InvalidInput, LeakDetected
from core.learning.folds import fold_table
from core.learning.segmentation.arms import FoldData, masked_cohort, sides, steps_of, usable
from core.learning.segmentation.contract import ARMS
from core.manifest import ImageRecord
from tests.unit.jobs.inline import InlineRunner
from tests.unit.jobs.pictures import picture, record
from tests.unit.learning.segmentation.discs import dataset, synthetic

COUNTS = {"mole": 24, "scar": 16}


@pytest.fixture
def runner(tmp_path: Path) -> InlineRunner:
    return InlineRunner(tmp_path)


def folded(
    real: list[ImageRecord], made: list[ImageRecord], fold: int = 0, ratio: float | None = None
) -> FoldData:
    members, whole = masked_cohort(real)
    table = fold_table(members, design="cv", folds=4, repeats=1, seed=3)
    train, test = table.sides(3, fold)
    return FoldData(members, whole, train, test, made, ratio, 0.25, 3, fold)


def groups(records: object) -> set[str]:
    return {g for record in records for g in record.group_ids}  # type: ignore[attr-defined]


def test_no_arm_sees_a_group_that_is_tested_or_that_stops_it(runner: InlineRunner) -> None:
    real = dataset(runner, COUNTS)
    made = synthetic(runner, real)
    for fold in range(4):
        data = folded(real, made, fold)
        found = sides(data, ARMS)
        tested = groups(data.members.records[i] for i in data.test.tolist())
        assert list(found) == list(ARMS)
        for side in found.values():
            assert tested.isdisjoint(groups(side.records))
            kept = [r for r, h in zip(side.records, side.held, strict=True) if h]
            learned = [r for r, h in zip(side.records, side.held, strict=True) if not h]
            assert kept
            assert groups(kept).isdisjoint(groups(learned))
        both, alone = found["combined"], found["real"]
        assert both.records[: len(alone.records)] == alone.records
        assert not both.held[len(alone.records) :].any()
        assert {r.source for r in found["synthetic"].records} == {"synthetic"}
        assert steps_of(found, 8) == -(-int((~both.held).sum()) // 8)


def test_the_ratio_bounds_the_synthetic_images(runner: InlineRunner) -> None:
    real = dataset(runner, COUNTS)
    made = synthetic(runner, real) + synthetic(runner, real, start=9000)
    data = folded(real, made, ratio=0.5)
    assert len(sides(data, ["synthetic"])["synthetic"].records) == round(0.5 * len(data.train))
    whole = sides(folded(real, made), ["synthetic"])["synthetic"].records
    assert len(whole) == 2 * len(data.train)


def test_images_without_a_mask_tie_groups_and_may_be_parents(runner: InlineRunner) -> None:
    real = dataset(runner, COUNTS)
    bare = record(runner, picture(1), "mole", group_ids=("g-mole-0", "g-mole-1"))
    lone = record(runner, picture(2), "mole", group_ids=("alone",))
    members, whole = masked_cohort([*real, bare, lone])
    assert (len(members), len(whole)) == (40, 42)
    named = {r.image_id: g for r, g in zip(members.records, members.group_of, strict=True)}
    assert named[real[0].image_id] == named[real[2].image_id]
    assert len(np.unique(members.groups)) == members.groups.max() + 1 == 19
    made = synthetic(runner, [lone])
    assert len(usable(whole, made)) == 1
    for fold in range(4):
        data = folded([*real, bare, lone], made * 1 + synthetic(runner, real), fold)
        assert "alone" in groups(sides(data, ["synthetic"])["synthetic"].records)


def test_without_usable_synthetic_images_their_arms_have_no_side(runner: InlineRunner) -> None:
    real = dataset(runner, COUNTS)
    foreign = synthetic(runner, dataset(runner, {"mole": 6}, start=700))
    foreign = [replace(r, group_ids=(f"elsewhere-{i}",)) for i, r in enumerate(foreign)]
    assert list(sides(folded(real, foreign), ARMS)) == ["real"]


def test_a_hidden_tie_to_a_test_image_stops_everything(runner: InlineRunner) -> None:
    real = dataset(runner, COUNTS)
    data = folded(real, [])
    test = data.members.records[int(data.test[0])]
    copy = replace(synthetic(runner, [test])[0], group_ids=(), parents=(test.image_id,))
    with pytest.raises(LeakDetected, match=copy.image_id):
        sides(replace(data, synthetic=[copy, copy]), ARMS)


def test_a_version_without_masks_says_so(runner: InlineRunner) -> None:
    with pytest.raises(InvalidInput, match="masks") as caught:
        masked_cohort([record(runner, picture(i), "mole") for i in range(3)])
    assert caught.value.code == "no_masks"
