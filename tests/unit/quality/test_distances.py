"""Rows of Frechet and kernel distances: equal n, equal mix, references apart from parents."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from core.quality import distances
from core.quality.distances import frechet_rows, infinity_rows, kernel_rows
from core.quality.rows import QualityRow
from core.quality.sides import Pair, Side, Splits, pairs, splits_of


def _side(
    classes: dict[str, int], prefix: str, seed: int, *, shift: float = 0.0, d: int = 4
) -> Side:
    labels = tuple(label for label, n in classes.items() for _ in range(n))
    rng = np.random.default_rng(seed)
    matrix = rng.normal(shift, 1, (len(labels), d)).astype(np.float32)
    return Side(matrix, labels, tuple((f"{prefix}{i}",) for i in range(len(labels))))


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def frechet_row(pair: Pair, backbone: str, rng: np.random.Generator) -> QualityRow:
    return frechet_rows(pair, backbone, rng)[0]


def kernel_row(pair: Pair, backbone: str, rng: np.random.Generator) -> QualityRow:
    return kernel_rows(pair, backbone, rng)[0]


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


def test_fid_is_the_name_of_one_backbone_only() -> None:
    pair = pairs(_side({"a": 80}, "r", 1), _side({"a": 80}, "s", 2))[0]
    assert frechet_row(pair, "inception_fid", _rng()).metric == "fid"
    assert frechet_row(pair, "inception", _rng()).metric == "fd_inception"
    assert kernel_row(pair, "inception_fid", _rng()).metric == "kid_inception_fid"


def test_kernel_floor_has_the_n_of_its_value_and_the_mix_of_all_classes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(distances, "MOST_KERNEL_IMAGES", 60)
    sizes: set[tuple[int, int]] = set()
    means: set[int] = set()
    plain = distances.kernel.across

    def watched(x: np.ndarray, y: np.ndarray, *draws: object) -> np.ndarray:
        sizes.add((len(x), len(y)))
        means.update((round(float(x[:, 3].sum())), round(float(y[:, 3].sum()))))
        return plain(x, y, *draws)  # type: ignore[arg-type]

    monkeypatch.setattr(distances.kernel, "across", watched)
    sides = [_side({"a": 200, "b": 100}, name, seed) for seed, name in enumerate("rs")]
    for side in sides:
        side.features[:, 3] = [label == "b" for label in side.labels]
    row = kernel_row(pairs(*sides)[0], "net", _rng())
    assert (row.n, sizes, means) == (60, {(60, 60)}, {20})


def test_synthetic_images_that_share_parents_have_no_interval() -> None:
    """Every image shares a parent with the next one: one group, whatever the sets are called."""
    real, made = _side({"a": 300}, "r", 1), _side({"a": 60}, "s", 2)
    chain = tuple((f"x{i}", f"x{i + 1}") for i in range(60))
    row = kernel_row(pairs(real, Side(made.features, made.labels, chain))[0], "net", _rng())
    assert (row.interval, row.reason) == (None, "too few groups for an interval")
    assert kernel_row(pairs(real, made)[0], "net", _rng()).interval is not None


def test_kernel_interval_covers_the_truth() -> None:
    """The true distance of N(0, 1) and N(0.5, 1), from a large sample, in most intervals."""
    rng = np.random.default_rng(4)
    far = rng.normal(0.5, 1, size=(3000, 2))
    truth = distances.kernel.kernel_distance(rng.normal(size=(3000, 2)), far)[0]
    inside = 0
    for seed in range(16):
        real = _side({"a": 120}, "r", 2 * seed + 100, d=2)
        made = _side({"a": 60}, "s", 2 * seed + 101, d=2, shift=0.5)
        low, high = kernel_row(pairs(real, made)[1], "net", _rng()).interval or (0, 0)
        inside += low <= truth <= high
    assert inside >= 12


def test_infinity_needs_many_images() -> None:
    few, many = (pairs(_side({"a": 2 * n}, "r", 1), _side({"a": n}, "s", 2))[1] for n in (19, 150))
    (refused,) = infinity_rows(few, "net", _rng())
    assert (refused.value, refused.estimable) == (None, False)
    assert refused.metric == "fd_infinity_net"
    (row,) = infinity_rows(many, "net", _rng())
    assert row.floor is not None
    assert abs(row.floor) < 0.05
    assert row.ratio is None
