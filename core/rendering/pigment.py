"""What colour skin has with given fractions of melanin and blood.

Two layers, 400-700 nm in steps of 10: an epidermis that light crosses twice, over a dermis that is
deep. Absorption of haemoglobin: molar extinction compiled by S. Prahl (omlc.org/spectra/hemoglobin)
at 150 g/l in whole blood, 75 % oxygenated; of melanin: 500 per cm and volume fraction at 550 nm
(S. Jacques, omlc.org/news/jan98/skinoptics.html) with a slope of wavelength^-2, which in vivo fits
skin where that of melanosomes alone (-3.33) turns dark skin orange; of bloodless tissue: Saidi 1992
in the same; of fat-soluble yellow pigments a band at 460 nm (carotene, bilirubin; Alaluf 2002).
Reduced scattering of skin: Jacques 2013, Phys. Med. Biol. 58:R37. Reflectance of the dermis:
Flock et al. 1989, IEEE Trans. Biomed. Eng. 36:1162. CIE 1931 observer: Wyman, Sloan and Shirley
2013, JCGT 2(2); light: CIE D65.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

WAVELENGTHS = np.arange(400.0, 701.0, 10.0)
"""Nanometres."""

MELANIN = (0.001, 0.5)
"""Volume fraction of melanosomes in the epidermis that the table spans."""
BLOOD = (0.002, 0.1)
"""Volume fraction of blood in the dermis that the table spans."""
STEPS = 96

_OXYGENATED = 0.75
_EPIDERMIS = 0.006
"""Centimetres."""
_DIFFUSE = 2.0
"""Path of diffuse light over the thickness of the layer that it crosses."""
_MELANIN_SLOPE = -2.0
_YELLOW = 0.66
"""Absorption of yellow pigments at their peak, per cm of dermis."""
_BEFORE = 0.044
"""Share of the light that comes back from above the melanin, of all colours alike.

It, the yellow and the pigments are fitted to the CIELAB colours of six skins, very light
(72, 8, 14) to dark (36, 10, 12.5); the largest misfit is 1.4.
"""
_REFRACTION = 1.4

_OXY = np.array([
    266232, 466840, 480360, 246072, 102580, 62816, 44480, 33209.2, 26629.2, 23684.4, 20932.8,
    20035.2, 24202.4, 39956.8, 53236, 43016, 32613.2, 44496, 50104, 14400.8, 3200, 1506, 942, 610,
    442, 368, 319.6, 294, 277.6, 276, 290,
])  # fmt: skip
_DEOXY = np.array([
    223296, 303956, 407560, 528600, 413280, 103292, 23388.8, 16156.4, 14550, 16684, 20862, 25773.6,
    31589.6, 39036.4, 46592, 53412, 53788, 45072, 37020, 28324.4, 14677.2, 9443.6, 6509.6, 5148.8,
    4345.2, 3750.12, 3226.56, 2795.12, 2407.92, 2051.96, 1794.28,
])  # fmt: skip
_D65 = np.array([
    82.755, 91.486, 93.432, 86.682, 104.865, 117.008, 117.812, 114.861, 115.923, 108.811, 109.354,
    107.802, 104.790, 107.689, 104.405, 104.046, 100.0, 96.334, 95.788, 88.686, 90.006, 89.599,
    87.699, 83.289, 83.699, 80.027, 80.215, 82.278, 78.284, 69.721, 71.609,
])  # fmt: skip
_TO_RGB = np.array(
    [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]]
)
"""XYZ (white 1) to linear sRGB, IEC 61966-2-1."""


def reflectance(melanin: float, blood: float) -> Values:
    """Return the diffuse reflectance of skin at ``WAVELENGTHS``; arguments are volume fractions."""
    return np.asarray(_BEFORE + (1 - _BEFORE) * _epidermis(melanin) * _dermis(blood))


def linear_rgb(spectrum: Values) -> Values:
    """Return linear sRGB of a reflectance spectrum under D65; a perfect white gives 1, 1, 1."""
    observer = _observer()
    xyz = observer @ spectrum / observer.sum(axis=1) * np.array([0.95047, 1.0, 1.08883])
    return np.asarray(_TO_RGB @ xyz)


@cache
def colours() -> NDArray[np.float32]:
    """Return linear sRGB (STEPS, STEPS, 3) over log melanin (rows) and log blood (columns)."""
    epidermis = np.stack([_epidermis(m) for m in np.geomspace(*MELANIN, STEPS)])
    dermis = np.stack([_dermis(b) for b in np.geomspace(*BLOOD, STEPS)])
    spectra = _BEFORE + (1 - _BEFORE) * epidermis[:, None] * dermis[None]
    found = np.stack([linear_rgb(s) for s in spectra.reshape(-1, len(WAVELENGTHS))])
    table = np.clip(found, 0.0, 1.0).reshape(STEPS, STEPS, 3).astype(np.float32)
    table.flags.writeable = False
    return table


def place(melanin: float, blood: float) -> tuple[float, float]:
    """Return row and column (real numbers) of pigments in the table."""
    found = []
    for value, (low, high) in ((melanin, MELANIN), (blood, BLOOD)):
        found.append((STEPS - 1) * float(np.log(value / low) / np.log(high / low)))
    return found[0], found[1]


def _epidermis(melanin: float) -> Values:
    pigment = melanin * 500.0 * (WAVELENGTHS / 550) ** _MELANIN_SLOPE
    absorbed = pigment + (1 - melanin) * _bloodless()
    return np.asarray(np.exp(-2 * _DIFFUSE * _EPIDERMIS * absorbed))


def _dermis(blood: float) -> Values:
    haem = _OXYGENATED * _OXY + (1 - _OXYGENATED) * _DEOXY
    absorbed = blood * 2.303 * haem * 150 / 64500 + (1 - blood) * (_bloodless() + _yellow())
    scattered = 46 * (WAVELENGTHS / 500) ** -1.421
    albedo = scattered / (scattered + absorbed)
    mirrored = -1.440 / _REFRACTION**2 + 0.710 / _REFRACTION + 0.668 + 0.0636 * _REFRACTION
    k = (1 + mirrored) / (1 - mirrored)
    return np.asarray(
        albedo / (1 + 2 * k * (1 - albedo) + (1 + 2 * k / 3) * np.sqrt(3 * (1 - albedo)))
    )


def _bloodless() -> Values:
    return np.asarray(0.244 + 85.3 * np.exp(-(WAVELENGTHS - 154) / 66.2))


def _yellow() -> Values:
    return np.asarray(_YELLOW * np.exp(-(((WAVELENGTHS - 460) / 35) ** 2)))


@cache
def _observer() -> Values:
    """Return CIE x, y and z bars under D65 (3, wavelengths)."""

    def lobe(peak: float, below: float, above: float) -> Values:
        side = np.where(peak > WAVELENGTHS, below, above)
        return np.asarray(np.exp(-0.5 * ((WAVELENGTHS - peak) * side) ** 2))

    x = 0.362 * lobe(442.0, 0.0624, 0.0374) + 1.056 * lobe(599.8, 0.0264, 0.0323)
    x = x - 0.065 * lobe(501.1, 0.0490, 0.0382)
    y = 0.821 * lobe(568.8, 0.0213, 0.0247) + 0.286 * lobe(530.9, 0.0613, 0.0322)
    z = 1.217 * lobe(437.0, 0.0845, 0.0278) + 0.681 * lobe(459.0, 0.0385, 0.0725)
    return np.asarray(np.stack([x, y, z]) * _D65)
