"""Rows of precision, recall, density, coverage and Vendi: floors, intervals, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from core.quality import diversity
from core.quality.diversity import manifold_rows, vendi_rows
from core.quality.rows import QualityRow
from core.quality.sides import Pair, Side, pairs

NAMES = ("precision", "density", "recall", "coverage")


def _side(n: int, prefix: str, seed: int, spread: float = 1.0) -> Side:
    matrix = np.random.default_rng(seed).normal(0, spread, (n, 5)).astype(np.float32)
    return Side(matrix, ("a",) * n, tuple((f"{prefix}{i}",) for i in range(n)))


def _pair(n_real: int, n_made: int, spread: float = 1.0) -> Pair:
    return pairs(_side(n_real, "r", 1), _side(n_made, "s", 2, spread))[1]


def _rows(pair: Pair) -> dict[str, QualityRow]:
    rng = np.random.default_rng(0)
    rows = [*manifold_rows(pair, "net", rng), *vendi_rows(pair, "net", rng)]
    return {row.metric.removesuffix("_net"): row for row in rows}


def test_one_distribution_lies_at_its_floor_inside_its_interval() -> None:
    rows = _rows(_pair(240, 120))
    assert tuple(rows) == (*NAMES, "vendi")
    for name in NAMES:
        row = rows[name]
        assert (row.n, row.estimable, row.reason) == (120, True, None)
        assert row.value == pytest.approx(row.floor, abs=0.12)
        assert row.interval is not None
        assert row.value is not None
        assert row.interval[0] < row.value < row.interval[1]
        assert row.floor_range is not None
    assert rows["vendi"].ratio == pytest.approx(1, abs=0.1)
    assert rows["vendi"].interval is None


def test_a_generator_that_repeats_itself_is_precise_and_covers_little() -> None:
    rows = _rows(_pair(240, 120, spread=0.1))
    assert (rows["precision"].value or 0) > (rows["precision"].floor or 0)
    assert (rows["coverage"].value or 1) < 0.5 * (rows["coverage"].floor or 0)
    assert (rows["recall"].value or 0) < 0.5 * (rows["recall"].floor or 0)


def test_below_fifty_images_all_are_refused() -> None:
    for pair in (_pair(400, 49), _pair(98, 400)):
        rows = _rows(pair)
        assert len(rows) == 5
        for row in rows.values():
            assert (row.n, row.value, row.estimable) == (49, None, False)
            assert "at least 50" in str(row.reason)
    assert _rows(_pair(100, 50))["recall"].value is not None


def test_large_classes_are_drawn_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diversity, "MOST_IMAGES", 60)
    assert {row.n for row in _rows(_pair(300, 200)).values()} == {60}


def test_shared_parents_take_the_interval_of_what_they_made() -> None:
    pair = _pair(240, 120)
    chain = tuple((f"x{i}", f"x{i + 1}") for i in range(120))
    made = Side(pair.synthetic.features, pair.synthetic.labels, chain)
    rows = _rows(Pair("a", pair.real, made, contains_parents=False))
    assert rows["precision"].interval is None
    assert rows["recall"].interval is not None
