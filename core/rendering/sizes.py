"""How large lesions are that come without a scale: assumed, by diagnosis."""

from __future__ import annotations

import math

import numpy as np

MILLIMETRES: dict[str, tuple[float, float]] = {
    "mel": (6.0, 16.0),
    "nv": (3.0, 7.0),
    "bcc": (4.0, 14.0),
    "akiec": (5.0, 15.0),
    "bkl": (5.0, 15.0),
    "df": (4.0, 10.0),
    "vasc": (2.0, 8.0),
}
"""Usual diameters by the class names of HAM10000: nevi below 6 mm, melanomas above (the D of the
ABCD rule, Abbasi et al. 2004, JAMA 292:2771), the others by textbook ranges."""
ANY = (4.0, 12.0)
"""Of a diagnosis that is not listed."""


def draw_across(label: str, rng: np.random.Generator) -> float:
    """Return a diameter in metres, drawn on a log scale."""
    low, high = MILLIMETRES.get(label.lower(), ANY)
    return math.exp(rng.uniform(math.log(low), math.log(high))) * 1e-3
