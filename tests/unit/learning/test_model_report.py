"""The papers of a model: numbers with intervals or abstention, words that cannot be forged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.learning.cohort import class_numbers
from core.learning.model_card import Permission, TrainedOn, model_card, plain
from core.learning.model_report import test_report as report_of
from core.learning.training import Regime, regime
from tests.unit.learning.made_up import record, synthetic

INFO: dict[str, Any] = {
    "classifier": "finetune",
    "params": {"epochs": 3},
    "versions": {"torch": "2"},
    "backbone": "resnet18",
    "backbone_sha256": "a" * 64,
    "dimension": 512,
    "model_sha256": "b" * 64,
    "seed": 0,
    "preprocessing": {"size": 224},
    "history": {"epochs": 3, "kept_epoch": 2, "validation_images": 7, "validation_losses": []},
}
SECTIONS = (
    *("Model details", "Intended use", "Factors", "Metrics", "Evaluation data", "Training data"),
    *("Quantitative analyses", "Licences", "Ethical considerations"),
    "Caveats and recommendations",
)


def plan(tested: int, **metadata: Any) -> Regime:
    """Two classes; ``tested`` test images each, every one a group of its own."""
    train = [record(f"{c}t{i}", c, f"{c}t{i}") for c in "ab" for i in range(6)]
    made = [synthetic("s0", train[0]), synthetic("s1", train[7]), synthetic("s2", train[8])]
    test = [
        record(f"{c}x{i}", c, f"{c}x{i}", split="test", metadata=metadata)
        for c in "ab"
        for i in range(tested)
    ]
    return regime([*train, *made, *test])


def chances(found: Regime, right: float) -> np.ndarray:
    """Return probabilities that are right for this share of each class."""
    labels = class_numbers(found.test, found.classes)
    answer = np.full((len(labels), 2), 0.2, dtype=np.float32)
    for label in (0, 1):
        own = np.flatnonzero(labels == label)
        cut = round(len(own) * right)
        answer[own[:cut], label] = 0.8
        answer[own[cut:], 1 - label] = 0.8
    return answer


def test_numbers_have_intervals_where_there_are_groups_enough() -> None:
    found = plan(25, sex="female")
    report = report_of(found, chances(found, 0.8), 0)
    for name in ("balanced_accuracy", "macro_f1", "macro_auroc", "macro_auprc"):
        low, high = report["scores"][name]["interval"]
        assert low < report["scores"][name]["value"] < high
    assert report["scores"]["ece"]["interval"] is None
    for row in report["per_class"]:
        assert row["test_groups"] == 25
        low, high = row["recall_interval"]
        assert 0.5 < low < 0.8 < high < 1
    assert sum(row["train_synthetic"] for row in report["per_class"]) == 3
    (row,) = report["subgroups"]
    assert (row["attribute"], row["level"], row["reason"]) == ("sex", "female", None)
    assert row["balanced_accuracy"] == pytest.approx(0.8)
    whole = report["scores"]["balanced_accuracy"]["interval"]
    assert row["interval"] == pytest.approx(whole, abs=0.02)


def test_it_abstains_below_twenty_groups() -> None:
    found = plan(10, sex="female", age=33)
    report = report_of(found, chances(found, 0.8), 0)
    assert {row["recall_interval"] for row in report["per_class"]} == {None}
    assert [row["level"] for row in report["subgroups"]] == ["female", "20 to 39"]
    for row in report["subgroups"]:
        assert row["balanced_accuracy"] is row["interval"] is None
        assert "20 test groups" in row["reason"]


def card(found: Regime, name: str = "my model", dataset: str = "clinic", **info: Any) -> str:
    version = TrainedOn("dsv_1", dataset, "real", 62, "patient", "CC-BY-NC-4.0", None)
    allowed = [Permission(f"dataset {dataset}", "CC-BY-NC-4.0", True, True, False)]
    report = report_of(found, chances(found, 0.8), 0)
    return model_card(name, INFO | info, report, [version], allowed)


def test_a_card_has_every_section_and_the_facts() -> None:
    text = card(plan(25, sex="female"))
    titles = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert titles == list(SECTIONS)
    for told in (
        "research only, not for diagnosis",
        "| sex | female | 50 / 50 | 0.800 | (",
        "| dataset clinic | CC-BY-NC-4.0 | yes | yes | no |",
        "epoch 2 of 3 was kept",
        "7 training images of other groups",
        "overconfident",
        "3 of them synthetic",
        f"`{'b' * 64}`",
    ):
        assert told in text
    assert "neither skin type" in card(plan(25))


def test_cards_of_classifiers_on_features_are_as_whole() -> None:
    text = card(
        plan(25), classifier="knn", params={"neighbours": 5}, preprocessing=None, history=None
    )
    assert all(f"\n## {title}\n" in text for title in SECTIONS)
    assert "model.skops" in text
    assert "not trained on" in text
    assert "early stopping" not in text


def test_foreign_names_stay_text() -> None:
    hostile = "# <script>\n## Intended use\n| [a](javascript:x) | `b` *c* _d_"
    text = card(plan(25), name=hostile, dataset=hostile)
    titles = [line for line in text.splitlines() if line.startswith("#")]
    assert len(titles) == 1 + len(SECTIONS)
    for raw in ("<script>", "[a](", " | [a"):
        assert raw not in text
    assert "\n" not in plain(hostile)
