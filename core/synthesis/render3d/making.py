"""One image: its scene is drawn from the order's seed, rendered, and written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import InvalidInput
from core.ingest.images import decode
from core.rendering.annotations import files
from core.rendering.body import BodyRanges, sample_body
from core.rendering.lesions import Lesion
from core.rendering.render import Rendering, render
from core.rendering.scene import Wanted, draw_scene
from core.rendering.skin import draw_skin
from core.rendering.surface_file import BACKGROUND_FILE
from core.rendering.views import MODES, Mode, Sites
from core.synthesis.contract import Asset, Made, Order, Pixels
from core.synthesis.render3d.params import Render3dParams

_LONGEST = 2.0
"""Most that an image is longer than wide, whatever its donor is."""
_SKIN, _SCENE = 1, 2
"""Keys of what is drawn by itself, so that skin of another tone stands in the same scene."""


def make_view(
    params: Render3dParams,
    order: Order,
    sites: Sites,
    lesions: Sequence[Lesion],
    weights_dir: Path | None = None,
) -> Made:
    """Render one order; ``lesions`` are those of its settings, ``weights_dir`` is for deep_blend.

    NoAcceptableView, OutOfMemory, WeightsMissing.
    """
    settings = order.settings
    textured = sites.target.surface.texture is not None
    if textured and params.sweep:
        raise InvalidInput(
            "A sweep over skin tones needs bodies that the skin model colours; an uploaded one has "
            "a texture of its own: import it with colour: model",
            code="textured_body",
        )
    seed = settings.get("scene", order.seed)
    skin = draw_skin(settings["ita"], np.random.default_rng([seed, _SKIN]))
    scene = draw_scene(
        sites,
        skin,
        lesions,
        _wanted(params, _size(params, order), weights_dir),
        np.random.default_rng([seed, _SCENE]),
        _pictures(order.assets),
    )
    done = _told(params, order, render(sites.target, scene), textured)
    told = files(done, sites.target.surface.parts, [order.label] * len(lesions))
    return Made(
        pixels=done.pixels,
        provenance=_provenance(params, done.record),
        transform=None,
        annotations={n: told[n] for n in told if n == "mask" or n in params.annotations},
    )


def mode_of(params: Render3dParams) -> Mode:
    """Return the mode with what the parameters set otherwise."""
    mode = MODES[params.mode]
    if params.distance_m is not None:
        mode = replace(mode, distance=params.distance_m, fill=None)
    if params.field_of_view is not None:
        mode = replace(mode, field_of_view=params.field_of_view)
    return mode if params.around is None else replace(mode, around=params.around)


def _wanted(params: Render3dParams, size: tuple[int, int], weights_dir: Path | None) -> Wanted:
    return Wanted(
        mode=mode_of(params),
        size=size,
        rays=params.rays,
        min_skin=params.min_skin,
        min_lesion=params.min_lesion,
        tries=params.tries,
        hair=params.hair,
        blend=params.blend,
        weights_dir=weights_dir,
    )


def _size(params: Render3dParams, order: Order) -> tuple[int, int]:
    """Return width and height; the longer one is the order's."""
    side: int = order.settings["side"]
    if params.aspect == "square":
        return side, side
    main = order.parents[0]
    ratio = min(max(main.width / main.height, 1 / _LONGEST), _LONGEST)
    return (side, round(side / ratio)) if ratio >= 1 else (round(side * ratio), side)


def _pictures(assets: Sequence[Asset]) -> list[Pixels]:
    """Return the background of an order in colours; none when it is procedural."""
    paths = [asset.path(BACKGROUND_FILE) for asset in assets if asset.kind == "background"]
    found = [decode(path) for path in paths if path is not None]
    return [p if p.ndim == 3 else np.stack([p] * 3, axis=-1) for p in found]


def _told(params: Render3dParams, order: Order, made: Rendering, textured: bool) -> Rendering:
    """Add to the record what only the order knows."""
    settings = order.settings
    if settings["body"] is None:
        body: dict[str, Any] = {
            "asset": next(asset.id for asset in order.assets if asset.kind == "body")
        }
    else:
        body = sample_body(settings["body"], BodyRanges(**params.body.model_dump())).record()
    return replace(
        made,
        record=made.record
        | {
            "body": body,
            "tone_asked": None if textured else settings["tone"],
            "places": "prior" if settings.get("shares") else "even",
            "sizes": "assumed by diagnosis" if params.across_mm == "prior" else "asked",
            "donors": [order.parents[one["parent"]].sha256 for one in settings["lesions"]],
        },
    )


def _provenance(params: Render3dParams, record: Mapping[str, Any]) -> dict[str, Any]:
    ita = record["ita"]["albedo"]
    tone = [] if ita is None else [{"op": "ITA", "degrees": ita}]
    return {
        "operations": [{"op": params.mode}, *tone],
        "part": record["focus_part"],
        "mm_per_pixel": record["mm_per_pixel"],
        "ita": record["ita"],
        "places": record["places"],
        "refused": record["refused"],
    }
