"""The course project's protocol is repeated exactly and never called valid."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split

from core.learning.protocol import (
    LegacyTable,
    augment_counts,
    file_order,
    generate_counts,
    legacy_protocol,
)
from tests.unit.learning.made_up import record


def table(counts: dict[str, int]) -> LegacyTable:
    labels = [name for name, n in counts.items() for _ in range(n)]
    rng = np.random.default_rng(0)
    return LegacyTable(rng.normal(size=(len(labels), 5)).astype(np.float32), labels)


def run(counts: dict[str, int]) -> dict[str, object]:
    member = legacy_protocol({"real": table(counts)}, threads=1, real_is_augmented=False)
    assert member["valid"] is False
    return member["real"]  # type: ignore[no-any-return]


def test_it_is_the_same_split_and_forest() -> None:
    mine, given = run({"a": 40, "b": 25}), table({"a": 40, "b": 25})
    x_train, x_test, y_train, y_test = train_test_split(
        given.features, given.labels, test_size=0.2, stratify=given.labels, random_state=42
    )
    forest = RandomForestClassifier(n_estimators=100, random_state=42).fit(x_train, y_train)
    assert mine["accuracy"] == pytest.approx(accuracy_score(y_test, forest.predict(x_test)))


def test_a_class_of_one_image_is_left_out_by_name() -> None:
    row = run({"a": 20, "b": 20, "lonely": 1})
    assert row["left_out"] == ["lonely"]
    assert row["accuracy"] is not None
    assert row["images"] == 40


@pytest.mark.parametrize("counts", [{}, {"a": 9}, {"a": 9, "b": 1}, {"a": 2, "b": 2}])
def test_what_cannot_be_split_has_a_reason_and_no_score(counts: dict[str, int]) -> None:
    row = run(counts)
    assert row["accuracy"] is None
    assert row["reason"]


def test_published_numbers_stand_apart() -> None:
    member = legacy_protocol({}, threads=1, real_is_augmented=True)
    assert member["published"]["note"] == "published, not comparable"
    assert member["published"]["combined"] == 0.9412
    assert member["real_is_augmented"] is True


def test_counts_of_its_two_scripts() -> None:
    assert generate_counts(["b", "c"], 30) == {"b": 30, "c": 30}
    assert generate_counts(["b"], 0) == {}
    assert augment_counts({"a": 30, "b": 12, "c": 0}) == {"b": 18}


def test_images_are_read_as_folders_are() -> None:
    found = file_order([record("z", "a", "g"), record("b", "b", "g"), record("c", "a", "g")])
    assert [r.filename for r in found] == ["c.png", "z.png", "b.png"]
