"""What shares a group is drawn together, within its class."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.quality.resampling import group_draws, merged_groups, percentiles, ratio_interval

sets_of_groups = st.lists(st.sets(st.sampled_from("abcdefg"), max_size=3), max_size=12)


@settings(deadline=None, max_examples=50)
@given(sets_of_groups)
def test_images_are_joined_when_a_chain_of_groups_connects_them(sets: list[set[str]]) -> None:
    names = merged_groups([sorted(s) for s in sets])
    for i, one in enumerate(sets):
        reached, grown = set(one), True
        while grown:
            grown = False
            for other in sets:
                if reached & other and not other <= reached:
                    reached |= other
                    grown = True
        for j, other in enumerate(sets):
            assert (names[i] == names[j]) == (i == j or bool(reached & other))


def test_draws_keep_groups_whole_and_classes_apart() -> None:
    groups = [str(i // 2) for i in range(40)]
    strata = ["a"] * 20 + ["b"] * 20
    draws = group_draws(groups, strata, np.random.default_rng(0), draws=120)
    assert draws is not None
    assert draws.shape == (120, 40)
    assert (draws[:, ::2] == draws[:, 1::2]).all()
    assert (draws[:, :20].sum(axis=1) == 20).all()
    assert (draws[:, 20:].sum(axis=1) == 20).all()
    assert draws.std(axis=0).min() > 0


def test_few_groups_of_a_class_give_no_draws() -> None:
    groups, strata = [str(i) for i in range(9)], ["a"] * 5 + ["b"] * 4
    rng = np.random.default_rng(0)
    assert group_draws(groups, strata, rng) is None
    assert group_draws(groups[:5], strata[:5], rng) is not None


def test_interval_of_a_mean_is_that_of_the_normal_law() -> None:
    values = np.random.default_rng(1).normal(3, 1, 400)
    draws = group_draws([str(i) for i in range(400)], ["a"] * 400, np.random.default_rng(2))
    low, high = ratio_interval(values, np.ones(400), draws) or (0, 0)
    assert low == pytest.approx(values.mean() - 1.96 * values.std() / 20, abs=0.02)
    assert high == pytest.approx(values.mean() + 1.96 * values.std() / 20, abs=0.02)
    assert ratio_interval(values, np.ones(400), None) is None


def test_replicates_that_are_not_numbers_do_not_count() -> None:
    assert percentiles(np.array([np.nan, 1.0, 1.0])) == (1.0, 1.0)
    assert percentiles(np.array([np.nan])) is None
