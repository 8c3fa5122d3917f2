"""Turns hits, skin and light into linear colours with smooth contours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import warp as wp
from numpy.typing import NDArray

from core.rendering import lights as lighting_on
from core.rendering import skin as skin_on
from core.rendering.camera import Camera
from core.rendering.decals import Decal, lay
from core.rendering.kernels.contours import contours
from core.rendering.kernels.shade import Shaded, shade
from core.rendering.kernels.smoothing import smooth_shares
from core.rendering.kernels.visibility import Seen, visibility
from core.rendering.lights import Lighting
from core.rendering.raycast import Floats, Target, View, cast, eye
from core.rendering.skin import Skin

_MARGIN = 8
"""Rows beyond a tile that are cast with it: shares seen are gathered from 3 half rows around."""
_REACH = 0.25
"""Metres within which surroundings are dimmed by the body."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a view is to be shaded.

    rays are cast to each light and to the surroundings on every second pixel; soft is how far
    light travels in skin over what the view shows (1 close, 0 none); flat scales the relief;
    pixel is metres across one where the camera looks.
    """

    skin: Skin
    lighting: Lighting
    rays: int = 4
    soft: float = 1.0
    flat: float = 1.0
    pixel: float = 5e-4
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Lit:
    """Linear light times cover (H, W, 3), cover (H, W), albedo, and a white card's light."""

    light: Floats
    cover: Floats
    albedo: Floats
    card: Floats


@dataclass(frozen=True, slots=True)
class Tile:
    """Rows of an image: what the centre rays met, whose lesion it is, and the light."""

    view: View
    instance: NDArray[np.int32]
    lit: Lit

    @staticmethod
    def joined(parts: Sequence[Tile]) -> Tile:
        """Return tiles that follow each other as one."""
        return Tile(
            View.joined([part.view for part in parts]),
            np.concatenate([part.instance for part in parts]),
            Lit(
                *(
                    np.concatenate([getattr(part.lit, name) for part in parts])
                    for name in ("light", "cover", "albedo", "card")
                )
            ),
        )


def light_up(
    target: Target, camera: Camera, look: Look, decals: Sequence[Decal], rows: tuple[int, int]
) -> Tile:
    """Shade the rows (first, last) of a view; any division into rows gives the same values."""
    first, last = max(0, rows[0] - _MARGIN), min(camera.height, rows[1] + _MARGIN)
    view = cast(target, camera, (first, last))
    seen, half = _visibility(target, camera, look, view)
    laid = lay(target, view, decals, look.pixel)
    shaded = _shade(target, camera, look, view, seen, half, laid.density)
    smooth, cover = _contours(target, camera, view, shaded)
    inner = slice(rows[0] - first, rows[1] - first)
    lit = Lit(*(made.numpy()[inner] for made in (smooth, cover, shaded.albedo, shaded.card)))
    return Tile(view.rows(*rows), laid.instance[inner], lit)


def _visibility(target: Target, camera: Camera, look: Look, view: View) -> tuple[Any, int]:
    """Return what every second pixel of a view sees, and the first of these half rows."""
    low, high = (view.first + 1) // 2, (view.last + 1) // 2
    shape = (high - low, (camera.width + 1) // 2)
    seen = Seen()
    kinds = {"shares": wp.vec4, "even": wp.vec4, "depth": wp.float32, "normal": wp.vec3}
    for name, kind in kinds.items():
        setattr(seen, name, wp.zeros(shape, dtype=kind, device=target.device))
    wp.launch(
        visibility,
        shape,
        inputs=[
            eye(camera),
            target.shape,
            view.on_device,
            view.first,
            lighting_on.on_device(look.lighting, target.device),
            low,
            look.rays,
            _REACH,
            look.seed,
            seen,
        ],
        device=target.device,
    )
    half = wp.zeros(shape, dtype=wp.vec4, device=target.device)
    for across, raw, even in ((True, seen.shares, half), (False, half, seen.even)):
        wp.launch(smooth_shares, shape, inputs=[seen, across, raw, even], device=target.device)
    return seen, low


def _shade(
    target: Target,
    camera: Camera,
    look: Look,
    view: View,
    seen: Any,
    half: int,
    density: Floats,
) -> Any:
    shape, device = view.face.shape, target.device
    shaded = Shaded()
    for name in ("light", "albedo", "card"):
        setattr(shaded, name, wp.zeros(shape, dtype=wp.vec3, device=device))
    wp.launch(
        shade,
        shape,
        inputs=[
            eye(camera),
            view.on_device,
            seen,
            lighting_on.on_device(look.lighting, device),
            skin_on.on_device(look.skin, device, look.flat),
            skin_on.gloss_on_device(look.skin, look.lighting.gloss, look.soft),
            skin_on.dress_on_device(look.skin, target.materials, target.texture, device),
            wp.array(np.ascontiguousarray(density), dtype=wp.vec3, device=device),
            view.first,
            half,
            shaded,
        ],
        device=device,
    )
    return shaded


def _contours(target: Target, camera: Camera, view: View, shaded: Any) -> tuple[Any, Any]:
    shape = view.face.shape
    smooth = wp.zeros(shape, dtype=wp.vec3, device=target.device)
    cover = wp.zeros(shape, dtype=wp.float32, device=target.device)
    wp.launch(
        contours,
        shape,
        inputs=[eye(camera), target.shape, view.on_device, shaded.light, view.first],
        outputs=[smooth, cover],
        device=target.device,
    )
    return smooth, cover
