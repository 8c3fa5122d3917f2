"""Skin tone: given as ITA, Fitzpatrick or Monk, reached by pigments, measured back on colours.

ITA = atan2(L* - 50, b*) 180 / pi, CIELAB under D65 (Chardon, Cretois and Hourseau 1991). The ranges
of Fitzpatrick types are the classes of Del Bino and Bernerd 2013 (Br. J. Dermatol. 169 Suppl. 3:33)
taken in order; those of the Monk scale are the ITA of its published swatches (skintone.google)
shrunk to what skin reaches: both are approximations, as types are judged by more than
colour.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInput
from core.rendering.pigment import BLOOD, MELANIN, STEPS, colours

Floats = NDArray[np.float32]
Fitzpatrick = Literal["I", "II", "III", "IV", "V", "VI"]

ITA = (-65.0, 60.0)
"""Degrees that can be asked for."""

FITZPATRICK: dict[Fitzpatrick, tuple[float, float]] = {
    "I": (55.0, 60.0),
    "II": (41.0, 55.0),
    "III": (28.0, 41.0),
    "IV": (10.0, 28.0),
    "V": (-30.0, 10.0),
    "VI": (-60.0, -30.0),
}
_SWATCHES = (83, 80, 72, 65, 50, 11, -20, -56, -78, -84)
"""ITA of the swatches of the Monk scale, degrees."""
_REACHED = 0.69
_HALF_MONK = 2.5


def monk_range(tone: int) -> tuple[float, float]:
    """Return the ITA of a tone of the Monk scale, 1 (lightest) to 10, as a range."""
    if not 1 <= tone <= 10:
        raise InvalidInput(f"The Monk scale runs from 1 to 10, not {tone}", code="invalid_tone")
    middle = _REACHED * _SWATCHES[tone - 1]
    return middle - _HALF_MONK, middle + _HALF_MONK


def to_srgb(linear: NDArray[Any]) -> Floats:
    """Return sRGB in 0..1 of linear light, clipped to it (IEC 61966-2-1)."""
    x = np.clip(linear, 0.0, 1.0).astype(np.float32)
    return np.asarray(np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055))


def to_linear(srgb: NDArray[Any]) -> Floats:
    """Return linear light of sRGB in 0..1."""
    x = np.asarray(srgb, np.float32)
    return np.asarray(np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4), np.float32)


def ita(linear: NDArray[Any]) -> NDArray[np.float64]:
    """Return the ITA in degrees of linear sRGB colours (..., 3)."""
    flat = np.ascontiguousarray(to_srgb(linear).reshape(1, -1, 3))
    lab = cv2.cvtColor(flat, cv2.COLOR_RGB2LAB)[0].astype(np.float64)
    angles = np.degrees(np.arctan2(lab[:, 0] - 50.0, lab[:, 2]))
    return np.asarray(angles.reshape(linear.shape[:-1]))


def measured_ita(linear: NDArray[Any]) -> float | None:
    """Return the ITA of the median of colours (N, 3); None of none."""
    return None if len(linear) == 0 else float(ita(np.median(linear, axis=0)))


def pigments(wanted: float, redness: float) -> tuple[float, float]:
    """Return melanin and blood (volume fractions) of skin of an ITA, degrees.

    ``redness`` 0..1 chooses among the pairs that have it: 0 the palest that exists, 1 the most
    blood. InvalidInput ``invalid_tone`` beyond ``ITA``.
    """
    if not ITA[0] <= wanted <= ITA[1]:
        raise InvalidInput(
            f"Skin of ITA {wanted:g} degrees cannot be made; choose {ITA[0]:g} to {ITA[1]:g}",
            code="invalid_tone",
        )
    angles = _angles()
    reachable = [n for n in range(STEPS) if angles[0, n] >= wanted >= angles[-1, n]]
    blood_steps = _usual(reachable)
    column = blood_steps[0] + redness * (blood_steps[-1] - blood_steps[0])
    left = min(int(column), STEPS - 2)
    part = column - left
    falling = angles[:, left] * (1 - part) + angles[:, left + 1] * part
    row = float(np.interp(-wanted, -falling, np.arange(STEPS)))
    return _value(row, MELANIN), _value(column, BLOOD)


def _usual(reachable: list[int]) -> list[int]:
    """Return those of the reachable steps of blood that healthy skin has, else the reddest."""
    low, high = (_step(value, BLOOD) for value in (0.008, 0.02))
    return [n for n in reachable if low <= n <= high] or reachable[-1:]


@cache
def _angles() -> NDArray[np.float64]:
    """Return the ITA over the table of colours, falling along melanin."""
    return np.minimum.accumulate(ita(colours()), axis=0)


def _value(step: float, span: tuple[float, float]) -> float:
    return float(span[0] * (span[1] / span[0]) ** (step / (STEPS - 1)))


def _step(value: float, span: tuple[float, float]) -> float:
    return float((STEPS - 1) * np.log(value / span[0]) / np.log(span[1] / span[0]))
