"""Splits share no group, keep the classes of both sides alike, and shrink without bias."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from core.quality.sides import Side, disjoint_sides, draw_splits, pairs, splits_of


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 1000), st.integers(1, 12), st.integers(1, 20))
def test_sides_share_no_group_and_have_the_same_classes(seed: int, groups: int, quota: int) -> None:
    rng = np.random.default_rng(seed)
    labels = [str(v) for v in rng.integers(0, 3, 50)]
    names = [f"g{v}" for v in rng.integers(0, groups, 50)]
    one, other = disjoint_sides(labels, names, {"0": quota, "1": quota}, rng)
    assert not {names[i] for i in one} & {names[i] for i in other}
    assert sorted(labels[i] for i in one) == sorted(labels[i] for i in other)
    assert all([labels[i] for i in one].count(label) <= quota for label in "01")
    assert "2" not in {labels[i] for i in one}
    assert len(set(one) | set(other)) == len(one) + len(other)


def test_sides_fill_their_quota_where_groups_are_single() -> None:
    labels, names = ["a"] * 20 + ["b"] * 10, [str(i) for i in range(30)]
    one, other = disjoint_sides(labels, names, {"a": 10, "b": 5}, np.random.default_rng(0))
    assert len(one) == len(other) == 15


def _side(classes: dict[str, int], prefix: str) -> Side:
    labels = tuple(label for label, n in classes.items() for _ in range(n))
    groups = tuple((f"{prefix}{i}",) for i in range(len(labels)))
    return Side(np.zeros((len(labels), 2), np.float32), labels, groups)


def test_fewer_images_keep_the_mix_of_classes() -> None:
    pair = pairs(_side({"a": 400, "b": 200}, "r"), _side({"a": 400, "b": 200}, "s"))[0]
    one, other, made = splits_of(pair, most=90).draw(np.random.default_rng(0))
    for side, rows in ((pair.real, one), (pair.real, other), (pair.synthetic, made)):
        assert Counter(side.labels[i] for i in rows) == {"a": 60, "b": 30}


def test_drawn_splits_differ_and_tell_their_size() -> None:
    pair = pairs(_side({"a": 60}, "r"), _side({"a": 25}, "s"))[0]
    drawn = draw_splits(pair, np.random.default_rng(0))
    assert drawn.n == 25
    assert len({tuple(sorted(one)) for one, _, _ in drawn.splits}) > 1
    assert [x.shape for x in next(drawn.features())] == [(25, 2)] * 3


def test_overlapping_sets_of_groups_stay_on_one_side() -> None:
    """A chain of images that share a group with the next one is one group."""
    chain = tuple((f"g{i}", f"g{i + 1}") for i in range(10))
    side = Side(
        np.zeros((30, 2), np.float32), ("a",) * 30, (*chain, *(((f"s{i}",)) for i in range(20)))
    )
    names = side.groups()
    assert len(set(names)) == 21
    one, other = disjoint_sides(side.labels, names, {"a": 15}, np.random.default_rng(1))
    held = [{g for i in rows for g in side.group_ids[i]} for rows in (one, other)]
    assert held[0].isdisjoint(held[1])
