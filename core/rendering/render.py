"""Renders a scene: the photograph, and what every pixel of it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.rendering.backgrounds import painted
from core.rendering.blends import blended
from core.rendering.camera import Camera
from core.rendering.floors import with_floor
from core.rendering.hairs import grown
from core.rendering.measuring import incidence, pixel_areas
from core.rendering.raycast import Bytes, Floats, Target, View
from core.rendering.runtime import in_tiles
from core.rendering.scene import Scene
from core.rendering.sensor import defocused, develop, exposed
from core.rendering.shading import Look, Tile, light_up
from core.rendering.tone import measured_ita

_SMALLEST_TILE = 16
_FACING = 0.5
_METERED = (slice(None, None, 2), slice(None, None, 2))
"""Pixels that exposure and tone are measured on."""


@dataclass(frozen=True, slots=True)
class Rendering:
    """A photograph and its labels, each from the pixel's centre ray.

    pixels (H, W, 3) sRGB; instance (H, W) 1 + the lesion's number, 0 none; view has parts, skin,
    depth (metres along the axis) and normals (world); areas are square metres of surface per
    pixel. record is JSON.
    """

    pixels: Bytes
    instance: NDArray[np.int32]
    view: View
    areas: Floats
    record: dict[str, Any]

    @property
    def regions(self) -> Bytes:
        """0 background, 1 what is not skin, 2 skin."""
        return np.where(self.view.body, np.where(self.view.skin > 0, 2, 1), 0).astype(np.uint8)

    @property
    def boxes(self) -> list[tuple[int, int, int, int] | None]:
        """Left, top, right, bottom (outside) of each lesion; None of one that is not seen."""
        count = int(self.record["lesions_placed"])
        return [_box(self.instance == number) for number in range(1, count + 1)]


def render(target: Target, scene: Scene, *, rows: int | None = None) -> Rendering:
    """Render a scene; ``rows`` is the height of a tile to begin with, else the whole image.

    The same scene gives the same bytes in any tiles. OutOfMemory when the smallest does not fit.
    """
    camera = scene.camera
    look = Look(
        scene.skin,
        scene.lighting,
        rays=scene.rays,
        soft=scene.mode.soft,
        flat=scene.mode.flat,
        pixel=scene.pixel,
        seed=scene.seed,
    )
    decals = blended(target, scene.skin, scene.decals, scene.blend, scene.pixel)
    step = rows or camera.height
    parts: list[Tile] = []
    for first in range(0, camera.height, step):
        last = min(first + step, camera.height)
        parts += in_tiles(
            first,
            last,
            _SMALLEST_TILE,
            lambda top, bottom: light_up(target, camera, look, decals, (top, bottom)),
        )
    return _developed(target, scene, Tile.joined(parts))


def _developed(target: Target, scene: Scene, tile: Tile) -> Rendering:
    lit, camera = tile.lit, scene.camera
    factor = np.float32(_exposure(scene, tile))
    light, cover = lit.light * factor, lit.cover
    if scene.hairs is not None:
        hair, covered = grown(scene.hairs, tile.view, camera, lit.card * factor)
        light = light * (1 - covered)[..., None] + hair
        cover = cover * (1 - covered) + covered
    seen = defocused(
        np.concatenate([light, cover[..., None]], axis=-1),
        tile.view.depth,
        scene.focus,
        camera.focal,
        scene.sensor.aperture,
    )
    light, cover = seen[..., :3], seen[..., 3]
    if cover.min() < 1:
        light = light + _behind(target, scene) * (1 - cover)[..., None]
    areas = pixel_areas(tile.view, camera)
    record = _record(scene, tile, areas, float(factor))
    return Rendering(develop(light, scene.sensor), tile.instance, tile.view, areas, record)


def _behind(target: Target, scene: Scene) -> Floats:
    """Return the background; those who stand before a procedural one stand on a floor."""
    background, camera = scene.background, scene.camera
    made = painted(background, (camera.width, camera.height), scene.picture)
    if background.kind == "image" or not scene.mode.upright:
        return made
    return with_floor(made, camera, background.seed, target.surface.vertices)


def _exposure(scene: Scene, tile: Tile) -> float:
    """Return what the light is multiplied by: metered on every second pixel of bare skin."""
    skin = (tile.view.skin > 0) & (tile.instance == 0)
    light, albedo = tile.lit.light[_METERED], tile.lit.albedo[_METERED]
    return exposed(light, albedo, skin[_METERED], scene.sensor.exposure)


def _record(scene: Scene, tile: Tile, areas: Floats, factor: float) -> dict[str, Any]:
    taken = scene.taken
    shares = np.bincount(tile.instance.ravel(), minlength=len(scene.decals) + 1)[1:]
    return {
        "mode": scene.mode.name,
        "camera": scene.camera.as_json(),
        "focus_m": taken.focus.round(6).tolist(),
        "focus_part": taken.part,
        "mm_per_pixel": round(scene.pixel * 1e3, 6),
        "skin": scene.skin.as_json(),
        "ita": tone(scene.camera, tile),
        "light": scene.lighting.as_json() | {"rays": scene.rays, "exposure": round(factor, 6)},
        "sensor": scene.sensor.as_json(),
        "background": scene.background.as_json(),
        "hairs": None if scene.hairs is None else scene.hairs.as_json(),
        "blend": scene.blend.name,
        "lesions_placed": len(scene.decals),
        "lesions": [
            {
                "across_mm": round(decal.lesion.across * 1e3, 4),
                "area_mm2": round(decal.area * 1e6, 4),
                "seen_mm2": round(float(areas[tile.instance == number].sum()) * 1e6, 4),
                "pixels": int(shares[number - 1]),
                "centre_m": decal.place.centre.round(6).tolist(),
            }
            for number, decal in enumerate(scene.decals, start=1)
        ],
        "refused": {kind: dict(sorted(n.items())) for kind, n in scene.refused.items()},
        "seed": scene.seed,
    }


def tone(camera: Camera, tile: Tile) -> dict[str, float | None]:
    """Return the ITA of the skin outside lesions, degrees: of the albedo, and by a grey card.

    The card lies on the skin where it is lit and faces the camera: what it sends back is known.
    """
    skin = (tile.view.skin > 0) & (tile.instance == 0) & (tile.lit.cover > 0.999)
    facing = (skin & (incidence(tile.view, camera) > _FACING))[_METERED]
    light, albedo, card = (
        made[_METERED] for made in (tile.lit.light, tile.lit.albedo, tile.lit.card)
    )
    level = card.sum(axis=-1)
    if facing.any():
        facing &= level >= np.median(level[facing])
    by_card = light[facing] / np.maximum(card[facing], 1e-6)
    return {
        "albedo": _rounded(measured_ita(albedo[skin[_METERED]])),
        "grey_card": _rounded(measured_ita(by_card)),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _box(inside: NDArray[np.bool_]) -> tuple[int, int, int, int] | None:
    if not inside.any():
        return None
    rows, columns = np.nonzero(inside.any(axis=1))[0], np.nonzero(inside.any(axis=0))[0]
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
