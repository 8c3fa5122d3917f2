"""Where the camera stands: four modes, what is acceptable, and how often it was not."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInput, JobFailed
from core.rendering.camera import Camera, Vector, aim
from core.rendering.lights import Rig
from core.rendering.raycast import Target, cast

ModeName = Literal["dermoscopy", "clinical", "regional", "whole_body"]
Around = Literal["normal", "orbit"]

_NEAR = 0.01
"""Metres from the chosen point within which the centre ray must arrive."""
_PREVIEW = 48
"""Pixels along the shorter side of the copy that skin is counted on."""
_COVERED = 128
"""Least value of a mask of what is not skin."""
_FACING = 0.2
"""Least cosine between the normal of a point and the way to a camera on an orbit."""


class NoAcceptableView(JobFailed):
    """No view met the conditions within the tries allowed."""

    status = 422
    default_code = "no_acceptable_view"
    title = "No acceptable view"


@dataclass(frozen=True, slots=True)
class Mode:
    """How one kind of photograph is taken.

    distance in metres and field of view in degrees are ranges; tilt is the largest angle between
    the skin's normal and the camera, degrees; skin the least share of the image; avoid the largest
    share of ``avoided`` parts. soft and flat as in ``shading.Look``. around ``orbit`` draws the
    direction (elevation 0-180, azimuth -90 to 90 degrees about the front) before the point. fill
    is a range of a lesion's diameter over the image's shorter side, which the distance then suits
    as far as its own range allows; None: the distance is drawn.
    """

    name: ModeName
    distance: tuple[float, float]
    field_of_view: tuple[float, float]
    tilt: float
    skin: float
    rigs: Mapping[Rig, float]
    around: Around = "normal"
    soft: float = 1.0
    flat: float = 1.0
    upright: bool = False
    avoid: float = 0.02
    fill: tuple[float, float] | None = None


MODES: dict[ModeName, Mode] = {
    mode.name: mode
    for mode in (
        Mode(
            "dermoscopy",
            (0.03, 0.15),
            (11, 13),
            tilt=2,
            skin=0.98,
            fill=(0.3, 0.62),
            rigs={"ring": 1},
            flat=0.35,
        ),
        Mode(
            "clinical",
            (0.1, 1.3),
            (30, 30),
            tilt=35,
            skin=0.1,
            fill=(0.06, 0.4),
            rigs={"flash": 2, "lamp": 1, "window": 1},
        ),
        Mode(
            "regional",
            (0.55, 1.1),
            (30, 42),
            tilt=30,
            skin=0.2,
            rigs={"flash": 1, "lamp": 1, "window": 1},
            soft=0.5,
            upright=True,
        ),
        Mode(
            "whole_body",
            (2.0, 3.2),
            (28, 36),
            tilt=60,
            skin=0.08,
            rigs={"lamp": 1, "window": 1, "flash": 0.5},
            soft=0.15,
            upright=True,
            avoid=0.06,
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Taken:
    """An accepted view: its camera, and the point looked at with its normal and part."""

    camera: Camera
    focus: Vector
    normal: Vector
    part: str


class Sites:
    """Where on a surface a camera may look: triangles whose corners are skin.

    A triangle is of the part that is strongest at its first corner.
    """

    def __init__(
        self, target: Target, prior: Mapping[str, float] | None = None, avoided: Sequence[str] = ()
    ) -> None:
        """``prior`` weighs body parts by name, those it does not name with 0.

        InvalidInput ``unknown_part``, or ``no_acceptable_view`` when no skin is left.
        """
        surface = target.surface
        self.target = target
        self.avoided = [surface.parts.index(name) for name in avoided if name in surface.parts]
        first, second, third = (surface.vertices[surface.triangles[:, n]] for n in range(3))
        (ax, ay, az), (bx, by, bz) = (second - first).T, (third - first).T
        area = np.sqrt(
            (ay * bz - az * by) ** 2 + (az * bx - ax * bz) ** 2 + (ax * by - ay * bx) ** 2
        )
        self.part = target.part_of_vertex[surface.triangles[:, 0]]
        weight = area * _on_skin(target) * self._prior(prior)
        if not weight.sum() > 0:
            raise InvalidInput(
                "There is no skin to look at on the parts that are asked for",
                code="no_acceptable_view",
            )
        self.weight = weight
        self.cumulated = np.cumsum(weight / weight.sum(), dtype=np.float64)

    @property
    def areas(self) -> dict[str, float]:
        """Square metres of skin to look at on each part that has any, times the prior."""
        parts = self.target.surface.parts
        total = np.bincount(self.part, self.weight, len(parts))
        return {name: float(area) for name, area in zip(parts, total, strict=True) if area > 0}

    def looked_at(self, shares: Mapping[str, float]) -> Sites:
        """Return the same sites, with each part looked at as often as ``shares`` say.

        A part that has no skin to look at, or no share, is not. InvalidInput
        ``no_acceptable_view`` when none is left.
        """
        areas, parts = self.areas, self.target.surface.parts
        per_area = [shares.get(name, 0) / areas[name] if name in areas else 0 for name in parts]
        weight = self.weight * np.array(per_area)[self.part]
        if not weight.sum() > 0:
            raise InvalidInput(
                "There is no skin to look at on the parts that are asked for",
                code="no_acceptable_view",
            )
        found = copy(self)
        found.weight = weight
        found.cumulated = np.cumsum(weight / weight.sum())
        return found

    def _prior(self, prior: Mapping[str, float] | None) -> NDArray[np.float64]:
        parts = self.target.surface.parts
        if prior is None:
            by_part = np.ones(len(parts))
            by_part[self.avoided] = 0
        else:
            if unknown := sorted(set(prior) - set(parts)):
                raise InvalidInput(
                    f"There is no body part {unknown[0]!r}; known: {', '.join(parts)}",
                    code="unknown_part",
                )
            by_part = np.array([prior.get(name, 0.0) for name in parts])
        return np.asarray(by_part[self.part])

    def draw(self, rng: np.random.Generator) -> tuple[Vector, Vector, str]:
        """Return a point, its normal and its part, by area."""
        face = int(np.searchsorted(self.cumulated, rng.random()))
        face = min(face, len(self.cumulated) - 1)
        root, second = math.sqrt(rng.random()), rng.random()
        weights = np.array([1 - root, root * (1 - second), root * second])
        surface = self.target.surface
        corners = surface.triangles[face]
        normal = weights @ surface.normals[corners].astype(np.float64)
        normal /= np.linalg.norm(normal)
        point = weights @ surface.vertices[corners].astype(np.float64)
        return point, normal, surface.parts[int(self.part[face])]


def take(
    sites: Sites,
    mode: Mode,
    size: tuple[int, int],
    rng: np.random.Generator,
    *,
    across: float | None = None,
    min_skin: float | None = None,
    tries: int = 60,
    refused: Counter[str] | None = None,
) -> Taken:
    """Draw views until one is acceptable.

    ``across`` is the diameter of the lesion to be shown, metres; ``min_skin`` replaces the mode's
    least share of skin; ``refused`` counts the views refused so far, and goes on counting.

    Refused: camera inside the body or behind a part of it (``centre_off``), skin that faces away
    from an orbit (``away``), ``little_skin``, ``avoided_part``. NoAcceptableView after ``tries``,
    with the counts.
    """
    refused = Counter() if refused is None else refused
    while refused.total() < tries:
        focus, normal, part = sites.draw(rng)
        camera = _camera(mode, focus, normal, size, across, rng)
        reason = "away"
        if camera is not None:
            found = _reason(sites, camera, focus, mode, min_skin)
            if found is None:
                return Taken(camera, focus, normal, part)
            reason = found
        refused[reason] += 1
    raise NoAcceptableView(
        f"None of {tries} views of mode {mode.name} was acceptable ({told(refused)}); lower "
        "min_skin, allow more body parts or use another mode",
        extra={"refused": dict(refused)},
    )


def told(refused: Mapping[str, int]) -> str:
    """Return counts of reasons in words."""
    return ", ".join(f"{name} {count}" for name, count in sorted(refused.items())) or "none"


def _camera(
    mode: Mode,
    focus: Vector,
    normal: Vector,
    size: tuple[int, int],
    across: float | None,
    rng: np.random.Generator,
) -> Camera | None:
    """Return a camera that looks at the point, or None when the orbit shows its back."""
    low, high = mode.distance
    degrees = rng.uniform(*mode.field_of_view)
    if mode.fill is None or across is None:
        distance = rng.uniform(low, high)
    else:
        filled = math.exp(rng.uniform(math.log(mode.fill[0]), math.log(mode.fill[1])))
        field_width = across / filled
        distance = min(max(field_width / 2 / math.tan(math.radians(degrees) / 2), low), high)
    if mode.around == "orbit":
        direction = _orbit(rng)
        if direction @ normal < _FACING:
            return None
    else:
        direction = tilted(normal, math.radians(mode.tilt), rng)
    if mode.name == "whole_body":
        direction = _level(direction, rng)
    roll = rng.normal(0, 0.06) if mode.upright else rng.uniform(-math.pi, math.pi)
    return aim(focus + distance * direction, focus, roll, math.radians(degrees), size)


def tilted(normal: Vector, most: float, rng: np.random.Generator) -> Vector:
    """Return a direction within a cone of ``most`` radians about the normal, evenly over it."""
    cosine = 1 - rng.random() * (1 - math.cos(most))
    angle = rng.uniform(0, 2 * math.pi)
    helper = np.array([0.0, 0, 1]) if abs(normal[2]) < 0.9 else np.array([1.0, 0, 0])
    first = np.cross(helper, normal)
    first /= np.linalg.norm(first)
    sideways = math.cos(angle) * first + math.sin(angle) * np.cross(normal, first)
    return np.asarray(cosine * normal + math.sqrt(1 - cosine**2) * sideways)


def _orbit(rng: np.random.Generator) -> Vector:
    elevation, azimuth = math.radians(rng.uniform(0, 180)), math.radians(rng.uniform(-90, 90))
    flat = math.sin(elevation)
    return np.array([flat * math.sin(azimuth), -flat * math.cos(azimuth), math.cos(elevation)])


def _level(direction: Vector, rng: np.random.Generator) -> Vector:
    """Return the direction at about the height of what a standing photographer looks at."""
    flat = np.array([direction[0], direction[1], 0.0])
    flat /= max(float(np.linalg.norm(flat)), 1e-6)
    made = flat + np.array([0, 0, rng.normal(0.0, 0.08)])
    return np.asarray(made / np.linalg.norm(made))


def _reason(
    sites: Sites, camera: Camera, focus: Vector, mode: Mode, min_skin: float | None
) -> str | None:
    met = sites.target.meet(camera.position[None], (focus - camera.position)[None])
    away = float(np.linalg.norm(focus - camera.position))
    if met.face[0] < 0 or met.behind[0] or abs(float(met.distance[0]) - away) > _NEAR:
        return "centre_off"
    scale = _PREVIEW / min(camera.width, camera.height)
    small = camera.scaled(round(camera.width * scale), round(camera.height * scale))
    view = cast(sites.target, small)
    if (view.skin > 0).mean() < (mode.skin if min_skin is None else min_skin):
        return "little_skin"
    if np.isin(view.part, sites.avoided).mean() > mode.avoid:
        return "avoided_part"
    return None


def _on_skin(target: Target) -> NDArray[np.bool_]:
    """Tell which triangles have skin at all corners."""
    surface = target.surface
    if surface.non_skin is None:
        return np.ones(len(surface.triangles), np.bool_)
    mask = surface.non_skin
    rows, columns = mask.shape
    skin = np.ones(len(surface.triangles), np.bool_)
    for u, v in (surface.corner_uv[:, n].T for n in range(3)):
        column = np.clip((u * columns).astype(np.int32), 0, columns - 1)
        row = np.clip(((1 - v) * rows).astype(np.int32), 0, rows - 1)
        skin &= mask[row, column] < _COVERED
    return skin
