"""Every arm trains on what its definition says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import UnknownName
from core.learning.arms import (
    COPY_VIEW,
    NOISE_VIEW,
    Side,
    compose,
    parse_arm,
    parse_arms,
    ratio_arm,
    usable_synthetic,
)


def side(real: list[int], made: list[int]) -> Side:
    """Three classes with these counts; real rows start at 100, class 0 is the largest."""
    labels = np.repeat(np.arange(3), real)
    made_labels = np.repeat(np.arange(3), made)
    return Side(
        real=np.arange(100, 100 + len(labels)),
        real_labels=labels,
        synthetic=np.arange(len(made_labels)),
        synthetic_labels=made_labels,
        weak=np.array([False, True, True]),
    )


def counts(arm: str, of: Side) -> list[int]:
    training = compose(parse_arm(arm), of, np.random.default_rng(0))
    assert len(training.real) == len(training.dihedral)
    assert len(training.labels) == len(training.real) + len(training.synthetic)
    return np.bincount(training.labels, minlength=3).tolist()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 12), min_size=3, max_size=3),
    st.lists(st.integers(0, 60), min_size=3, max_size=3),
)
def test_oversample_and_augment_match_combined(real: list[int], made: list[int]) -> None:
    here = side(real, made)
    expected = [r + m for r, m in zip(real, made, strict=True)]
    assert counts("combined", here) == expected
    assert counts("oversample", here) == expected
    assert counts("augment", here) == expected


def test_oversample_repeats_evenly_and_turns_nothing() -> None:
    training = compose(
        parse_arm("oversample"), side([9, 3, 1], [0, 7, 0]), np.random.default_rng(1)
    )
    assert not training.dihedral.any()
    repeats = np.bincount(training.real)[109:112]
    assert sorted(repeats.tolist()) == [3, 3, 4]


def test_augment_uses_each_turn_before_it_repeats_one() -> None:
    training = compose(parse_arm("augment"), side([9, 2, 1], [0, 14, 0]), np.random.default_rng(1))
    added = list(zip(training.real[12:].tolist(), training.dihedral[12:].tolist(), strict=True))
    assert len(set(added)) == 14
    assert {turn for _, turn in added} == set(range(1, 8))
    assert not training.dihedral[:12].any()


def test_real_arms_see_no_synthetic_image() -> None:
    for arm in ("real", "class_weight", "logit_adjust", "oversample", "augment"):
        training = compose(parse_arm(arm), side([9, 3, 1], [2, 7, 5]), np.random.default_rng(0))
        assert not len(training.synthetic)


def test_synthetic_arm_sees_no_real_image() -> None:
    training = compose(parse_arm("synthetic"), side([9, 3, 1], [0, 7, 5]), np.random.default_rng(0))
    assert not len(training.real)
    assert np.bincount(training.labels, minlength=3).tolist() == [0, 7, 5]


def test_weights_balance_the_classes() -> None:
    training = compose(
        parse_arm("class_weight"), side([8, 3, 1], [0] * 3), np.random.default_rng(0)
    )
    assert training.weights is not None
    sums = np.bincount(training.labels, weights=training.weights)
    assert np.allclose(sums, sums.mean())
    assert training.weights.sum() == pytest.approx(12)


def test_logit_adjust_carries_the_training_shares() -> None:
    training = compose(
        parse_arm("logit_adjust"), side([8, 3, 1], [0] * 3), np.random.default_rng(0)
    )
    assert training.priors is not None
    assert training.priors.tolist() == pytest.approx([8 / 12, 3 / 12, 1 / 12])


def test_ratio_counts_per_real_image_of_weak_classes_and_tells_shortfalls() -> None:
    here = side([9, 4, 2], [20, 20, 3])
    training = compose(parse_arm("combined_r2"), here, np.random.default_rng(0))
    assert np.bincount(training.labels, minlength=3).tolist() == [9, 12, 5]
    assert training.shortfalls == {2: 1}
    assert len(set(training.synthetic.tolist())) == len(training.synthetic)


def test_a_class_without_real_images_cannot_be_repeated_and_is_told() -> None:
    training = compose(
        parse_arm("oversample"), side([9, 0, 2], [0, 4, 0]), np.random.default_rng(0)
    )
    assert training.shortfalls == {1: 4}


def test_unknown_arm_lists_close_matches() -> None:
    with pytest.raises(UnknownName) as caught:
        parse_arm("combinde", "/arms/0")
    assert caught.value.code == "unknown_arm"
    assert "combined" in caught.value.extra["close_matches"]


@pytest.mark.parametrize("arm", ["combined_r0", "combined_r", "combined_r1.0", "combined_r1000"])
def test_ratios_have_one_spelling_and_bounds(arm: str) -> None:
    with pytest.raises(UnknownName):
        parse_arm(arm)


def test_arms_are_listed_once() -> None:
    arms = parse_arms(["real", "combined_r2", "real"], [2.0, 0.5])
    assert [a.id for a in arms] == ["real", "combined_r2", "combined_r0.5"]
    assert ratio_arm(20.0) == "combined_r20"


def test_synthetic_images_need_all_their_groups_on_the_training_side() -> None:
    ids = [("g1",), ("g1", "g2"), ("g1", "g3"), (), ("elsewhere",)]
    assert usable_synthetic(ids, {"g1", "g2"}) == [0, 1, 3]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 12), min_size=3, max_size=3),
    st.lists(st.integers(0, 60), min_size=3, max_size=3),
)
def test_controls_have_the_images_of_combined_without_their_labels_or_pixels(
    real: list[int], made: list[int]
) -> None:
    of = side(real, made)
    combined, shuffled, noise = (
        compose(parse_arm(arm), of, np.random.default_rng(0))
        for arm in ("combined", "control_shuffled", "control_noise")
    )
    cut = len(combined.real)
    for control in (shuffled, noise):
        assert control.real.tolist() == combined.real.tolist()
        assert control.synthetic.tolist() == combined.synthetic.tolist()
        assert np.bincount(control.labels).tolist() == np.bincount(combined.labels).tolist()
        assert control.labels[:cut].tolist() == combined.labels[:cut].tolist()
    assert [t.synthetic_view for t in (combined, shuffled, noise)] == [0, 0, NOISE_VIEW]
    assert noise.labels.tolist() == combined.labels.tolist()


def test_shuffled_labels_are_others() -> None:
    of = side([5, 5, 5], [0, 30, 30])
    shuffled = compose(parse_arm("control_shuffled"), of, np.random.default_rng(0))
    assert 15 < (shuffled.labels[15:] != of.synthetic_labels).sum() < 45


def test_the_copycat_trains_on_what_passed_the_gate_and_on_nothing_else() -> None:
    of = side([9, 4, 2], [0, 20, 3])
    here = replace(of, copies=np.array([23, 24, 25]), copy_labels=np.array([1, 2, 2]))
    copied = compose(parse_arm("control_copycat"), here, np.random.default_rng(0))
    assert copied.synthetic.tolist() == [23, 24, 25]
    assert np.bincount(copied.labels).tolist() == [9, 5, 4]
    assert copied.synthetic_view == COPY_VIEW
    bare = compose(parse_arm("control_copycat"), of, np.random.default_rng(0))
    assert bare.synthetic.tolist() == []
    assert np.bincount(bare.labels).tolist() == [9, 4, 2]
