"""The figures of "Why 94 % was not 94 %": on noise each error shows, the honest score does not."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bench.why94 import figure
from tests.bench.why94_protocols import Finding, Pool, findings

SIZES = (36, 20, 14)
"""Subjects of a class; each has two photographs."""


def noise_pool(seed: int = 0) -> Pool:
    """Return features that know a subject and nothing else; copies are a little off theirs."""
    rng = np.random.default_rng(seed)
    label_of = np.repeat(np.arange(3), SIZES)
    subjects = rng.normal(size=(len(label_of), 16))
    real = np.repeat(np.arange(len(label_of)), 2)
    weak = np.flatnonzero(label_of > 0)
    made = np.repeat(weak, 3)
    copies = weak[:10]
    groups = np.concatenate([real, made, copies])
    features = subjects[groups] + rng.normal(0, 0.05, (len(groups), 16))
    kinds = np.repeat([0, 1, 2], [len(real), len(made), len(copies)])
    return Pool(features.astype(np.float32), label_of[groups], groups, kinds, ("a", "b", "c"))


@pytest.fixture(scope="module")
def found() -> dict[str, Finding]:
    return {one.key: one for one in findings(noise_pool(), 0, 1)}


def test_the_honest_scores_hold_chance(found: dict[str, Finding]) -> None:
    for key in ("real", "combined"):
        assert found[key].honest
        low, high = found[key].interval or (1.0, 0.0)
        assert low <= 1 / 3 <= high


@pytest.mark.parametrize("key", ["images", "parents", "copies"])
def test_each_leak_alone_makes_noise_shine(found: dict[str, Finding], key: str) -> None:
    low, _ = found[key].interval or (0.0, 0.0)
    assert low > 0.5
    assert not found[key].honest


def test_without_a_leak_what_it_is_scored_on_changes_little(found: dict[str, Finding]) -> None:
    """Copies of held-out noise are noise: here they carry no trace of how they were made."""
    assert found["synthetic"].score < 0.5
    assert found["best"].score >= found["combined"].score


def test_all_together_is_what_was_published(found: dict[str, Finding]) -> None:
    assert found["legacy_combined"].score > 0.8
    assert found["legacy_combined"].interval is None
    assert [k for k in found if k.startswith("legacy")] == [
        "legacy_real",
        "legacy_synthetic",
        "legacy_combined",
    ]


def test_a_dataset_without_small_classes_has_no_copies() -> None:
    pool = noise_pool()
    kept = pool.made != 2
    bare = Pool(
        pool.features[kept], pool.labels[kept], pool.groups[kept], pool.made[kept], pool.names
    )
    assert "copies" not in {one.key for one in findings(bare, 0, 1)}


def test_the_picture_is_small_and_of_numbers(found: dict[str, Finding]) -> None:
    data = figure(list(found.values()), 3, "Noise")
    assert data.startswith(b"\x89PNG")
    assert len(data) < 200_000
