"""Rows of Frechet and kernel distances: equal n, equal mix, references apart from parents."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from core.quality.distances import Side, Splits, frechet_row, kernel_row, pairs, splits_of


def _side(
    classes: dict[str, int], prefix: str, seed: int, *, shift: float = 0.0, d: int = 4
) -> Side:
    labels = tuple(label for label, n in classes.items() for _ in range(n))
    rng = np.random.default_rng(seed)
    matrix = rng.normal(shift, 1, (len(labels), d)).astype(np.float32)
    return Side(matrix, labels, tuple((f"{prefix}{i}",) for i in range(len(labels))))


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_overall_has_the_same_mix_on_both_sides() -> None:
    found = pairs(_side({"a": 100, "b": 60, "c": 9}, "r", 1), _side({"a": 50, "b": 200}, "s", 2))
    assert [p.label for p in found] == [None, "a", "b"]
    one, other, made = Splits(found[0], apart=False).draw(_rng())
    real, synthetic = found[0].real.labels, found[0].synthetic.labels
    expected = Counter({"a": 50, "b": 30})
    assert Counter(real[i] for i in one) == Counter(real[i] for i in other) == expected
    assert Counter(synthetic[i] for i in made) == expected


def test_reference_leaves_parents_out_when_enough_are_left() -> None:
    real = _side({"a": 200}, "r", 1)
    made = _side({"a": 60}, "r", 2)  # children of the first 60
    (overall, pair) = pairs(real, made)
    assert not pair.contains_parents
    assert not overall.contains_parents
    assert {g for groups in pair.real.group_ids for g in groups}.isdisjoint(
        g for groups in made.group_ids for g in groups
    )


def test_parents_are_put_on_the_other_side() -> None:
    (_, pair) = pairs(_side({"a": 100}, "r", 1), _side({"a": 100}, "r", 2))
    assert pair.contains_parents
    splits = splits_of(pair)
    assert splits.apart
    one, other, made = splits.draw(_rng())
    reference = {pair.real.group_ids[i] for i in one}
    assert reference.isdisjoint(pair.synthetic.group_ids[i] for i in made)
    assert len(one) == len(other) == len(made) >= 45
    assert frechet_row(pair, "net", _rng()).reference_contains_parents is False


def test_when_all_have_all_parents_the_row_says_so() -> None:
    real = _side({"a": 100}, "r", 1)
    everybody = tuple(g[0] for g in real.group_ids)
    made = Side(_side({"a": 100}, "s", 2).features, ("a",) * 100, (everybody,) * 100)
    (_, pair) = pairs(real, made)
    for row_of in (frechet_row, kernel_row):
        row = row_of(pair, "net", _rng())
        assert row.value is not None
        assert row.reference_contains_parents is True


@pytest.mark.parametrize("row_of", [frechet_row, kernel_row])
def test_few_images_give_no_number(row_of) -> None:  # type: ignore[no-untyped-def]
    (_, pair) = pairs(_side({"a": 100}, "r", 1), _side({"a": 19}, "s", 2))
    row = row_of(pair, "net", _rng())
    assert (row.value, row.estimable) == (None, False)
    assert "at least 20" in str(row.reason)


def test_n_below_the_dimension_is_not_estimable() -> None:
    real, made = _side({"a": 80}, "r", 1, d=64), _side({"a": 80}, "s", 2, d=64)
    row = frechet_row(pairs(real, made)[1], "net", _rng())
    assert (row.metric, row.n, row.estimable) == ("fd_net", 40, False)
    assert row.value is not None
    assert row.floor is not None
    assert "64 features" in str(row.reason)


def test_same_distribution_lies_at_the_floor_and_a_shift_above() -> None:
    real = _side({"a": 120, "b": 120}, "r", 1)
    same, far = (_side({"a": 120, "b": 120}, "s", 2, shift=s) for s in (0.0, 1.5))
    near, away = (frechet_row(pairs(real, made)[0], "net", _rng()) for made in (same, far))
    assert near.estimable
    assert near.ratio is not None
    assert near.ratio < 2.5
    assert away.ratio is not None
    assert away.ratio > 10
    kid_near, kid_away = (kernel_row(pairs(real, m)[0], "net", _rng()) for m in (same, far))
    assert kid_near.interval is not None
    assert kid_near.interval[0] < 0 < kid_near.interval[1]
    assert kid_away.interval is not None
    assert kid_away.interval[0] > 0
    assert abs(kid_away.floor or 0) < 0.2 * (kid_away.value or 0)


def test_no_shared_class_no_rows() -> None:
    assert pairs(_side({"a": 30}, "r", 1), _side({"b": 30}, "s", 2)) == []


def test_same_seed_same_row() -> None:
    pair = pairs(_side({"a": 80}, "r", 1), _side({"a": 80}, "r", 2))[0]
    assert frechet_row(pair, "net", _rng()) == frechet_row(pair, "net", _rng())
    assert kernel_row(pair, "net", _rng()) == kernel_row(pair, "net", _rng())
