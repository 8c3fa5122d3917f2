"""Tiling volumes that skin is textured from: a few look-ups instead of many calls of noise.

All skin shares them; each skin has its own place, turn and strength (see ``skin.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import warp as wp
from numpy.typing import NDArray

from core.rendering.kernels.lattice import bake_cells
from core.rendering.runtime import array

Volume = NDArray[np.float32]

_SEED = 20261123
_TONE_SIDE = 64
_RELIEF_SIDE = 64
_FURROW_CELLS = 12
_SPOT_SIDE = 64
_SPOT_CELLS = 8


@dataclass(frozen=True, slots=True)
class Volumes:
    """Volumes (S, S, S, 4) on a device.

    tone: four independent smooth noises, mean 0, standard deviation 1, waves of 1 to 1/16 period,
    none of which stands out, so that nobody sees the period.
    relief: height, median 0, 1 from furrow to top, and its gradient per period; 12 cells a period.
    spots: round spots 0..1 of many sizes (about 1/10 of the cells), pits (all cells), 8 cells a
    period; two independent noises of waves of 1/7 to 1/20 period.
    """

    tone: Any
    relief: Any
    spots: Any


@cache
def volumes(device: str) -> Volumes:
    """Return the volumes on a device of Warp; made once a process."""
    return Volumes(*(array(made, wp.vec4, device) for made in (_tone(), _relief(), _spots())))


def _tone() -> Volume:
    """Return noise whose spectrum falls as (frequency + 2)^-2.4 from 1 to 16 waves a period."""
    rng = np.random.default_rng(_SEED)
    made = [_noise(_TONE_SIDE, (1, 16), 2.4, rng) for _ in range(4)]
    return np.stack(made, axis=-1).astype(np.float32)


def _noise(
    side: int, band: tuple[int, int], slope: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return noise (side, side, side) of mean 0 and standard deviation 1 in a band of waves."""
    waves = np.fft.fftfreq(side, 1 / side)
    half = np.fft.rfftfreq(side, 1 / side)
    radius = np.sqrt(
        waves[:, None, None] ** 2 + waves[None, :, None] ** 2 + half[None, None, :] ** 2
    )
    strength = np.where((radius >= band[0]) & (radius <= band[1]), (radius + 2) ** -slope, 0.0)
    white = np.fft.rfftn(rng.standard_normal((side,) * 3))
    noise = np.fft.irfftn(white * strength, s=(side,) * 3, axes=(0, 1, 2))
    return np.asarray(noise / noise.std())


def _cells(side: int, cells: int, rng: np.random.Generator) -> tuple[Volume, Volume, Any]:
    points = array(rng.random((cells, cells, cells, 3)), wp.float32, "cpu")
    outputs = [wp.zeros((side,) * 3, dtype=kind, device="cpu") for kind in (float, float, int)]
    wp.launch(bake_cells, (side,) * 3, inputs=[points, cells], outputs=outputs, device="cpu")
    nearest, second, owner = (output.numpy() for output in outputs)
    return nearest, second, owner


def _relief() -> Volume:
    nearest, second, _ = _cells(_RELIEF_SIDE, _FURROW_CELLS, np.random.default_rng(_SEED + 1))
    t = np.clip((second - nearest) / 0.45, 0, 1)
    height = t * t * (3 - 2 * t) * (1.0 - 0.25 * nearest**2)
    height -= np.median(height)
    slopes = [
        (np.roll(height, -1, axis) - np.roll(height, 1, axis)) * (_RELIEF_SIDE / 2)
        for axis in range(3)
    ]
    return np.stack([height, *slopes], axis=-1).astype(np.float32)


def _spots() -> Volume:
    rng = np.random.default_rng(_SEED + 2)
    nearest, _, owner = _cells(_SPOT_SIDE, _SPOT_CELLS, rng)
    count = _SPOT_CELLS**3
    radius = np.where(rng.random(count) < 0.3, rng.uniform(0.12, 0.5, count), 1e-3)
    strength = rng.uniform(0.35, 1.0, count)
    t = np.clip(1.3 - nearest / radius[owner], 0, 1)
    freckles = t * t * (3 - 2 * t) * strength[owner]
    pits = np.clip(1 - nearest / 0.3, 0, 1) ** 2
    grain = [_noise(_SPOT_SIDE, (7, 20), 1.0, rng) for _ in range(2)]
    return np.stack([freckles, pits, *grain], axis=-1).astype(np.float32)
