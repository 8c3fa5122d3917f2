"""Ranges hold every missing image once, and no more than a shard's size."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from core.features.extract import FeatureItem
from core.features.shards import plan_shards


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 9))
def test_ranges_cover_what_is_missing(absent: list[bool], size: int) -> None:
    items = [FeatureItem(f"{i:064x}") for i in range(len(absent))]
    missing = [item for item, gone in zip(items, absent, strict=True) if gone]
    ranges = plan_shards(items, missing, size)
    inside = [[i for i in items[start:stop] if i in missing] for start, stop in ranges]
    assert [i for part in inside for i in part] == missing
    assert all(1 <= len(part) <= size for part in inside)
    assert all(a[1] <= b[0] for a, b in pairwise(ranges))
