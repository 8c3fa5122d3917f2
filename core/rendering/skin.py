"""One person's skin: its pigments, how they vary, its relief and its gloss."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
import warp as wp
from numpy.typing import NDArray

from core.rendering.kernels.shade import Dress, Gloss
from core.rendering.kernels.skin import Skin as SkinOnDevice
from core.rendering.non_skin import MATERIALS
from core.rendering.pigment import BLOOD, MELANIN, STEPS, colours
from core.rendering.runtime import array
from core.rendering.tone import pigments
from core.rendering.volumes import volumes

_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Skin:
    """Everything that makes skin look as it does; no unit where none is named.

    melanin and blood are volume fractions; mottle_* and fine are standard deviations of their
    logs; freckles, veins, pores and depth (of the relief) are strengths, 1 strong; gloss is the
    strength of mirroring, rough the GGX roughness squared; seed places the textures. hair_colour
    and cloth are linear sRGB.
    """

    ita: float
    melanin: float
    blood: float
    mottle_melanin: float
    mottle_blood: float
    fine: float
    freckles: float
    veins: float
    depth: float
    pores: float
    gloss: float
    rough: float
    seed: int
    hair_colour: tuple[float, float, float]
    cloth: tuple[float, float, float]

    def as_json(self) -> dict[str, Any]:
        """Return the skin as a record keeps it."""
        return {
            name: round(value, _DIGITS) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }


def draw_skin(ita: float, rng: np.random.Generator) -> Skin:
    """Draw the skin of a person whose tone has an ITA, degrees."""
    melanin, blood = pigments(ita, float(rng.uniform(0.3, 1.0)))
    even = min(1.0, max(0.2, (ita + 75) / 110))  # the same steps show more on dark skin
    freckled = rng.random() < 0.45 and ita > 20
    return Skin(
        ita=ita,
        melanin=melanin,
        blood=blood,
        mottle_melanin=float(rng.uniform(0.03, 0.09)) * even,
        mottle_blood=float(rng.uniform(0.06, 0.18)) * even,
        fine=float(rng.uniform(0.05, 0.1)) * max(0.4, even),
        freckles=float(rng.uniform(0.1, 0.9)) if freckled else 0.0,
        veins=float(rng.uniform(0.0, 0.8)) * (1.0 if ita > 25 else 0.3),
        depth=float(rng.uniform(0.35, 1.0)),
        pores=float(rng.uniform(0.3, 1.0)),
        gloss=float(rng.uniform(0.5, 1.2)),
        rough=float(rng.uniform(0.3, 0.44)),
        seed=int(rng.integers(2**31)),
        hair_colour=_hair(ita, rng),
        cloth=_cloth(rng),
    )


def _hair(ita: float, rng: np.random.Generator) -> tuple[float, float, float]:
    """Return black to blond; blond only on light skin."""
    light = float(rng.uniform(0, 1)) ** 2 * max(0.0, min(1.0, (ita - 15) / 40))
    dark, blond = np.array([0.012, 0.009, 0.007]), np.array([0.30, 0.19, 0.09])
    return _three(dark * (1 - light) + blond * light)


def _cloth(rng: np.random.Generator) -> tuple[float, float, float]:
    """Return the colour of underwear: white, grey, black, or dull."""
    level = float(rng.choice([0.02, 0.1, 0.35, 0.75]))
    return _three(level * (1 + rng.normal(0, 0.12, 3)).clip(0.6, 1.4))


def _three(values: NDArray[Any]) -> tuple[float, float, float]:
    a, b, c = (round(float(v), _DIGITS) for v in values)
    return a, b, c


@cache
def _table(device: str) -> Any:
    return array(colours(), wp.vec3, device)


def on_device(skin: Skin, device: str, flat: float = 1.0) -> Any:
    """Return the skin for kernels; ``flat`` scales its relief (a glass plate presses it)."""
    rng = np.random.default_rng(skin.seed)
    baked = volumes(device)
    made = SkinOnDevice()
    made.table = _table(device)
    made.tone, made.relief, made.spots = baked.tone, baked.relief, baked.spots
    made.turn = wp.mat33(*_turn(rng).reshape(-1))
    made.offset = wp.vec3(*rng.uniform(0, 1, 3))
    made.melanin, made.log_blood = skin.melanin, math.log(skin.blood / BLOOD[0])
    made.least = wp.vec2(MELANIN[0], BLOOD[0])
    made.steps_per_log = wp.vec2(
        *((STEPS - 1) / math.log(high / low) for low, high in (MELANIN, BLOOD))
    )
    made.mottle_melanin, made.mottle_blood = skin.mottle_melanin, skin.mottle_blood
    made.fine, made.freckles, made.veins = skin.fine, skin.freckles, skin.veins
    made.depth, made.flat, made.pores = skin.depth, flat, skin.pores
    return made


def gloss_on_device(skin: Skin, strength: float, soft: float) -> Any:
    """Return gloss for kernels: ``strength`` 0 behind crossed polarisers; ``soft`` as in kernels.

    Refraction 1.4 mirrors 2.8 %; two lobes, as oily skin has (Weyrich et al. 2006).
    """
    made = Gloss()
    made.mirrored = 0.028
    made.rough, made.rougher, made.share = skin.rough, min(1.0, skin.rough * 1.7), 0.6
    made.strength = skin.gloss * strength
    made.soft = wp.vec3(0.22 * soft, 0.10 * soft, 0.06 * soft)
    return made


def dress_on_device(skin: Skin, materials: Any, texture: Any, device: str) -> Any:
    """Return the colours of what is not skin; ``texture`` (on the device) replaces all colours."""
    made = Dress()
    made.materials = materials
    made.paint = array(_paint(skin), wp.vec4, device)
    made.textured = int(texture.shape[0] > 0)
    made.texture = texture
    return made


def _paint(skin: Skin) -> NDArray[np.float32]:
    """Return colour and whether it replaces that of skin, by number of MATERIALS."""
    cloth, hair = (*skin.cloth, 1.0), (*skin.hair_colour, 1.0)
    by_name = {
        "skin": cloth,  # not skin, and nothing is known of it
        "eye": (0.26, 0.22, 0.19, 1.0),  # white and iris, as they look from afar
        "eye_socket": (0.8, 0.55, 0.5, 0.0),
        "mouth": (0.25, 0.06, 0.05, 1.0),
        "lips": (0.95, 0.62, 0.62, 0.0),
        "nail": (1.05, 0.93, 0.9, 0.0),
        "areola": (0.7, 0.52, 0.48, 0.0),
        "hair": hair,
        "briefs": cloth,
        "bra": cloth,
    }
    return np.array([by_name[name] for name in MATERIALS], np.float32)


def _turn(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a random rotation (a unit quaternion of four normal numbers, Shoemake 1992)."""
    w, x, y, z = (q := rng.normal(size=4)) / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
