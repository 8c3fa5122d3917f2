"""Precision, recall, density and coverage agree with the authors' library at any tile."""

from __future__ import annotations

import numpy as np
import pytest

from core.quality import nearest as module
from core.quality.manifold import manifold

NAMES = ("precision", "recall", "density", "coverage")


def _pair(seed: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(90, 6)), rng.normal(shift, 0.9, size=(70, 6))


@pytest.mark.parametrize("tile", [16, 33, 2048])
@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_agrees_with_prdc(
    monkeypatch: pytest.MonkeyPatch, tile: int, shift: float, capsys: pytest.CaptureFixture[str]
) -> None:
    from prdc import compute_prdc

    monkeypatch.setattr(module, "TILE", tile)
    real, made = _pair(1, shift)
    theirs = compute_prdc(real, made, 5)
    for values in (manifold(real, made), manifold(real.astype("f4"), made.astype("f4"))):
        for name in NAMES:
            assert getattr(values, name).mean() == pytest.approx(theirs[name], abs=1e-12)


def test_far_away_is_nothing_and_a_copy_is_everything() -> None:
    real, _ = _pair(2, 0)
    far, copy = manifold(real, real + 100), manifold(real, real.copy())
    assert all(getattr(far, name).sum() == 0 for name in NAMES)
    assert all(getattr(copy, name).mean() == 1 for name in ("precision", "recall", "coverage"))


def test_a_large_offset_costs_no_precision_in_float32() -> None:
    real, made = _pair(3, 0.3)
    near = manifold(real, made)
    moved = manifold((real + 200).astype("f4"), (made + 200).astype("f4"))
    assert moved.density.mean() == pytest.approx(near.density.mean(), abs=0.01)


def test_too_few_for_the_neighbours() -> None:
    with pytest.raises(ValueError, match="5 nearest"):
        manifold(np.zeros((5, 2)), np.zeros((9, 2)))
