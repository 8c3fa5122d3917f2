"""Scores, intervals and the verdict of segmentation on counts that are known."""

from __future__ import annotations

from typing import Any

import jsonschema
import numpy as np
import pytest

from core.learning.segmentation.analysis import METRICS, analyse
from core.learning.segmentation.schema import PATH, json_schema, schema_text
from core.learning.segmentation.scores import MISSING, Scores, image_dice, image_iou
from core.learning.segmentation.verdict import segmentation_document

AREA = 1000
ARMS = ("real", "synthetic", "combined")


def scores(
    dice: dict[str, float], groups: int = 30, seeds: int = 2, seed: int = 0, spread: float = 0.04
) -> Scores:
    """Return two images a group, of two classes, whose Dice is about as asked for by arm."""
    rng = np.random.default_rng(seed)
    images = 2 * groups
    hard = rng.normal(0, spread, images)
    counts = np.full((len(ARMS), seeds, images, 4), MISSING, np.int64)
    for place, arm in enumerate(ARMS):
        if arm in dice:
            mean = dice[arm] + hard + rng.normal(0, 0.01, (seeds, images))
            hits = (AREA * mean.clip(0, 1)).round()
            counts[place] = np.stack([hits, AREA - hits, AREA - hits, 9 * AREA + 0 * hits], axis=-1)
    owner = np.arange(images) // 2
    return Scores(("mole", "scar"), owner % 2, owner, ARMS, counts)


def document(found: Scores, replicates: int = 400) -> dict[str, Any]:
    images = dict.fromkeys(
        ("real", "groups", "real_without_mask", "empty_masks", "full_masks", "synthetic",
         "synthetic_without_mask", "synthetic_unused", "synthetic_copies"), 0,
    )  # fmt: skip
    made = segmentation_document(
        analyse(found, replicates=replicates, seed=1),
        found.classes,
        found.arms,
        training={"real": 10.0},
        fold_table_sha256="0" * 64,
        images=images,
        settings={},
        warnings=[],
        cannot_exclude=[],
        seed=1,
    )
    jsonschema.validate(made, json_schema())
    return made


def test_the_committed_schema_is_up_to_date() -> None:
    assert PATH.read_text(encoding="utf-8") == schema_text()
    jsonschema.Draft202012Validator.check_schema(json_schema())


def test_estimates_are_means_over_images_and_shares_of_pixels() -> None:
    found = scores({"real": 0.7, "combined": 0.8})
    known = analyse(found, replicates=300, seed=0).arms["real"]
    counts = found.of("real")
    pooled = counts.sum(axis=1)
    by_hand = {
        "dice": image_dice(counts).mean(),
        "iou": image_iou(counts).mean(),
        "dice_pooled": image_dice(pooled).mean(),
        "iou_pooled": image_iou(pooled).mean(),
    }
    for metric in METRICS:
        assert known.value(metric) == pytest.approx(by_hand[metric])
        low, high = known.interval(metric)
        assert low < by_hand[metric] < high
    scar = found.labels == 1
    assert known.value("dice", 2) == pytest.approx(image_dice(counts[:, scar]).mean())


@pytest.mark.parametrize(
    ("combined", "verdict"), [(0.75, "helps"), (0.65, "hurts"), (0.7, "no_evidence")]
)
def test_the_verdict_follows_the_interval_of_dice(combined: float, verdict: str) -> None:
    found = document(scores({"real": 0.7, "combined": combined, "synthetic": 0.5}))
    primary = found["primary"]
    assert primary["verdict"] == verdict
    assert primary["difference"] == pytest.approx(combined - 0.7, abs=0.01)
    assert primary["smallest_detectable"] > 0
    pairs = [(d["arm"], d["comparator"], d["metric"]) for d in found["differences"]]
    assert pairs[0] == ("combined", "real", "dice")
    assert len(pairs) == 8
    # 15 groups a class: no verdict there, the overall one stands on 30
    assert {row["verdict"] for row in found["per_class"]} == {"not_estimable"}
    assert found["per_class"][0]["arms"]["real"]["dice"]["interval"] is None


def test_classes_with_enough_groups_get_a_verdict_after_holm() -> None:
    found = document(scores({"real": 0.7, "combined": 0.8}, groups=60))
    assert {row["verdict"] for row in found["per_class"]} == {"helps"}
    assert all(0 < row["p_holm"] < 0.05 for row in found["per_class"])


def test_few_groups_and_missing_arms_are_refused() -> None:
    few = document(scores({"real": 0.7, "combined": 0.9}, groups=19))
    assert few["primary"]["verdict"] == "not_estimable"
    assert "20 test groups" in few["primary"]["reason"]
    assert few["differences"] == []
    assert few["arms"][0]["scores"]["dice"]["interval"] is None
    alone = document(scores({"real": 0.7}))
    assert alone["primary"]["verdict"] == "not_estimable"
    assert [row["valid"] for row in alone["arms"]] == [True, False, False]


def test_arms_of_one_distribution_rarely_help() -> None:
    helped = 0
    for seed in range(60):
        found = scores({"real": 0.7, "combined": 0.7}, seed=seed, seeds=1)
        rng = np.random.default_rng([seed, 9])
        for arm in (0, 2):  # images differ between arms, by chance alone
            found.counts[arm, ..., 0] += rng.integers(-60, 61, found.counts.shape[2])
        helped += document(found, 200)["primary"]["verdict"] == "helps"
    assert helped <= 6  # 2.5 % expected; 7 of 60 has a chance below 1 in 1,000


def test_the_interval_covers_the_truth() -> None:
    covered = 0
    for seed in range(100):
        found = scores({"real": 0.6, "combined": 0.6}, groups=40, seed=seed, seeds=1)
        low, high = analyse(found, replicates=300, seed=seed).arms["real"].interval("dice")
        covered += low <= 0.6 <= high
    assert 88 <= covered <= 99
