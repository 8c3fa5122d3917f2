"""How lesions are joined to the skin that they lie on: four ways, as densities.

By optical density a lesion is the same on all skin. The other ways look at the albedo of the skin
below its texels, straight down from the tangent plane, and join the photograph to it in log light;
what comes of it is laid on as a density again, so that one kernel shows them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import warp as wp

from core.features.contract import Weights
from core.rendering import deep_blend
from core.rendering import skin as skin_on
from core.rendering.decals import Decal, on_device
from core.rendering.kernels.under import skin_under
from core.rendering.lesions import Lesion
from core.rendering.raycast import Floats, Target
from core.rendering.runtime import typed_memory_errors
from core.rendering.skin import Skin
from core.synthesis.blending import paste, poisson

BlendName = Literal["density", "poisson", "paste", "deep_blend"]

_LEAST = 1e-4
"""Albedo that a logarithm is taken of, at least."""


@dataclass(frozen=True, slots=True)
class Blend:
    """A way to join lesions to skin; ``weights`` are those of ``deep_blend``."""

    name: BlendName = "density"
    weights: Weights | None = None


def open_blend(name: BlendName, weights_dir: Path | None = None) -> Blend:
    """Return a blend that can be used here; WeightsMissing says what ``deep_blend`` lacks."""
    if name != "deep_blend":
        return Blend(name)
    if weights_dir is None:
        raise ValueError("the blend deep_blend needs the folder that weights are looked for in")
    return Blend(name, deep_blend.find(weights_dir))


def blended(
    target: Target, skin: Skin, decals: Sequence[Decal], blend: Blend, pixel: float
) -> tuple[Decal, ...]:
    """Return the decals with the densities of a blend; ``pixel`` is metres across one there.

    ValueError: a lesion that was not lifted off a photograph has nothing to blend.
    """
    if blend.name == "density" or not decals:
        return tuple(decals)
    with typed_memory_errors():
        network = None if blend.weights is None else deep_blend.load(blend.weights, target.device)
        return tuple(_joined(target, skin, one, network, blend.name, pixel) for one in decals)


def _joined(
    target: Target,
    skin: Skin,
    decal: Decal,
    network: deep_blend.Layers | None,
    name: BlendName,
    pixel: float,
) -> Decal:
    lesion = decal.lesion.at(pixel)
    if lesion.light is None:
        raise ValueError(f"the blend {name} needs the photograph of a lesion")
    light, over = lesion.light[..., :3], lesion.light[..., 3]
    below = under(target, skin, replace(decal, lesion=lesion), pixel)
    if name == "poisson":
        joined = poisson(below, light, over)
    elif network is None:
        joined = paste(below, light, over)
    else:
        joined = deep_blend.blended(below, light, over, network)
    density = np.asarray(below - joined, np.float32)
    made = Lesion(density, lesion.inside, lesion.across, lesion.light)
    return replace(decal, lesion=made)


def under(target: Target, skin: Skin, decal: Decal, pixel: float) -> Floats:
    """Return the log albedo (H, W, 3) of the skin below a lesion's texels."""
    shape, device = decal.lesion.inside.shape, target.device
    albedo = wp.zeros(shape, dtype=wp.vec3, device=device)
    wp.launch(
        skin_under,
        shape,
        inputs=[
            target.shape,
            on_device([(decal.lesion, decal.place)], device),
            skin_on.on_device(skin, device),
            skin_on.dress_on_device(skin, target.materials, target.texture, device),
            pixel,
        ],
        outputs=[albedo],
        device=device,
    )
    found: Floats = albedo.numpy()
    missed = found[..., 0] < 0
    if missed.any():  # beyond the edge of the body, where the texture's corners reach
        found[missed] = np.median(found[~missed], axis=0)
    return np.asarray(np.log(np.maximum(found, _LEAST)), np.float32)
