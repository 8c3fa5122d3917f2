"""Body hair: curves that grow out of the skin that a view shows, drawn over the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from core.rendering.camera import Camera
from core.rendering.measuring import pixel_areas
from core.rendering.raycast import Floats, View

MOST = 4000
"""Hairs of one image."""
_POINTS = 7
_FINEST = 0.06
"""Share of a pixel that a hair must cover to be seen."""
_SHIFT = 4
"""Bits of a pixel that OpenCV draws to."""
_LARGER = 2
"""Times that hairs are drawn larger than the image, for thin ones."""


@dataclass(frozen=True, slots=True)
class Hairs:
    """density is per square centimetre; length and width are metres; colour is linear sRGB.

    lift is how far hairs stand off the skin, 0..1; flow turns their direction, radians.
    """

    density: float
    length: float
    width: float
    lift: float
    flow: float
    colour: tuple[float, float, float]
    seed: int

    def as_json(self) -> dict[str, Any]:
        """Return the hairs as a record keeps them."""
        return {
            "density_per_cm2": round(self.density, 6),
            "length_m": round(self.length, 6),
            "width_m": round(self.width, 9),
            "lift": round(self.lift, 6),
            "flow": round(self.flow, 6),
            "colour": list(self.colour),
            "seed": self.seed,
        }


def draw_hairs(colour: tuple[float, float, float], rng: np.random.Generator) -> Hairs:
    """Draw a person's body hair: mostly a fine down, at times as on a man's forearm."""
    coarse = rng.random() < 0.35
    return Hairs(
        density=float(rng.uniform(2, 12) if coarse else rng.uniform(0, 5)),
        length=float(rng.uniform(0.008, 0.018) if coarse else rng.uniform(0.002, 0.008)),
        width=float(rng.uniform(5e-5, 9e-5) if coarse else rng.uniform(1.5e-5, 3.5e-5)),
        lift=float(rng.uniform(0.15, 0.5)),
        flow=float(rng.uniform(0, 2 * np.pi)),
        colour=colour,
        seed=int(rng.integers(2**31)),
    )


def grown(hairs: Hairs, view: View, camera: Camera, light: Floats) -> tuple[Floats, Floats]:
    """Return the light of hairs (H, W, 3) and the share of each pixel that they cover (H, W).

    ``light`` is what a white card sends back from each pixel: a hair is lit as its root is.
    """
    cover = np.zeros(view.face.shape, np.float32)
    colour = np.zeros((*view.face.shape, 3), np.float32)
    rows, columns = _roots(hairs, view, camera)
    if len(rows) == 0:
        return colour, cover
    rng = np.random.default_rng(hairs.seed + 1)
    curves = _curves(hairs, view, rows, columns, rng)
    flat = camera.project(curves.reshape(-1, 3)).reshape(*curves.shape)
    width = hairs.width * camera.focal / view.depth[rows, columns].astype(np.float64)
    shine = light[rows, columns] * (0.35 + 0.9 * rng.random((len(rows), 1)))
    tint = np.asarray(hairs.colour, np.float32) * shine.astype(np.float32)
    return _drawn(flat, width, tint, view.face.shape)


def _roots(hairs: Hairs, view: View, camera: Camera) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return rows and columns of pixels that hairs grow from, by the skin's area in each."""
    nothing = np.zeros(0, np.intp)
    skin = view.skin > 0
    if not skin.any() or hairs.density <= 0:
        return nothing, nothing
    nearest = float(np.median(view.depth[skin]))
    if hairs.width * camera.focal / nearest < _FINEST:
        return nothing, nothing
    rng = np.random.default_rng(hairs.seed)
    expected = np.where(skin, pixel_areas(view, camera), 0.0) * hairs.density * 1e4
    expected = np.minimum(expected, 2.0)
    total = float(expected.sum())
    if total > MOST:
        expected *= MOST / total
    rows, columns = np.nonzero(rng.random(expected.shape) < expected)
    return rows, columns


def _curves(
    hairs: Hairs,
    view: View,
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Return points (N, ``_POINTS``, 3) along hairs that lean down the body and curl a little."""
    count = len(rows)
    normal = view.normal[rows, columns].astype(np.float64)
    root = view.position[rows, columns].astype(np.float64)
    lean = np.array([0.3 * np.cos(hairs.flow), 0.3 * np.sin(hairs.flow), -1.0])
    along = lean - normal * (normal @ lean)[:, None]
    along += 0.3 * rng.normal(size=(count, 3))
    along -= normal * np.einsum("ij,ij->i", along, normal)[:, None]
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    side = np.cross(normal, along)
    length = hairs.length * np.exp(rng.normal(0, 0.35, count))
    curl = rng.normal(0, 0.35, count)
    s = np.linspace(0, 1, _POINTS)
    forward = (length[:, None] * s)[..., None] * along[:, None]
    rise = (length[:, None] * hairs.lift * (s - 0.6 * s**2))[..., None] * normal[:, None]
    bend = (length[:, None] * curl[:, None] * s**2)[..., None] * side[:, None]
    return np.asarray(root[:, None] + forward + rise + bend)


def _drawn(
    flat: NDArray[np.float64],
    width: NDArray[np.float64],
    tint: Floats,
    shape: tuple[int, ...],
) -> tuple[Floats, Floats]:
    """Draw curves at twice the size and shrink them; thinner than a line is drawn paler."""
    large = (shape[0] * _LARGER, shape[1] * _LARGER)
    layers = np.zeros((*large, 4), np.float32)
    places = np.clip(flat[..., :2] * _LARGER - 0.5, -4 * large[1], 5 * large[1])
    points = np.rint(places * (1 << _SHIFT)).astype(np.int32)
    for curve, wide, colour in zip(points, width * _LARGER, tint, strict=True):
        thickness = max(1, round(float(wide)))
        share = min(1.0, float(wide) / thickness)
        # the opacity of hairs that cross is that of the later one: they are of one colour
        cv2.polylines(
            layers, [curve], False, (*(share * colour).tolist(), share), thickness,
            cv2.LINE_8, _SHIFT,
        )  # fmt: skip
    small = cv2.resize(layers, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
    read = np.asarray(small, np.float32)
    return np.ascontiguousarray(read[..., :3]), np.ascontiguousarray(read[..., 3])
