"""The colours of pigments: physics that must hold whatever the constants."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.rendering.pigment import (
    BLOOD,
    MELANIN,
    STEPS,
    WAVELENGTHS,
    colours,
    linear_rgb,
    place,
    reflectance,
)

melanin = st.floats(*MELANIN)
blood = st.floats(*BLOOD)


def test_a_perfect_white_is_white() -> None:
    assert linear_rgb(np.ones_like(WAVELENGTHS)) == pytest.approx(1.0, abs=1e-3)


@settings(deadline=None)
@given(melanin, melanin, blood)
def test_more_melanin_is_darker_at_every_wavelength(one: float, other: float, hb: float) -> None:
    low, high = sorted((one, other))
    assert (reflectance(high, hb) <= reflectance(low, hb) + 1e-12).all()


@settings(deadline=None)
@given(melanin, blood)
def test_skin_sends_back_less_than_it_gets_and_most_in_red(mel: float, hb: float) -> None:
    found = reflectance(mel, hb)
    assert (found > 0).all()
    assert (found < 1).all()
    assert found[-5:].mean() > found[:5].mean()


def test_blood_shows_its_two_bands() -> None:
    """Oxygenated haemoglobin absorbs at 542 and 577 nm and less between (Prahl)."""
    found = dict(zip(WAVELENGTHS.tolist(), reflectance(0.01, 0.03), strict=True))
    assert found[540.0] < found[560.0] > found[580.0]
    assert found[630.0] > 1.5 * found[580.0]


def test_the_table_is_the_formula() -> None:
    row, column = place(0.03, 0.012)
    table = colours()
    i, j = round(row), round(column)
    mel = MELANIN[0] * (MELANIN[1] / MELANIN[0]) ** (i / (STEPS - 1))
    hb = BLOOD[0] * (BLOOD[1] / BLOOD[0]) ** (j / (STEPS - 1))
    assert table[i, j] == pytest.approx(linear_rgb(reflectance(mel, hb)), abs=1e-6)
    assert place(MELANIN[1], BLOOD[0]) == pytest.approx((STEPS - 1, 0))
