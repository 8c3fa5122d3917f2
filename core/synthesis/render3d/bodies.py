"""Bodies that are ready for rays: each made once, the last few kept."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Any

from core.errors import InvalidInput
from core.ingest.images import decode
from core.rendering import runtime
from core.rendering.body import BodyRanges, body_surface, materials, sample_body
from core.rendering.body_parts import TO_16, UNKNOWN
from core.rendering.raycast import Target
from core.rendering.surface_file import MASK_FILE, MESH_FILE, TEXTURE_FILE, load_surface
from core.rendering.views import Sites
from core.synthesis.contract import Asset, Order
from core.synthesis.recent import Recent
from core.synthesis.render3d.params import FACES, BodyOptions, Render3dParams
from core.synthesis.render3d.places import PARTS

_KEPT = 2
"""A body takes about 150 MB; threads at the border of two bodies need both."""


class Bodies:
    """Finds the body of an order; threads that need the same one wait until it is made."""

    def __init__(self) -> None:
        self._recent: Recent[tuple[Any, ...], Sites] = Recent(_KEPT)
        self._lock = Lock()

    def sites(self, params: Render3dParams, order: Order) -> Sites:
        """Return where on its body an order's camera may look, and how often."""
        asset = next((asset for asset in order.assets if asset.kind == "body"), None)
        avoided = () if asset or set(FACES) & set(params.shown) else FACES
        with self._lock:
            if asset is None:
                key: tuple[Any, ...] = (order.settings["body"], params.body, avoided)
                found = self._recent.get(
                    key, lambda: _parametric(order.settings["body"], params.body, avoided)
                )
            else:
                files = tuple(sorted(asset.files.items()))
                found = self._recent.get(files, lambda: _uploaded(asset))
        return found.looked_at(_shares(params, found, order.settings.get("shares")))


def _parametric(seed: int, options: BodyOptions, avoided: tuple[str, ...]) -> Sites:
    runtime.start()
    folder = runtime.bodies_folder()
    body = sample_body(seed, BodyRanges(**options.model_dump()))
    return Sites(
        Target(body_surface(body, folder), materials=materials(body, folder)), None, avoided
    )


def _uploaded(asset: Asset) -> Sites:
    runtime.start()
    mesh, texture, mask = (asset.path(name) for name in (MESH_FILE, TEXTURE_FILE, MASK_FILE))
    if mesh is None:
        raise InvalidInput(f"Asset {asset.id} has no mesh", code="mesh_damaged")
    surface = load_surface(
        mesh,
        None if texture is None else decode(texture),
        None if mask is None else decode(mask),
    )
    return Sites(Target(surface))


def _shares(
    params: Render3dParams, sites: Sites, prior: Mapping[str, float] | None
) -> dict[str, float]:
    """Return how often each part of the surface is looked at: by the prior, else by its area.

    A surface has some of the 18 parts, or of the 16, or one that nobody named. InvalidInput
    ``unknown_part`` when parts are asked for and the surface has no names.
    """
    areas = sites.areas
    held = {name: _held(name) & set(params.shown) for name in areas}
    if set(areas) == {UNKNOWN}:
        if params.parts is not None:
            raise InvalidInput(
                "Nobody named the parts of the uploaded body, so none can be chosen: leave out "
                "/generator_params/parts, or import the body with its parts",
                code="unknown_part",
            )
        return areas
    if prior is None:
        return {name: area for name, area in areas.items() if held[name]}
    weights = {name: sum(prior[part] for part in held[name]) for name in areas if areas[name] > 0}
    return {name: weight for name, weight in weights.items() if weight > 0}


def _held(name: str) -> set[str]:
    """Return which of the 18 parts a part of a surface holds: itself, or those merged to it."""
    return {name} if name in PARTS else {part for part in PARTS if TO_16[part] == name}
