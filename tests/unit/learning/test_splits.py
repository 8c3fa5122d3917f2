"""Splits keep groups whole, classes present, and do not depend on the order of the images."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InvalidInput
from core.learning.splits import (
    assign_splits,
    components,
    group_counts,
    grouped_folds,
    sparse_classes,
)

single_label_groups = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(1, 6)), min_size=1, max_size=40
)


def expand(spec: list[tuple[str, int]]) -> tuple[list[str], list[str]]:
    labels = [label for label, size in spec for _ in range(size)]
    groups = [f"g{i}" for i, (_, size) in enumerate(spec) for _ in range(size)]
    return labels, groups


@settings(max_examples=80, deadline=None)
@given(single_label_groups, st.integers(0, 5))
def test_groups_are_whole_and_classes_present(spec: list[tuple[str, int]], seed: int) -> None:
    labels, groups = expand(spec)
    splits = assign_splits(labels, groups, seed=seed)
    for group in set(groups):
        assert len({s for s, g in zip(splits, groups, strict=True) if g == group}) == 1
    for label, count in group_counts(labels, groups).items():
        seen = {s for s, name in zip(splits, labels, strict=True) if name == label}
        expected = {1: {"train"}, 2: {"train", "test"}}.get(count, {"train", "val", "test"})
        assert seen == expected


@settings(max_examples=40, deadline=None)
@given(single_label_groups, st.randoms(use_true_random=False))
def test_order_of_images_does_not_matter(spec: list[tuple[str, int]], random: object) -> None:
    labels, groups = expand(spec)
    order = list(range(len(labels)))
    random.shuffle(order)  # type: ignore[attr-defined]
    straight = assign_splits(labels, groups, seed=3)
    shuffled = assign_splits([labels[i] for i in order], [groups[i] for i in order], seed=3)
    assert [straight[i] for i in order] == shuffled


def test_fractions_are_met_in_every_class() -> None:
    labels = ["a"] * 200 + ["b"] * 40
    groups = [f"g{i}" for i in range(240)]
    splits = assign_splits(labels, groups, seed=1)
    assert Counter(splits[:200]) == {"train": 140, "val": 30, "test": 30}
    assert Counter(splits[200:]) == {"train": 28, "val": 6, "test": 6}


def test_seed_changes_the_split() -> None:
    labels, groups = ["a"] * 50, [f"g{i}" for i in range(50)]
    assert assign_splits(labels, groups, seed=1) != assign_splits(labels, groups, seed=2)


def test_images_tied_through_a_third_stay_together() -> None:
    groups = [["p1"], ["p1", "p2"], ["p2"], ["p3"]]
    assert components(groups) == ["p1", "p1", "p1", "p3"]
    splits = assign_splits(["a"] * 4, groups, seed=0)
    assert len(set(splits[:3])) == 1


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.sampled_from("pqrstuvw"), min_size=1, max_size=3), min_size=1))
def test_components_are_the_connected_ones(groups: list[list[str]]) -> None:
    names = components(groups)
    for i, first in enumerate(groups):
        for j, second in enumerate(groups):
            if set(first) & set(second):
                assert names[i] == names[j]
    assert all(
        name == min(g for n, ids in zip(names, groups, strict=True) if n == name for g in ids)
        for name in names
    )


def test_an_image_without_group_is_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        components([["a"], []])
    assert caught.value.code == "missing_group"


def test_bad_fractions_are_refused() -> None:
    with pytest.raises(InvalidInput):
        assign_splits(["a"], ["g"], fractions=(0.5, 0.4, 0.2))


def test_a_split_of_fraction_zero_stays_empty() -> None:
    labels, groups = ["a"] * 20, [f"g{i}" for i in range(20)]
    assert set(assign_splits(labels, groups, fractions=(0.8, 0.0, 0.2))) == {"train", "test"}


def test_folds_keep_groups_whole_and_cover_all() -> None:
    rng = np.random.default_rng(0)
    groups = [f"g{i}" for i in rng.integers(0, 60, 300)]
    labels = ["a" if int(g[1:]) % 3 else "b" for g in groups]
    folds = grouped_folds(labels, groups, 5, 7)
    assert set(folds.tolist()) == set(range(5))
    for group in set(groups):
        assert len({f for f, g in zip(folds.tolist(), groups, strict=True) if g == group}) == 1
    order = rng.permutation(300)
    again = grouped_folds([labels[i] for i in order], [groups[i] for i in order], 5, 7)
    assert (folds[order] == again).all()


def test_too_few_groups_is_a_typed_error() -> None:
    with pytest.raises(InvalidInput) as caught:
        grouped_folds(["a"] * 9 + ["b"] * 2, ["g1", "g2", "g3"] * 3 + ["g4", "g5"], 5, 0)
    assert caught.value.code == "too_few_groups"


def test_a_sparse_class_is_allowed_and_named() -> None:
    labels = ["a"] * 10 + ["b"] * 4
    groups = [f"g{i}" for i in range(10)] + ["h1", "h1", "h2", "h2"]
    folds = grouped_folds(labels, groups, 5, 0)
    assert len(set(folds[10:].tolist())) == 2
    assert sparse_classes(labels, groups, 5) == {"b": 2}


def test_importing_splits_does_not_import_sklearn() -> None:
    code = "import sys, core.learning.splits; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
