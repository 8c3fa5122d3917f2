"""Lesions on a surface: where they may go, and what they cover in a view."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import warp as wp
from numpy.typing import NDArray

from core.rendering.kernels.decals import MISSED, OFF_SKIN, lay_decals, probe
from core.rendering.kernels.decals import Decals as DecalsOnDevice
from core.rendering.lesions import Lesion
from core.rendering.raycast import Floats, Target, View
from core.rendering.runtime import array

Vector = NDArray[np.float64]
Refusal = Literal["off_body", "not_skin", "not_flat", "stretched", "overlap"]

AREA_OFF = 0.05
"""Most that the skin under a lesion may differ from the lesion in area."""
DEPTH_RANGE = 0.02
"""Metres that the skin under a lesion may vary in depth, at most."""
_GRID = 64
_AT_ONCE = 3
"""Places that are looked down on together: mostly one of the first will do."""
_AROUND = 1.2
"""Reach of a lesion with the skin around it that must be free, over its own."""


@dataclass(frozen=True, slots=True)
class Place:
    """A point of a surface and its frame: unit normal, axes across and down, metres."""

    centre: Vector
    normal: Vector
    across: Vector

    @property
    def down(self) -> Vector:
        """The third axis, along the lesion's rows."""
        return np.cross(self.normal, self.across)


@dataclass(frozen=True, slots=True)
class Decal:
    """A lesion at its place; area is measured on the surface, square metres."""

    lesion: Lesion
    place: Place
    area: float


def place_at(centre: Vector, normal: Vector, degrees: float) -> Place:
    """Return a place whose axis across is turned by ``degrees``."""
    helper = np.array([0.0, 0, 1]) if abs(normal[2]) < 0.9 else np.array([1.0, 0, 0])
    first = np.cross(helper, normal)
    first /= np.linalg.norm(first)
    angle = math.radians(degrees)
    across = math.cos(angle) * first + math.sin(angle) * np.cross(normal, first)
    return Place(centre, normal, across)


def fitting(
    target: Target, lesion: Lesion, places: Sequence[Place], earlier: Sequence[Decal] = ()
) -> tuple[Decal | None, Counter[str]]:
    """Return the lesion at the first place that takes it, and why those before did not."""
    refused: Counter[str] = Counter()
    for first in range(0, len(places), _AT_ONCE):
        some = places[first : first + _AT_ONCE]
        for place, found in zip(some, _probe(target, lesion, some), strict=True):
            reason = _refusal(lesion, place, earlier, found)
            if reason is None:
                return Decal(lesion, place, float(found.area.sum())), refused
            refused[reason] += 1
    return None, refused


@dataclass(frozen=True, slots=True)
class _Found:
    """What lies below a lesion, in a grid: area inside it, height and what it is."""

    area: Floats
    height: Floats
    state: NDArray[np.int32]


def _refusal(
    lesion: Lesion, place: Place, earlier: Sequence[Decal], found: _Found
) -> Refusal | None:
    if (found.state == int(MISSED)).any():
        return "off_body"
    if (found.state == int(OFF_SKIN)).any():
        return "not_skin"
    seen = found.state != 0
    if not seen.any() or float(np.ptp(found.height[seen])) > DEPTH_RANGE:
        return "not_flat"
    if abs(float(found.area.sum()) / lesion.area - 1) > AREA_OFF:
        return "stretched"
    for other in earlier:
        apart = float(np.linalg.norm(place.centre - other.place.centre))
        if apart < _AROUND * (lesion.reach + other.lesion.reach):
            return "overlap"
    return None


def _probe(target: Target, lesion: Lesion, places: Sequence[Place]) -> list[_Found]:
    shape = (len(places), _GRID, _GRID)
    outputs = [wp.zeros(shape, dtype=kind, device=target.device) for kind in (float, float, int)]
    wp.launch(
        probe,
        shape,
        inputs=[
            target.shape,
            on_device([(lesion, place) for place in places], target.device, shared=True),
            _GRID,
        ],
        outputs=outputs,
        device=target.device,
    )
    read = (output.numpy() for output in outputs)
    return [_Found(area, height, state) for area, height, state in zip(*read, strict=True)]


@dataclass(frozen=True, slots=True)
class Laid:
    """density (H, W, 3) that lesions add, and instance (H, W): 1 + the decal's number, 0 none."""

    density: Floats
    instance: NDArray[np.int32]


def lay(target: Target, view: View, decals: Sequence[Decal], pixel: float) -> Laid:
    """Lay decals on what a view shows; ``pixel`` is metres across one at the lesions' depth."""
    shape = view.face.shape
    density = wp.zeros(shape, dtype=wp.vec3, device=target.device)
    instance = wp.zeros(shape, dtype=wp.int32, device=target.device)
    if decals:
        pairs = [(one.lesion.at(pixel), one.place) for one in decals]
        wp.launch(
            lay_decals,
            shape,
            inputs=[view.on_device, on_device(pairs, target.device)],
            outputs=[density, instance],
            device=target.device,
        )
    return Laid(density.numpy(), instance.numpy())


def on_device(pairs: Sequence[tuple[Lesion, Place]], device: str, *, shared: bool = False) -> Any:
    """Return lesions and places for kernels; ``shared``: all have the first one's texture."""
    made = DecalsOnDevice()
    made.count = len(pairs)
    for name in ("centre", "normal", "across", "down"):
        vectors = np.array([getattr(place, name) for _, place in pairs], np.float32)
        setattr(made, name, array(vectors, wp.vec3, device))
    lesions = [pairs[0][0]] if shared else [lesion for lesion, _ in pairs]
    repeat = len(pairs) if shared else 1
    sizes = [lesion.inside.shape for lesion in lesions] * repeat
    counts = [rows * columns for rows, columns in sizes]
    starts = [0] * len(pairs) if shared else [0, *np.cumsum(counts)[:-1].tolist()]
    for name, values, kind in (
        ("reach", [_AROUND * lesion.reach for lesion in lesions] * repeat, wp.float32),
        ("texel", [lesion.texel for lesion in lesions] * repeat, wp.float32),
        ("start", starts, wp.int32),
        ("rows", [rows for rows, _ in sizes], wp.int32),
        ("columns", [columns for _, columns in sizes], wp.int32),
    ):
        setattr(made, name, array(values, kind, device))
    texels = [
        np.concatenate([lesion.density, lesion.inside[..., None]], axis=-1).reshape(-1, 4)
        for lesion in lesions
    ]
    made.texels = array(np.concatenate(texels), wp.vec4, device)
    return made
