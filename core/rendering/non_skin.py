"""What on the default body is not skin, as a map of materials in texture space.

Lips, mouth, nails and areolae are the masks of the package, eyes, their sockets and the tongue its
segmentation. It has none of hair and underwear: those are drawn here, as regions of the standing
average body in metres, and lie on every body at the same place of its texture.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from core.rendering.anny_model import AnnyModel, data_folder, only_one, replacing, version
from core.rendering.baking import bake, spread
from core.rendering.body_parts import PARTS, part_weights
from core.rendering.subdivision import bilinear, catmull_clark, split

MATERIALS = (
    "skin",
    "eye",
    "eye_socket",
    "mouth",
    "lips",
    "nail",
    "areola",
    "hair",
    "briefs",
    "bra",
)
SIZE = 2048
_DRAWING = 3
"""Number of what is drawn here: a change makes prepared maps anew."""

_GUTTER = 6
"""Texels that a material reaches beyond the edge of its chart, for whoever interpolates there."""

_SLOPE = 1.3
"""Standard deviation in texels."""

_TEXTURES = {
    "lips": ("lips",),
    "mouth": ("inside-mouth",),
    "nail": ("fingernails", "toenails"),
    "areola": ("aureolae",),
}
_SEGMENTS = {
    "eye": ("eye_front.L", "eye_back.L", "eye_front.R", "eye_back.R"),
    "eye_socket": ("eye_cavity.L", "eye_cavity.R"),
    "mouth": ("mouth_cavity", "tongue"),
}

_REGIONS = (("head",), ("torso_front", "torso_back", "hips_front", "hips_back"))

Map = NDArray[np.uint8]
Flags = NDArray[np.bool_]


def load_materials(folder: Path, model: AnnyModel, levels: int) -> tuple[Map, Map]:
    """Return maps (SIZE, SIZE) of material numbers, row 0 at the top: without and with a bra.

    Drawn once below ``folder``, in about 8 s, from ``levels`` of subdivision.
    """
    path = folder / f"materials-{version()}-{_DRAWING}.npz"
    if not path.exists():
        with only_one(folder):
            if not path.exists():
                bare, dressed = _draw(model, levels)
                with replacing(path) as partial:
                    np.savez_compressed(partial, bare=bare, dressed=dressed)
    with np.load(path, allow_pickle=False) as file:
        return file["bare"], file["dressed"]


def covering(materials: Map) -> Map:
    """Return 255 where there is anything but skin, 0 where there is skin, a slope in between.

    The slope is even: where it is half way the border is a smooth line, not the stairs of texels.
    """
    drawn = np.where(materials > 0, np.uint8(255), np.uint8(0))
    return np.asarray(cv2.GaussianBlur(drawn, (0, 0), _SLOPE), np.uint8)


def _draw(model: AnnyModel, levels: int) -> tuple[Map, Map]:
    rest = model.positions({}, {})
    weights = part_weights(model.bones, model.bone_weights(), np.zeros(len(rest)))
    shares = [weights[:, [PARTS.index(part) for part in group]].sum(axis=1) for group in _REGIONS]
    refinement = catmull_clark(model.quads, model.vertex_count, levels)
    values = refinement.matrix @ np.column_stack([rest, *shares])
    uv = split(bilinear(model.corner_uv, levels))
    baked, covered = bake(uv, split(values[refinement.quads]), SIZE)
    place, head, trunk = baked[..., :3], baked[..., 3], baked[..., 4]
    bare = np.zeros((SIZE, SIZE), np.uint8)
    _lay(bare, "hair", hair(place, head) & ~_mask("ears"))
    _lay(bare, "briefs", briefs(place))
    for name, inside in _given():
        _lay(bare, name, inside)
    dressed = bare.copy()
    _lay(dressed, "bra", bra(place, trunk))
    return spread(bare, covered, _GUTTER), spread(dressed, covered, _GUTTER)


def _lay(drawn: Map, name: str, inside: Flags) -> None:
    drawn[inside] = MATERIALS.index(name)


def _given() -> list[tuple[str, Flags]]:
    """Return the package's masks, those of the segmentation first."""
    import yaml
    from PIL import Image

    folder = data_folder()
    colours = yaml.safe_load((folder / "segmentation/body_parts_segmentation.yaml").read_text())
    with Image.open(folder / "segmentation/body_parts_segmentation.png") as image:
        wide = image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.NEAREST)
    segments = np.asarray(wide)
    found = [
        (name, np.all(segments == np.array(colours["colors"][label]), axis=-1))
        for name, labels in _SEGMENTS.items()
        for label in labels
    ]
    return found + [(name, _mask(file)) for name, files in _TEXTURES.items() for file in files]


def _mask(name: str) -> Flags:
    from PIL import Image

    with Image.open(data_folder() / f"mpfb2/textures/mpfb_{name}.jpg") as image:
        grey = image.convert("L").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    return np.asarray(grey) > 127


def hair(place: NDArray[Any], head: NDArray[Any]) -> Flags:
    """Tell where the scalp has hair: above a line from the forehead over the ears to the nape."""
    y, z = place[..., 1], place[..., 2]
    line = np.interp(
        y,
        (-0.12, -0.085, -0.065, -0.05, -0.03, 0.0, 0.05),
        (0.705, 0.7, 0.69, 0.65, 0.655, 0.62, 0.59),
    )
    above: Flags = (z > line) & (head > 0.5)
    return above


def briefs(place: NDArray[Any]) -> Flags:
    """Tell what briefs cover: from below the navel to the groin, cut out for the legs."""
    x, z = place[..., 0], place[..., 2]
    covered: Flags = (z < 0.06) & (z > -0.13 + 0.75 * np.clip(np.abs(x) - 0.03, 0, None))
    return covered


def bra(place: NDArray[Any], trunk: NDArray[Any]) -> Flags:
    """Tell what a sports bra covers: a band around the chest and straps over the shoulders."""
    x, z = np.abs(place[..., 0]), place[..., 2]
    band = (z > 0.25) & (z < 0.36)
    strap = (z >= 0.36) & (x > 0.065) & (x < 0.095)
    covered: Flags = (band | strap) & (trunk > 0.5)
    return covered
