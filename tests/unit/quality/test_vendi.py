"""The Vendi score agrees with the authors' library, on both sides of the dimension."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from core.quality.vendi import vendi_score


@pytest.mark.parametrize("n", [20, 60])
def test_agrees_with_vendi_score(n: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it reads names that scipy calls old
        from vendi_score import vendi

        x = np.random.default_rng(0).normal(0.3, 1, size=(n, 32))
        theirs = vendi.score_X(x)
    assert vendi_score(x) == pytest.approx(theirs, rel=1e-9)


def test_alike_is_one_and_orthogonal_is_n() -> None:
    assert vendi_score(np.ones((9, 4))) == pytest.approx(1)
    assert vendi_score(7 * np.eye(6)) == pytest.approx(6)
    assert vendi_score(np.repeat(np.eye(6), 3, axis=0)) == pytest.approx(6)
