"""Privacy rows: a generator that memorises shows, one that does not has the numbers of chance."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.metrics import roc_auc_score

from core.ingest.alignment import AlignThreshold
from core.ingest.duplicates import NearThreshold
from core.manifest import canonical_json
from core.quality import nearest as nearest_module
from core.quality import privacy as module
from core.quality.copies import Copy, Screening
from core.quality.nearest import nearest
from core.quality.privacy import Membership, copies_rows, membership, privacy_rows
from core.quality.rows import QualityRow
from core.quality.sides import Side
from tests.unit.learning.made_up import record

N, DIMENSION = 120, 6


def _side(features: np.ndarray, name: str, labels: tuple[str, ...] | None = None) -> Side:
    n = len(features)
    return Side(
        features.astype(np.float32),
        labels or ("a",) * n,
        tuple((f"{name}{i}",) for i in range(n)),
    )


def _real(seed: int = 0) -> np.ndarray:
    """Half of them members, then as many held out."""
    return np.random.default_rng(seed).normal(size=(2 * N, DIMENSION))


def _told(novel: bool = True, unknown: str = "") -> Membership:
    return Membership(np.arange(2 * N) >= N, novel, unknown)


def _rows(real: Side, made: Side, told: Membership) -> dict[Any, QualityRow]:
    found = privacy_rows(real, made, told, "net", np.random.default_rng(1))
    return {(row.metric.removesuffix("_net"), row.label): row for row in found}


def test_what_memorises_shows_in_all_three() -> None:
    real = _real()
    noise = np.random.default_rng(2).normal(scale=0.02, size=(N, DIMENSION))
    rows = _rows(_side(real, "r"), _side(real[:N] + noise, "s"), _told())
    ratio, authentic, attack = (rows[name, None] for name in module.METRICS)
    assert ratio.value is not None
    assert ratio.value < 0.1
    assert ratio.interval is not None
    assert ratio.interval[1] < 0.2
    assert authentic.value == 0
    assert authentic.floor is not None
    assert authentic.floor > 0.2
    assert attack.value == pytest.approx(1)
    assert attack.interval is not None
    assert attack.interval[0] > 0.95
    assert {row.n for row in rows.values()} == {N}


def test_what_learns_the_distribution_has_the_numbers_of_chance() -> None:
    made = np.random.default_rng(7).normal(size=(N, DIMENSION))
    rows = _rows(_side(_real(), "r"), _side(made, "s"), _told())
    ratio, authentic, attack = (rows[name, None] for name in module.METRICS)
    for row, chance in ((ratio, 1.0), (attack, 0.5), (authentic, authentic.floor)):
        assert row.interval is not None
        assert chance is not None
        assert row.interval[0] < chance < row.interval[1]


def test_the_numbers_are_those_of_their_definitions() -> None:
    real = _real(3).astype(np.float32)
    made = np.random.default_rng(4).normal(0.3, 0.8, size=(N, DIMENSION)).astype(np.float32)
    rows = _rows(_side(real, "r"), _side(made, "s"), _told())
    to_seen, to_held = cdist(made, real[:N]), cdist(made, real[N:])
    ratios = to_seen.min(axis=1) / to_held.min(axis=1)
    assert rows["distance_ratio", None].value == pytest.approx(np.median(ratios), rel=1e-4)
    among = cdist(real[:N], real[:N])
    np.fill_diagonal(among, np.inf)
    farther = to_seen.min(axis=1) > among.min(axis=1)[to_seen.argmin(axis=1)]
    assert rows["authpct", None].value == pytest.approx(farther.mean())
    near = -cdist(real, made).min(axis=1)
    auc = roc_auc_score(np.arange(2 * N) < N, near)
    assert rows["membership_auc", None].value == pytest.approx(auc, abs=1e-6)


def test_derivative_images_have_a_ratio_without_the_members_that_they_declare() -> None:
    real = _real()
    side = _side(real, "r")
    made = _side(real[:N], "s")
    told = _told(novel=False)
    undeclared = _rows(side, made, told)["distance_ratio", None]
    declared = replace(made, group_ids=side.group_ids[:N])
    rows = _rows(side, declared, told)
    assert undeclared.value == pytest.approx(0, abs=0.01)
    assert rows["distance_ratio", None].value == pytest.approx(1, abs=0.15)
    for name in ("authpct", "membership_auc"):
        row = rows[name, None]
        assert (row.value, row.estimable) == (None, False)
        assert "novel generators only" in str(row.reason)


def test_an_image_that_declares_every_member_is_left_out() -> None:
    side = _side(_real(), "r")
    one_patient = replace(side, group_ids=(("p",),) * N + side.group_ids[N:])
    made = _side(np.random.default_rng(5).normal(size=(N, DIMENSION)), "s")
    for declare, n in ((N, 0), (N - 49, 49), (N - 50, 50)):
        some = replace(made, group_ids=(("p",),) * declare + made.group_ids[declare:])
        row = _rows(one_patient, some, _told(novel=False))["distance_ratio", None]
        canonical_json(row.as_json())
        assert row.n == n
        if n < 50:
            assert (row.value, row.estimable) == (None, False)
            assert f"{declare} declare every one" in str(row.reason)
        else:
            alone = _rows(one_patient, made.part(np.arange(declare, N)), _told(novel=False))
            assert row.value == alone["distance_ratio", None].value
            assert row.left_out == declare


@pytest.mark.parametrize(
    ("equal", "estimable"), [(N, False), (N // 2 + 1, False), (N // 2 - 1, True)]
)
def test_images_that_equal_held_out_ones_have_no_endless_ratio(equal: int, estimable: bool) -> None:
    half = np.random.default_rng(0).integers(1, 99, size=(N // 2, DIMENSION)).astype(float)
    held_out = np.concatenate([half, -half])  # their mean is 0: distances are exact
    real = np.concatenate([held_out + 0.5, held_out])
    made = np.random.default_rng(6).integers(1, 99, size=(N, DIMENSION)) + 0.25
    made[:equal] = held_out[:equal]
    row = _rows(_side(real, "r"), _side(made, "s"), _told())["distance_ratio", None]
    canonical_json(row.as_json())
    assert row.estimable is estimable
    assert row.interval is None
    assert "equal a held-out one" in str(row.reason)


def test_both_sets_are_equally_large_class_by_class() -> None:
    labels = ("a",) * 100 + ("b",) * 60
    real = _side(np.random.default_rng(0).normal(size=(160, DIMENSION)), "r", labels)
    held_out = np.zeros(160, dtype=bool)
    held_out[:70] = held_out[100:120] = True
    made = _side(np.random.default_rng(1).normal(size=(160, DIMENSION)), "s", labels)
    told = Membership(held_out, novel=True)
    scope = module._Scope.draw(None, ["a", "b"], real, made, told, np.random.default_rng(0))
    assert Counter(scope.members.labels) == Counter(scope.held_out.labels) == {"a": 30, "b": 20}
    rows = _rows(real, made, told)
    assert rows["authpct", None].n == 50
    assert rows["authpct", None].value is not None
    for label, n in (("a", 30), ("b", 20)):
        row = rows["authpct", label]
        assert (row.value, row.estimable, row.n) == (None, False, n)
        assert f"{n} members" in str(row.reason)


def test_large_sets_are_drawn_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_IMAGES", 60)
    rows = _rows(_side(_real(), "r"), _side(_real(9), "s"), _told())
    assert {row.n for row in rows.values()} == {60}


def test_images_that_all_hang_together_have_no_interval() -> None:
    real = _side(_real(), "r")
    made = replace(real.part(np.arange(N)), group_ids=(("everybody",),) * N)
    rows = _rows(real, made, _told())
    for name in ("distance_ratio", "authpct"):
        assert rows[name, None].interval is None
        assert rows[name, None].reason == "too few groups for an interval"
    assert rows["membership_auc", None].interval is not None


@pytest.mark.parametrize(
    ("generator", "says"),
    [
        ({"sources": "train"}, ""),
        ({"sources": "all"}, "none is held out"),
        ({}, "does not say"),
        (None, "does not say"),
    ],
)
def test_who_was_held_out_is_what_the_generator_says(generator: Any, says: str) -> None:
    real = [record("r1", "a", "g1"), record("r2", "a", "g2", split="test")]
    told = membership(generator, ["dsv_1"], "dsv_1", real, novel=True)
    assert told.held_out.tolist() == [False, True]
    assert (says in told.unknown) if says else told.unknown == ""
    rows = _rows(_side(_real(), "r"), _side(_real(), "s"), _told(unknown=told.unknown))
    assert rows["distance_ratio", None].estimable is not bool(says)


@pytest.mark.parametrize(
    ("made_of", "says"),
    [(["dsv_1"], ""), (["dsv_0", "dsv_1"], ""), (["dsv_2"], "made of dsv_2, not of dsv_1"),
     ([], "does not say")],
)  # fmt: skip
def test_images_of_another_version_are_neither_members_nor_held_out(
    made_of: list[str], says: str
) -> None:
    real = [record("r1", "a", "g1")]
    told = membership({"sources": "train"}, made_of, "dsv_1", real, novel=True)
    assert (says in told.unknown) if says else told.unknown == ""


def test_no_shared_class_no_images() -> None:
    side = _side(_real(), "r")
    rows = _rows(side, replace(side, labels=("b",) * 2 * N), _told())
    assert {label for _, label in rows} == {None}
    assert not any(row.estimable for row in rows.values())


@pytest.mark.parametrize("tile", [7, 64, 2048])
def test_the_nearest_at_any_tile(tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest_module, "TILE", tile)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 5)), rng.normal(size=(90, 5))
    apart = rng.random((50, 90)) < 0.5
    apart[3] = True
    expected = np.where(apart, np.inf, cdist(x, y))
    found, which = nearest(x, y, apart)
    assert found == pytest.approx(expected.min(axis=1))
    others = np.arange(50) != 3
    assert which[others].tolist() == expected.argmin(axis=1)[others].tolist()
    assert nearest(x, y)[0] == pytest.approx(cdist(x, y).min(axis=1))


def test_shares_of_copies() -> None:
    real = record("r", "a", "g")
    made = [record(f"s{i}", "a", (), source="synthetic") for i in range(4)]
    copies = tuple(
        Copy(one, real, way, 1.0)  # type: ignore[arg-type]
        for one, way in zip(made, ("exact", "near", "aligned"), strict=False)
    )
    found = Screening(copies, {"a": 4, "b": 2}, 6, 6, False, NearThreshold(), AlignThreshold())
    rows = {(r.metric, r.label): r for r in copies_rows(found, Counter({"b": 3}))}
    assert rows["copies_exact", "a"].value == 0.25
    assert rows["copies_near", "a"].value == 0.5
    assert rows["copies_near", None].value == pytest.approx(2 / 6)
    assert (rows["copies_exact", "b"].value, rows["copies_exact", "b"].left_out) == (0, 3)
    assert rows["copies_exact", None].n == 6
