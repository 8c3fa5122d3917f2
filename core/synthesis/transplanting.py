"""One transplant: lift a lesion, prepare the skin, lay the one on the other, light both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from core.synthesis.blending import Blend, lay, matte, optical_density, paste, poisson
from core.synthesis.contract import Pixels
from core.synthesis.donors import bounds, skin_around
from core.synthesis.segmentation import Floats, Inside
from core.synthesis.skin_field import diameter, even_skin, healed, to_log, to_pixels, without_odd
from core.synthesis.variation import bend, placement, relight, shift_tone, warp

if TYPE_CHECKING:
    from core.synthesis.generators.transplant import TransplantParams

_DIGITS = 5
_APART = 0.04
"""Standard deviation of a lesion's place about that of the one it covers, over the diameter."""


def draw(
    params: TransplantParams, settings: Mapping[str, Any], rng: np.random.Generator
) -> dict[str, Any]:
    """Draw everything that is random in one image, as JSON.

    ``place`` is in standard deviations on a class mate, within -1..1 of the room on free skin.
    """
    free = settings["patch"] is not None
    place = rng.uniform(-1, 1, 2) if free else np.clip(rng.normal(0, 1, 2), -2, 2)
    drawn: dict[str, Any] = {
        "degrees": float(rng.uniform(0, 360)),
        "flip": bool(rng.random() < 0.5),
        "place": place,
        "bend": params.bend * float(rng.uniform(0.3, 1.0)),
        "softness": params.softness * float(rng.uniform(0.7, 1.3)),
        "melanin": float(rng.uniform(*params.melanin)),
        "blood": float(rng.uniform(*params.blood)),
        "exposure": float(rng.uniform(*params.exposure)),
        "balance": rng.normal(0, 1, 3) * params.balance,
        "slope": rng.normal(0, 1, 2) * params.slope,
        "seed": int(rng.integers(2**63)),
    }
    return {name: _plain(value) for name, value in drawn.items()}


def transplant(
    donor: Pixels,
    lifted: Inside,
    target: Pixels,
    covered: Inside | None,
    settings: Mapping[str, Any],
    drawn: Mapping[str, Any],
    blend: Blend,
) -> tuple[Pixels, Pixels]:
    """Return the image (RGB) and the lesion's mask in it (0 or 255).

    ``lifted`` is where the donor's lesion is, ``covered`` the target's own, which the other one
    takes the place of; without it the lesion goes on ``settings["patch"]`` of the target, which
    becomes the image.
    """
    rng = np.random.default_rng(drawn["seed"])
    short = min(target.shape[:2])
    skin, centre = _skin(target, covered, settings, drawn, rng)
    scale = settings["scale"] * short / min(donor.shape[:2])
    across = diameter(lifted) * scale
    if covered is None:
        reach = max(0.0, (min(skin.shape[:2]) - 1.2 * across) / 2)
    else:
        reach = _APART * across
    at = (centre[0] + reach * drawn["place"][0], centre[1] + reach * drawn["place"][1])
    matrix = placement(_centre(lifted), at, scale, drawn["degrees"], drawn["flip"])
    density, shown, over, inside = lift(donor, lifted, drawn["softness"])
    height, width = skin.shape[:2]
    edge = bend((height, width), drawn["bend"] * across, drawn["seed"] % 2**32)
    density, shown, over, inside = warp(
        (density, shown, over, inside), matrix, (width, height), edge
    )
    if blend == "density":
        joined = lay(skin, density, over)
    elif blend == "poisson":
        joined = poisson(skin, shown, over)
    else:
        joined = paste(skin, shown, over)
    mask = np.where(inside >= 0.5, 255, 0).astype(np.uint8)
    return to_pixels(relight(joined, drawn)), mask


def _skin(
    target: Pixels,
    covered: Inside | None,
    settings: Mapping[str, Any],
    drawn: Mapping[str, Any],
    rng: np.random.Generator,
) -> tuple[Floats, tuple[float, float]]:
    """Return skin without lesion in the tone drawn, and where on it the lesion goes (x, y)."""
    log = to_log(target)
    if covered is None:
        left, top, right, bottom = settings["patch"]
        skin = log[top:bottom, left:right]
        centre = ((right - left - 1) / 2, (bottom - top - 1) / 2)
    else:
        skin = healed(log, covered, rng)
        centre = _centre(covered)
    return shift_tone(skin, drawn["melanin"], drawn["blood"]), centre


def lift(donor: Pixels, lifted: Inside, softness: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Return density, log light, matte and mask of a lesion on its own image."""
    log = to_log(donor)
    around = without_odd(log, skin_around(donor, lifted))
    density = optical_density(log, even_skin(log, around))
    over = matte(lifted, softness * diameter(lifted))
    return density, log, over, lifted.astype(np.float32)


def _centre(lesion: Inside) -> tuple[float, float]:
    left, top, right, bottom = bounds(lesion)
    return (left + right - 1) / 2, (top + bottom - 1) / 2


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [round(float(v), _DIGITS) for v in value]
    return round(value, _DIGITS) if isinstance(value, float) else value
