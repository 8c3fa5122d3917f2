"""Drawn dermoscopy: a lesion with known traits on skin, and the mask of its pigment.

A lesion is drawn once on a canvas of its own and then seen through views (rotation, zoom, light,
hair), so that several images of one lesion share what a lesion keeps and differ in what a camera
changes. Colours are sRGB in 0..1; pigment absorbs by Beer-Lambert, as exp(-density x absorbance).
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from core.synthesis.contract import Pixels

Floats = NDArray[np.float32]

CANVAS = 1.6
"""Side of the canvas over the side of an image: room for turning and shifting the view."""

_BROWN = np.array([0.55, 1.0, 1.35], np.float32)
_RED = np.array([0.12, 0.85, 0.75], np.float32)
_VEIL = np.array([0.50, 0.55, 0.66], np.float32)
_CYST = np.array([0.93, 0.88, 0.78], np.float32)


@dataclass(frozen=True, slots=True)
class Traits:
    """What tells the classes apart; every trait is a strength in 0..1."""

    irregular: float
    asymmetric: float
    variegated: float
    dark: float
    red: float
    sharp: float
    network: float
    globules: float
    cysts: float
    veil: float
    vessels: float
    lacunae: float


TYPICAL: dict[str, Traits] = {
    "nv": Traits(0.20, 0.20, 0.25, 0.45, 0.15, 0.40, 0.60, 0.40, 0.08, 0.02, 0.02, 0.02),
    "bkl": Traits(0.35, 0.35, 0.40, 0.40, 0.18, 0.70, 0.22, 0.18, 0.55, 0.08, 0.06, 0.03),
    "mel": Traits(0.52, 0.55, 0.60, 0.62, 0.20, 0.42, 0.48, 0.42, 0.10, 0.40, 0.12, 0.03),
    "bcc": Traits(0.36, 0.36, 0.36, 0.22, 0.40, 0.45, 0.06, 0.20, 0.12, 0.28, 0.58, 0.08),
    "vasc": Traits(0.25, 0.25, 0.30, 0.20, 0.62, 0.55, 0.04, 0.10, 0.04, 0.16, 0.16, 0.60),
}
"""The mean traits of a class; the names are those of HAM10000."""

SPREAD = 0.23
ATYPICAL = 0.50
"""Standard deviation of a trait within its class, and how far an odd lesion leans to another."""


def draw_traits(label: str, rng: np.random.Generator) -> Traits:
    """Draw the traits of one lesion; one in three leans towards another class, so they overlap."""
    mean = np.array(astuple(TYPICAL[label]))
    other = np.array(astuple(TYPICAL[str(rng.choice(sorted(TYPICAL)))]))
    lean = ATYPICAL * float(rng.random()) * (rng.random() < 0.33)
    drawn = mean + lean * (other - mean) + rng.normal(0.0, SPREAD, mean.size) * (0.35 + mean)
    return Traits(*(float(v) for v in np.clip(drawn, 0.0, 1.0)))


def draw_lesion(
    label: str, lesion: np.random.Generator, view: np.random.Generator, size: int
) -> tuple[Pixels, Pixels]:
    """Draw one image of a lesion: RGB pixels and the mask (255 inside), both ``size`` wide."""
    traits = draw_traits(label, lesion)
    canvas, alpha = _canvas(traits, lesion, round(size * CANVAS))
    image, mask = _look(canvas, alpha, view, size)
    image = _camera(image, view)
    if view.random() < 0.3:
        image = _hair(image, view)
    return np.clip(image * 255.0 + 0.5, 0, 255).astype(np.uint8), mask


def noise(rng: np.random.Generator, side: int, cells: float, octaves: int = 3) -> Floats:
    """Return smooth noise, side x side, zero mean and unit variance; ``cells`` bumps a side."""
    total = np.zeros((side, side), np.float32)
    for octave in range(octaves):
        count = min(side, max(2, round(cells * 2**octave)) + 2)
        grid = rng.standard_normal((count, count)).astype(np.float32)
        total += cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC) * 0.55**octave
    return np.asarray((total - total.mean()) / (total.std() + 1e-6), np.float32)


def _canvas(traits: Traits, rng: np.random.Generator, side: int) -> tuple[Floats, Floats]:
    """Draw skin and lesion in the lesion's own frame; the mask is soft, 0..1."""
    tone = float(rng.beta(2.0, 3.0))
    light, deep = np.array([0.92, 0.75, 0.67]), np.array([0.70, 0.50, 0.40])
    skin = np.asarray((1 - tone) * light + tone * deep, np.float32)
    texture = 0.018 * noise(rng, side, 8) + 0.012 * noise(rng, side, side / 3, 1)
    image = np.clip(skin + texture[..., None] * np.array([0.7, 1.0, 1.0], np.float32), 0, 1)
    distance = _outline(traits, rng, side)
    edge = side * (0.012 + 0.05 * (1 - traits.sharp))
    alpha = np.asarray(1 / (1 + np.exp(np.clip(distance / edge * 2.5, -30, 30))), np.float32)
    absorbed = _pigment(alpha, traits, rng) + _lines(alpha, traits, rng)
    return _patches(image * np.exp(-absorbed), alpha, traits, rng), alpha


def _outline(traits: Traits, rng: np.random.Generator, side: int) -> Floats:
    """Return the distance in pixels to the lesion's border, negative inside."""
    axis = (np.arange(side, dtype=np.float32) - (side - 1) / 2) / side
    x, y = np.meshgrid(axis, axis)
    stretch = 1 + 0.5 * traits.asymmetric * float(rng.random())
    x, y = x * stretch + 0.12 * traits.asymmetric * y, y / stretch
    angle, radius = np.arctan2(y, x), np.hypot(x, y)
    border = np.ones_like(radius)
    for wave in range(2, 11):
        size = (0.03 + 0.16 * traits.irregular) * float(rng.normal()) / wave**0.7
        border += size * np.cos(wave * angle + float(rng.uniform(0, 2 * np.pi)))
    mean = float(rng.uniform(0.14, 0.22))
    rough = 0.006 * (0.3 + traits.irregular) * noise(rng, side, 14)
    return np.asarray((radius - mean * np.clip(border, 0.4, 1.8) + rough) * side, np.float32)


def _pigment(alpha: Floats, traits: Traits, rng: np.random.Generator) -> Floats:
    """Return what melanin and blood absorb, uneven as far as the lesion is variegated."""
    side = alpha.shape[0]
    uneven = noise(rng, side, 5)
    ramp = np.linspace(-1, 1, side, dtype=np.float32)[None, :] * traits.asymmetric
    density = (0.25 + 1.25 * traits.dark) * np.exp(0.75 * traits.variegated * (uneven + ramp))
    brown = np.asarray(0.75 * np.clip(density, 0, 2.4) * alpha, np.float32)
    blood = traits.red * (1 + 0.4 * noise(rng, side, 4)) * alpha
    halo = 0.25 * traits.red * cv2.GaussianBlur(alpha, (0, 0), side * 0.04)
    return _absorbance(brown, np.asarray(np.clip(blood * 0.8 + halo, 0, 2), np.float32))


def _lines(alpha: Floats, traits: Traits, rng: np.random.Generator) -> Floats:
    """Return what network, globules, vessels and lacunae absorb, each as strong as its trait."""
    side = alpha.shape[0]
    brown = 1.1 * traits.network * _network(rng, side) * alpha
    brown += 1.6 * traits.globules * _dots(rng, alpha, round(26 * traits.globules), 0.010)
    red = 1.9 * traits.vessels * _vessels(rng, side, round(7 * traits.vessels)) * alpha
    red += 2.2 * traits.lacunae * _dots(rng, alpha, round(12 * traits.lacunae), 0.032)
    return _absorbance(brown, red)


def _absorbance(brown: Floats, red: Floats) -> Floats:
    return np.asarray(brown[..., None] * _BROWN + red[..., None] * _RED, np.float32)


def _patches(image: Floats, alpha: Floats, traits: Traits, rng: np.random.Generator) -> Floats:
    """Lay the blue-white veil and bright cysts over the pigment."""
    side = alpha.shape[0]
    patch = 1 / (1 + np.exp(-4 * (noise(rng, side, 3, 2) - 0.4)))
    veil = (0.85 * traits.veil * patch * alpha)[..., None]
    image = image * (1 - veil) + _VEIL * veil
    cysts = (traits.cysts * _dots(rng, alpha, round(18 * traits.cysts), 0.009))[..., None]
    return np.asarray(image * (1 - cysts) + _CYST * cysts, np.float32)


def _network(rng: np.random.Generator, side: int) -> Floats:
    """Return the lines between the cells of scattered points, 0..1: a pigment network."""
    spacing = side * float(rng.uniform(0.028, 0.042))
    count = int((side / spacing) ** 2)
    seeds = np.full((side, side), 255, np.uint8)
    seeds[rng.integers(0, side, count), rng.integers(0, side, count)] = 0
    _, cells = cv2.distanceTransformWithLabels(
        seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    lines = (cells[:, :-1] != cells[:, 1:])[:-1] | (cells[:-1] != cells[1:])[:, :-1]
    drawn = np.zeros((side, side), np.float32)
    drawn[:-1, :-1] = lines
    smooth = cv2.GaussianBlur(drawn, (0, 0), max(0.7, side * 0.005))
    return np.asarray(np.clip(smooth * 1.6, 0, 1), np.float32)


def _dots(rng: np.random.Generator, alpha: Floats, count: int, radius: float) -> Floats:
    """Return soft dots inside the lesion; ``radius`` is a fraction of the canvas."""
    side = alpha.shape[0]
    drawn = np.zeros_like(alpha)
    rows, columns = np.nonzero(alpha > 0.6)
    if not count or not rows.size:
        return drawn
    for place in rng.integers(0, rows.size, count):
        axes = side * radius * rng.uniform(0.6, 1.4, 2)
        centre = (int(columns[place]), int(rows[place]))
        shape = tuple(max(1, round(float(a))) for a in axes)
        turn = float(rng.uniform(0, 180))
        cv2.ellipse(drawn, centre, shape, turn, 0, 360, 1.0, -1, cv2.LINE_AA)
    soft = cv2.GaussianBlur(drawn, (0, 0), max(0.6, side * radius * 0.25))
    return np.asarray(soft * alpha, np.float32)


def _vessels(rng: np.random.Generator, side: int, count: int) -> Floats:
    """Return wandering, branching lines over the middle of the canvas, 0..1."""
    drawn = np.zeros((side, side), np.float32)
    starts = [
        (rng.uniform(0.32, 0.68, 2) * side, float(rng.uniform(0, 2 * np.pi)), 2.0)
        for _ in range(count)
    ]
    while starts:
        point, heading, width = starts.pop()
        for step in range(14):
            heading += float(rng.normal(0, 0.35))
            after = point + side * 0.016 * np.array([np.cos(heading), np.sin(heading)])
            ends = [tuple(int(v) for v in p) for p in (point, after)]
            cv2.line(drawn, ends[0], ends[1], 1.0, max(1, round(width)), cv2.LINE_AA)
            point = after
            if width > 1.2 and step % 4 == 3:
                starts.append((point, heading + float(rng.choice([-0.8, 0.8])), width - 0.7))
    return np.asarray(cv2.GaussianBlur(drawn, (0, 0), max(0.5, side * 0.003)), np.float32)


def _look(
    canvas: Floats, alpha: Floats, rng: np.random.Generator, size: int
) -> tuple[Floats, Pixels]:
    """See the canvas turned, zoomed and shifted, ``size`` pixels wide."""
    side = alpha.shape[0]
    turn, zoom = float(rng.uniform(0, 360)), float(rng.uniform(0.85, 1.2))
    matrix = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), turn, zoom)
    matrix[:, 2] += (size - side) / 2 + rng.uniform(-0.06, 0.06, 2) * size
    seen = cv2.warpAffine(canvas, matrix, (size, size), borderMode=cv2.BORDER_REFLECT)
    mask = cv2.warpAffine(alpha, matrix, (size, size), borderMode=cv2.BORDER_REFLECT)
    return np.asarray(seen, np.float32), np.where(mask >= 0.5, 255, 0).astype(np.uint8)


def _camera(image: Floats, rng: np.random.Generator) -> Floats:
    """Add what a dermatoscope adds: uneven light, vignette, white balance, blur, noise."""
    size = image.shape[0]
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    slope = rng.normal(0, 0.05, 2)
    light = 1 + slope[0] * x + slope[1] * y
    light -= float(rng.uniform(0.02, 0.22)) * (x**2 + y**2) ** 1.5 / 2
    balance = rng.normal(1.0, 0.035, 3) * rng.normal(1.0, 0.05)
    image = image * light[..., None].astype(np.float32) * balance.astype(np.float32)
    blurred = cv2.GaussianBlur(image, (0, 0), size / 128 * float(rng.uniform(0.4, 0.9)))
    grain = rng.standard_normal(image.shape, np.float32) * float(rng.uniform(0.004, 0.014))
    return np.asarray(np.clip(blurred + grain, 0, 1), np.float32)


def _hair(image: Floats, rng: np.random.Generator) -> Floats:
    """Lay a few dark, gently curved hairs over the image, roughly in one direction."""
    size = image.shape[0]
    drawn = np.zeros((size, size), np.float32)
    heading = float(rng.uniform(0, np.pi))
    for _ in range(int(rng.integers(2, 8))):
        turn = heading + float(rng.normal(0, 0.35))
        along = np.array([np.cos(turn), np.sin(turn)]) * float(rng.uniform(0.4, 1.1)) / 2
        middle = rng.uniform(0.0, 1.0, 2)
        bend = np.array([-along[1], along[0]]) * float(rng.normal(0, 0.5))
        ends = np.stack([middle - along, middle + bend, middle + along]) * size
        t = np.linspace(0, 1, 24)[:, None]
        curve = (1 - t) ** 2 * ends[0] + 2 * t * (1 - t) * ends[1] + t**2 * ends[2]
        points = [np.round(curve * 16).astype(np.int32)]
        cv2.polylines(drawn, points, False, 1.0, max(1, size // 128), cv2.LINE_AA, 4)
    strength = (0.75 * drawn)[..., None]
    return np.asarray(image * (1 - strength) + np.float32(0.13) * strength, np.float32)
