from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from core.ingest.groups import (
    UnionFind,
    connect,
    group_basis,
    group_id,
    large_group_warning,
    largest_group,
    metadata_keys,
)

JOINS = st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=60)


@given(JOINS)
def test_sets_are_the_connected_components(joins: list[tuple[int, int]]) -> None:
    union = UnionFind(30)
    for first, second in joins:
        union.union(first, second)
    reached = {n: {n} for n in range(30)}
    for _ in range(30):
        for first, second in joins:
            both = reached[first] | reached[second]
            for member in both:
                reached[member] = reached[member] | both
    assert {frozenset(s) for s in union.sets()} == {frozenset(s) for s in reached.values()}


@given(JOINS, st.randoms())
def test_order_of_joins_does_not_matter(joins: list[tuple[int, int]], rng: Any) -> None:
    shuffled = list(joins)
    rng.shuffle(shuffled)
    assert connect([[]] * 30, joins).sets() == connect([[]] * 30, shuffled).sets()


def test_shared_keys_join() -> None:
    keys = [["a"], ["b"], ["a", "c"], ["c"], []]
    assert connect(keys, [(1, 4)]).sets() == [[0, 2, 3], [1, 4]]


def test_lesions_count_within_their_patient() -> None:
    one = metadata_keys({"patient_id": "1", "lesion_id": "1"}, "x")
    two = metadata_keys({"patient_id": "2", "lesion_id": "1"}, "y")
    assert not set(one) & set(two)
    assert set(metadata_keys({"lesion_id": "1"}, "x")) & set(metadata_keys({"lesion_id": "1"}, "y"))


@given(st.lists(st.text(), min_size=1, max_size=8), st.randoms())
def test_group_id_depends_on_members_alone(members: list[str], rng: Any) -> None:
    name = group_id(members)
    rng.shuffle(members)
    assert group_id(members) == name
    assert re.fullmatch("grp_[0-9a-z]{26}", name)
    assert group_id([*members, "\U0001f600 another"]) != name


def test_basis_is_what_most_images_name() -> None:
    assert group_basis([{"patient_id": "1"}] * 3 + [{}]) == ("patient", 1)
    assert group_basis([{"lesion_id": "1"}, {"lesion_id": "2"}]) == ("lesion", 0)
    assert group_basis([{"lesion_id": "1"}, {}, {}]) == ("image", 0)
    assert group_basis([{"group": "1"}], "PatientNumber") == ("patient", 0)
    assert group_basis([{"group": "1"}], "session") == ("lesion", 0)


def test_large_groups_are_warned_of() -> None:
    groups, labels = ["a"] * 2 + [f"g{i}" for i in range(18)], ["nv"] * 20
    largest = largest_group(groups, labels)
    assert largest is not None
    assert (largest.group_id, largest.size, largest.share) == ("a", 2, 0.1)
    assert len(large_group_warning(largest)) == 1
    assert large_group_warning(largest_group([f"g{i}" for i in range(3)], ["nv"] * 3)) == []
    assert largest_group([], []) is None
