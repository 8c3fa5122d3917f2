"""Subgroups abstain below the minimum, and caveats are read off the metadata."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.learning.caveats import cannot_exclude
from core.learning.cohort import cohort
from core.learning.comparison import Question
from core.learning.predictions import Predictions
from core.learning.subgroups import MAX_LEVELS, subgroup_member
from tests.unit.learning.made_up import record

QUESTION = Question(("a", "b", "c"), "lr", (), augmented=False, seed=0)


def predictions(per_class: tuple[int, ...], right: tuple[float, float]) -> Predictions:
    """real and combined decide right with these shares, else for the next class."""
    labels = np.repeat(np.arange(3), per_class)
    dice = np.random.default_rng(0).random(len(labels))
    decided = np.stack([np.where(dice < share, labels, (labels + 1) % 3) for share in right])
    return Predictions(
        classes=QUESTION.classes,
        labels=labels,
        groups=np.arange(len(labels)),
        seeds=(0,),
        folds=np.zeros((1, len(labels)), dtype=np.int64),
        models=(("real", "lr"), ("combined", "lr")),
        probabilities=np.eye(3, dtype=np.float32)[decided][:, None],
    )


def test_each_value_is_judged_on_its_own_images() -> None:
    found = predictions((60, 60, 60), (0.5, 0.9))
    metadata: list[dict[str, Any]] = [{"sex": ("female", "male")[i % 2]} for i in range(180)]
    rows = {r["level"]: r for r in subgroup_member(found, metadata, QUESTION)}
    assert set(rows) == {"female", "male"}
    for row in rows.values():
        assert (row["n_images"], row["n_groups"], row["classes"]) == (90, 90, ["a", "b", "c"])
        low, high = row["interval"]
        assert 0 < low < row["difference"] < high
        assert row["difference"] == pytest.approx(row["combined"] - row["real"])
    even = found.labels[::2] == found.decisions(1)[0, ::2]
    recall = [even[found.labels[::2] == c].mean() for c in range(3)]
    assert rows["female"]["combined"] == pytest.approx(np.mean(recall))


def test_small_classes_leave_a_subgroup_and_too_few_classes_abstain() -> None:
    found = predictions((40, 40, 10), (0.5, 0.9))
    row = subgroup_member(found, [{"dx_type": "histo"}] * 90, QUESTION)[0]
    assert row["classes"] == ["a", "b"]
    assert row["reason"] is None
    found = predictions((40, 19, 10), (0.5, 0.9))
    row = subgroup_member(found, [{"dx_type": "histo"}] * 69, QUESTION)[0]
    assert row["difference"] is None
    assert row["interval"] is None
    assert row["reason"] == "fewer than two classes have 20 test groups here"
    assert row["n_images"] == 69


def test_ages_are_binned_and_what_is_unknown_is_in_no_row() -> None:
    ages: list[dict[str, Any]] = [{"age": v} for v in (0, 19.5, 20, 79, 80, 130)] + [{}]
    impossible = [-1, 131, float("nan"), float("inf"), True, "40"]
    found, ages = predictions((6, 4, 3), (0.5, 0.9)), ages + [{"age": v} for v in impossible]
    rows = {r["level"]: r["n_images"] for r in subgroup_member(found, ages, QUESTION)}
    assert rows == {"0 to 19": 2, "20 to 39": 1, "60 to 79": 1, "80 and older": 2}


def test_many_values_are_counted_not_dropped() -> None:
    found = predictions((20, 20, 20), (0.5, 0.9))
    sites: list[dict[str, Any]] = [{"localization": f"site {i}"} for i in range(60)]
    rows = subgroup_member(found, sites, QUESTION)
    assert len(rows) == MAX_LEVELS + 1
    assert sum(r["n_images"] for r in rows) == 60
    assert rows[-1]["level"] == f"{60 - MAX_LEVELS} further values"


def test_an_acquisition_shortcut_is_told() -> None:
    """As in HAM10000: every follow-up image is a naevus, and no patient is named."""
    kinds = [("nv", "follow_up")] * 25 + [("nv", "histo")] * 25 + [("mel", "histo")] * 9
    records = [
        record(f"{label}{i}", label, f"{label}{i}", metadata={"dx_type": how})
        for i, (label, how) in enumerate(kinds)
    ]
    told = " ".join(cannot_exclude(cohort(records)))
    assert "All 25 images with dx_type “follow_up” are of the class “nv”" in told
    assert "histo" not in told
    assert "No image names its patient" in told
    assert "skin type of 59 of 59" in told


def test_what_is_known_needs_no_caveat() -> None:
    records = [
        record(f"{c}{i}", c, f"{c}{i}", metadata={"patient_id": f"{c}{i}", "fitzpatrick": i % 6})
        for c in "ab"
        for i in range(30)
    ]
    told = cannot_exclude(cohort(records))
    assert len(told) == 1
    assert "other hospitals" in told[0]
