"""Everything that one image shows, drawn as numbers before the first pixel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from core.rendering.backgrounds import Background, draw_background
from core.rendering.blends import Blend, BlendName, open_blend
from core.rendering.camera import Camera
from core.rendering.decals import Decal, fitting, lay, place_at
from core.rendering.hairs import Hairs, draw_hairs
from core.rendering.lesions import Lesion
from core.rendering.lights import Lighting, Rig, draw_lighting
from core.rendering.measuring import incidence
from core.rendering.raycast import Bytes, Target, cast
from core.rendering.sensor import Sensor, draw_sensor
from core.rendering.skin import Skin
from core.rendering.views import Mode, NoAcceptableView, Sites, Taken, take, told

_PLACES = 24
"""Places that are looked at for one lesion in one view."""
_STEEP = 0.5
"""Least cosine between skin and camera at a lesion: 60 degrees."""
_MOST_OF_VIEW = 1 / 3
_MIDDLE = 0.22
"""Shift of the first lesion from the middle over the shorter side, standard deviation."""
_PREVIEW = 160
"""Pixels along the shorter side of the copy that places are looked for on."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One image: camera, light, skin, lesions, what is behind, and how it is developed."""

    mode: Mode
    taken: Taken
    skin: Skin
    lighting: Lighting
    decals: tuple[Decal, ...]
    sensor: Sensor
    background: Background
    hairs: Hairs | None
    rays: int
    seed: int
    refused: Mapping[str, Mapping[str, int]]
    picture: Bytes | None = None
    blend: Blend = field(default_factory=Blend)

    @property
    def camera(self) -> Camera:
        return self.taken.camera

    @property
    def focus(self) -> float:
        """Metres to where the camera looks."""
        return float(np.linalg.norm(self.camera.position - self.taken.focus))

    @property
    def pixel(self) -> float:
        """Metres across a pixel where the camera looks."""
        return self.camera.pixel_size(self.focus)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of a scene; min_lesion is the least share of the image inside lesions.

    ``weights_dir`` is where the blend ``deep_blend`` finds its network.
    """

    mode: Mode
    size: tuple[int, int]
    rays: int = 4
    min_skin: float | None = None
    min_lesion: float = 0.0
    tries: int = 60
    hair: bool = True
    blend: BlendName = "density"
    weights_dir: Path | None = None


def draw_scene(
    sites: Sites,
    skin: Skin,
    lesions: Sequence[Lesion],
    wanted: Wanted,
    rng: np.random.Generator,
    pictures: Sequence[Bytes] = (),
) -> Scene:
    """Draw views and places until all ``lesions`` are shown as wanted.

    The first lesion goes near the middle, the others anywhere; NoAcceptableView after
    ``wanted.tries`` views, with the counts of what was refused; WeightsMissing before the first.
    """
    blend = open_blend(wanted.blend, wanted.weights_dir)
    views: Counter[str] = Counter()
    places: Counter[str] = Counter()
    across = lesions[0].across if lesions else None
    while views.total() < wanted.tries:
        try:
            taken = take(
                sites, wanted.mode, wanted.size, rng, across=across, min_skin=wanted.min_skin,
                tries=wanted.tries, refused=views,
            )  # fmt: skip
        except NoAcceptableView:
            if not views["no_place"] and not views["little_lesion"]:
                raise
            break
        decals = _placed(sites.target, taken.camera, lesions, places, rng)
        if decals is None:
            views["no_place"] += 1
        elif wanted.min_lesion > 0 and _share(sites.target, taken, decals) < wanted.min_lesion:
            views["little_lesion"] += 1
        else:
            refused = {"views": dict(views), "places": dict(+places)}
            dressed = _dressed(taken, skin, decals, wanted, refused, rng, pictures)
            return replace(dressed, blend=blend)
    raise NoAcceptableView(
        f"None of {wanted.tries} views of mode {wanted.mode.name} had room for the lesions "
        f"({told(views)}; places: {told(+places)}); ask for smaller or fewer lesions, lower "
        "min_lesion, or allow more body parts",
        extra={"refused": dict(views), "refused_places": dict(+places)},
    )


def _dressed(
    taken: Taken,
    skin: Skin,
    decals: Sequence[Decal],
    wanted: Wanted,
    refused: Mapping[str, Mapping[str, int]],
    rng: np.random.Generator,
    pictures: Sequence[Bytes],
) -> Scene:
    """Draw light, hair, background and sensor for a view that was accepted."""
    mode = wanted.mode
    rigs: list[Rig] = sorted(mode.rigs)
    weights = np.array([mode.rigs[name] for name in rigs], np.float64)
    rig = rigs[int(rng.choice(len(rigs), p=weights / weights.sum()))]
    lighting = draw_lighting(rig, taken.camera, taken.focus, rng)
    picture = pictures[int(rng.integers(len(pictures)))] if pictures else None
    return Scene(
        mode=mode,
        taken=taken,
        skin=skin,
        lighting=lighting,
        decals=tuple(decals),
        sensor=draw_sensor(rng, dermatoscope=mode.name == "dermoscopy"),
        background=draw_background(rng, uploaded=picture is not None),
        hairs=draw_hairs(skin.hair_colour, rng) if wanted.hair else None,
        rays=wanted.rays,
        seed=int(rng.integers(2**31)),
        refused=refused,
        picture=picture,
    )


def _placed(
    target: Target,
    camera: Camera,
    lesions: Sequence[Lesion],
    refused: Counter[str],
    rng: np.random.Generator,
) -> list[Decal] | None:
    """Return all lesions at places that the camera sees, or None when one finds none."""
    decals: list[Decal] = []
    camera = _smaller(camera)
    view = cast(target, camera)
    usable = (view.skin > 0) & (incidence(view, camera) > _STEEP)
    for number, lesion in enumerate(lesions):
        rows, columns = _candidates(usable, number == 0, rng)
        covered = lesion.area * (camera.focal / view.depth[rows, columns]) ** 2
        fits = covered <= _MOST_OF_VIEW * view.face.size
        refused["too_large"] += int((~fits).sum())
        points = view.position[rows, columns].astype(np.float64)[fits]
        normals = view.normal[rows, columns].astype(np.float64)[fits]
        places = [
            place_at(point, normal, float(rng.uniform(0, 360)))
            for point, normal in zip(points, normals, strict=True)
        ]
        shown = lesion if rng.random() < 0.5 else lesion.mirrored()
        decal, why = fitting(target, shown, places, decals)
        refused += why
        if decal is None:
            return None
        decals.append(decal)
    return decals


def _candidates(usable: Any, middle: bool, rng: np.random.Generator) -> tuple[Any, Any]:
    """Return rows and columns of pixels to try, near the middle or anywhere."""
    height, width = usable.shape
    if middle:
        spread = _MIDDLE * min(height, width) / 2
        rows = np.rint(height / 2 + spread * rng.normal(size=_PLACES)).astype(int)
        columns = np.rint(width / 2 + spread * rng.normal(size=_PLACES)).astype(int)
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        rows, columns = rows[inside], columns[inside]
        kept = usable[rows, columns]
        return rows[kept], columns[kept]
    all_rows, all_columns = np.nonzero(usable)
    if len(all_rows) == 0:
        return all_rows, all_columns
    chosen = rng.integers(len(all_rows), size=_PLACES)
    return all_rows[chosen], all_columns[chosen]


def _smaller(camera: Camera) -> Camera:
    """Return the camera of a preview: the same view in fewer pixels."""
    scale = min(1.0, _PREVIEW / min(camera.width, camera.height))
    return camera.scaled(round(camera.width * scale), round(camera.height * scale))


def _share(target: Target, taken: Taken, decals: Sequence[Decal]) -> float:
    """Return the share of the image inside lesions, 1 when there are none to show."""
    if not decals:
        return 1.0
    view = cast(target, taken.camera)
    pixel = taken.camera.pixel_size(float(np.median(view.depth[view.body])))
    return float((lay(target, view, decals, pixel).instance > 0).mean())
