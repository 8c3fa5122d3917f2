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
_POINTS = 12
_FINEST = 0.06
"""Share of a pixel that a hair must cover to be seen."""
_SHIFT = 4
"""Bits of a pixel that OpenCV draws to."""
_LARGER = 2
"""Times that hairs are drawn larger than the image, for thin ones."""
_LOOKS = 10
"""Steps of paleness and of brightness that hairs are drawn in."""
_TAPER = ((0.35, 12), (0.6, 11), (0.8, 9), (1.0, 7))
"""Shares of a hair's width, and the points that are at least so wide."""
_SWIRL = 0.25
"""Metres over which hairs turn."""
_DOWN = (0.30, 0.21, 0.13)
"""What fine hair without pigment looks like on skin, linear sRGB."""


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
    """Draw a person's body hair: mostly a fine, pale down, at times as on a man's forearm."""
    coarse = rng.random() < 0.3
    paler = 0.0 if coarse else float(rng.uniform(0.3, 0.7))
    red, green, blue = (
        round(own * (1 - paler) + down * paler, 6) for own, down in zip(colour, _DOWN, strict=True)
    )
    return Hairs(
        density=float(np.exp(rng.uniform(*np.log((1, 9) if coarse else (0.2, 5))))),
        length=float(rng.uniform(0.006, 0.015) if coarse else rng.uniform(0.002, 0.007)),
        width=float(rng.uniform(4e-5, 8e-5) if coarse else rng.uniform(1.5e-5, 3e-5)),
        lift=float(rng.uniform(0.15, 0.5)),
        flow=float(rng.uniform(0, 2 * np.pi)),
        colour=(red, green, blue),
        seed=int(rng.integers(2**31)),
    )


def grown(hairs: Hairs, view: View, camera: Camera, light: Floats) -> tuple[Floats, Floats]:
    """Return the light of hairs (H, W, 3) and the share of each pixel that they cover (H, W).

    ``light`` is what a white card sends back from each pixel: a hair is lit as its root is.
    """
    rows, columns = _roots(hairs, view, camera)
    if len(rows) == 0:
        cover = np.zeros(view.face.shape, np.float32)
        return np.zeros((*view.face.shape, 3), np.float32), cover
    rng = np.random.default_rng(hairs.seed + 1)
    curves = _curves(hairs, view, rows, columns, rng)
    flat = camera.project(curves.reshape(-1, 3)).reshape(*curves.shape)
    width = hairs.width * camera.focal / view.depth[rows, columns].astype(np.float64)
    at_root = light[rows, columns].astype(np.float64)
    shine = at_root.mean(axis=1) * (0.35 + 0.9 * rng.random(len(rows)))
    cover, bright = _drawn(flat, width, shine, view.face.shape)
    tint = np.asarray(hairs.colour) * at_root.mean(axis=0) / max(float(at_root.mean()), 1e-9)
    return bright[..., None] * tint.astype(np.float32), cover


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
    """Return points (N, ``_POINTS``, 3) along hairs that lean down the body and curl a little.

    Neighbours lie alike: the way they lean swirls slowly over the body.
    """
    count = len(rows)
    normal = view.normal[rows, columns].astype(np.float64)
    root = view.position[rows, columns].astype(np.float64)
    waves = rng.normal(0, 2 * np.pi / _SWIRL, (3, 3))
    swirl = 0.6 * np.sin(root @ waves + rng.uniform(0, 2 * np.pi, 3))
    lean = np.array([0.4 * np.cos(hairs.flow), 0.4 * np.sin(hairs.flow), -1.0]) + swirl
    along = lean - normal * np.einsum("ij,ij->i", normal, lean)[:, None]
    along += 0.16 * rng.standard_t(4, size=(count, 3))
    along -= normal * np.einsum("ij,ij->i", along, normal)[:, None]
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    side = np.cross(normal, along)
    length = hairs.length * np.exp(rng.normal(0, 0.35, count))
    curl = rng.normal(0.12, 0.28, count)
    s = np.linspace(0, 1, _POINTS)
    forward = (length[:, None] * s)[..., None] * along[:, None]
    rise = (length[:, None] * hairs.lift * (s - 0.6 * s**2))[..., None] * normal[:, None]
    bend = (length[:, None] * curl[:, None] * s**2)[..., None] * side[:, None]
    return np.asarray(root[:, None] + forward + rise + bend)


def _drawn(
    flat: NDArray[np.float64],
    width: NDArray[np.float64],
    shine: NDArray[np.float64],
    shape: tuple[int, ...],
) -> tuple[Floats, Floats]:
    """Return cover and cover times shine of curves, drawn at twice the size and shrunk.

    Thinner than a line is drawn paler. Hairs taper: whole and thin first, then shorter and thicker.
    Curves of about the same look are drawn by one call; where they cross the later one is seen.
    """
    large = (shape[0] * _LARGER, shape[1] * _LARGER)
    layers = np.zeros((*large, 2), np.float32)
    places = np.clip(flat[..., :2] * _LARGER - 0.5, -4 * max(large), 5 * max(large))
    points = np.rint(places * (1 << _SHIFT)).astype(np.int32)
    brightest = max(float(shine.max()), 1e-9)
    bright = np.ceil(shine / brightest * _LOOKS)
    for part, last in _TAPER:
        wide = width * (_LARGER * part)
        thickness = np.maximum(1, np.rint(wide))
        share = np.ceil(np.minimum(1.0, wide / thickness) * _LOOKS)
        steps = np.stack([thickness, share, bright], 1).astype(np.int64)
        looks, look_of = np.unique(steps, axis=0, return_inverse=True)
        for number, (thick, cover, light) in enumerate(looks.tolist()):
            seen = cover / _LOOKS
            colour = (seen, seen * light / _LOOKS * brightest)
            chosen = list(points[look_of.ravel() == number, :last])
            cv2.polylines(layers, chosen, False, colour, thick, cv2.LINE_8, _SHIFT)
    read = np.asarray(cv2.resize(layers, (shape[1], shape[0]), interpolation=cv2.INTER_AREA))
    return np.ascontiguousarray(read[..., 0]), np.ascontiguousarray(read[..., 1])
