"""Where the lesion is: distance from the skin's colour, Otsu's threshold, and a graph cut.

Otsu 1979; GrabCut of Rother, Kolmogorov and Blake 2004. Works on a copy of at most ``WORKING``
pixels a side, so that an image costs the same whatever its size. The same pixels give the same
mask.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from core.synthesis.contract import Pixels

Floats = NDArray[np.float32]
Inside = NDArray[np.bool_]
Box = tuple[int, int, int, int]
"""left, top, right, bottom in pixels; right and bottom are outside."""

WORKING = 160
_ROUNDS = 2
"""Rounds of the graph cut."""
_SOFT = 2.0
"""Standard deviation of the smoothing before thresholds, pixels."""
_BAND = 0.08
"""Width over the shorter side of the band along the frame that is taken for skin."""


@dataclass(frozen=True, slots=True)
class Segmentation:
    """A lesion at the working size, and what its quality is judged by.

    inside is the lesion; blue, lab and cut are the same by single routes (threshold of the blue
    channel, threshold of the distance from the skin, graph cut of it). distance is from the skin's
    colour in CIELAB units, seen where the photograph shows anything (False: the black surround of a
    dermatoscope).
    """

    inside: Inside
    blue: Inside
    lab: Inside
    cut: Inside
    distance: Floats
    seen: Inside


def segment(pixels: Pixels, box: Box | None = None) -> Segmentation:
    """Segment the lesion of an RGB image; with ``box`` the one that lies in it."""
    first = _thresholds(pixels, box)
    cut = _cut(first.small, first.rough, first.seen, first.prompt)
    inside = first.joined if box is None else cut
    return Segmentation(inside, first.blue, first.colour, cut, first.distance, first.seen)


def outline(pixels: Pixels, box: Box | None = None) -> Inside:
    """Return the same lesion at the working size, without what only its quality needs."""
    return _thresholds(pixels, None).joined if box is None else segment(pixels, box).inside


def at_size(inside: Inside, width: int, height: int) -> Inside:
    """Return a mask of the working size at that of its image."""
    grown = cv2.resize(inside.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(grown >= 0.5)


@dataclass(frozen=True, slots=True)
class _Thresholds:
    """What the colours alone say; rough is where the graph cut starts."""

    small: Pixels
    seen: Inside
    prompt: Inside | None
    distance: Floats
    blue: Inside
    colour: Inside
    rough: Inside

    @property
    def joined(self) -> Inside:
        return central(self.blue | self.colour)


def _thresholds(pixels: Pixels, box: Box | None) -> _Thresholds:
    small, scale = _working_copy(pixels)
    closed = without_hair(small)
    lab = cv2.cvtColor(closed.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    smooth = np.asarray(cv2.GaussianBlur(lab, (0, 0), 1.5), np.float32)
    seen = seen_area(smooth)
    prompt = None if box is None else _prompt(box, scale, seen.shape)
    distance = _distance(smooth, seen, prompt)
    pale = cv2.GaussianBlur(255.0 - closed[..., 2].astype(np.float32), (0, 0), _SOFT)
    blue = central(_thresholded(np.asarray(pale, np.float32), seen, prompt))
    colour = central(_thresholded(distance, seen, prompt))
    rough = colour if box is None else _oval(box, scale, seen.shape)
    return _Thresholds(small, seen, prompt, distance, blue, colour, rough)


def _working_copy(pixels: Pixels) -> tuple[Pixels, float]:
    height, width = pixels.shape[:2]
    scale = min(1.0, WORKING / max(height, width))
    if scale == 1.0:
        return pixels, 1.0
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8), scale


def without_hair(pixels: Pixels) -> Pixels:
    """Return the pixels with thin dark lines closed."""
    size = max(3, round(max(pixels.shape[:2]) / 32)) | 1
    return np.asarray(cv2.morphologyEx(pixels, cv2.MORPH_CLOSE, _disc(size)), np.uint8)


def seen_area(lab: Floats) -> Inside:
    """Return where the photograph is not the black surround: dark areas that reach a corner."""
    dark = (lab[..., 0] < 22).astype(np.uint8)
    count, labels = cv2.connectedComponents(dark)
    corners = {int(labels[y, x]) for y in (0, -1) for x in (0, -1)} - {0}
    if count < 2 or not corners:
        return np.ones(dark.shape, np.bool_)
    surround = np.isin(labels, list(corners)).astype(np.uint8)
    grown = cv2.dilate(surround, np.ones((7, 7), np.uint8)) > 0
    return ~grown if grown.mean() < 0.7 else np.ones(dark.shape, np.bool_)


def _prompt(box: Box, scale: float, shape: tuple[int, ...]) -> Inside:
    left, top, right, bottom = (round(v * scale) for v in box)
    inside = np.zeros(shape, np.bool_)
    inside[max(0, top) : max(bottom, top + 2), max(0, left) : max(right, left + 2)] = True
    return inside


def _oval(box: Box, scale: float, shape: tuple[int, ...]) -> Inside:
    """Return the ellipse that a box encloses: where its lesion is until colours say more."""
    left, top, right, bottom = (v * scale for v in box)
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    across = (x - (left + right) / 2) / max((right - left) / 2, 1.0)
    down = (y - (top + bottom) / 2) / max((bottom - top) / 2, 1.0)
    return np.asarray(across**2 + down**2 <= 1.0)


def _border(seen: Inside, prompt: Inside | None) -> Inside:
    """Return the skin that colours are compared with: along the frame, or around the box."""
    width = max(2, round(_BAND * min(seen.shape)))
    kernel = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    if prompt is None:
        padded = np.pad(seen, 1).astype(np.uint8)
        return seen & ~(cv2.erode(padded, kernel)[1:-1, 1:-1] > 0)
    around = cv2.dilate(prompt.astype(np.uint8), kernel) > 0
    ring = around & ~prompt & seen
    return ring if ring.any() else seen & ~prompt


def _distance(lab: Floats, seen: Inside, prompt: Inside | None) -> Floats:
    """Return the distance from the skin in CIELAB, lighter than skin counting half."""
    border = _border(seen, prompt)
    around = lab[border] if border.any() else lab.reshape(-1, 3)
    light = around[around[:, 0] >= np.percentile(around[:, 0], 30)]
    skin = np.median(light, axis=0)
    difference = lab - skin
    difference[..., 0] = np.where(difference[..., 0] > 0, 0.3, 1.0) * difference[..., 0]
    return np.asarray(np.sqrt((difference**2).sum(axis=-1)), np.float32)


def _thresholded(values: Floats, seen: Inside, prompt: Inside | None) -> Inside:
    """Return what Otsu's threshold calls lesion."""
    area = seen
    if prompt is not None:
        area = seen & (cv2.dilate(prompt.astype(np.uint8), np.ones((15, 15), np.uint8)) > 0)
    if not area.any():
        return np.zeros(seen.shape, np.bool_)
    low, high = np.percentile(values[area], [1, 99])
    scaled = np.clip((values - low) / max(float(high - low), 1e-3) * 255, 0, 255).astype(np.uint8)
    level, _ = cv2.threshold(scaled[area][None], 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    found = (scaled > level) & (area if prompt is None else area & prompt)
    return np.asarray(found, np.bool_)


def central(found: Inside) -> Inside:
    """Return the component that is large and near the middle, its holes filled."""
    opened = cv2.morphologyEx(found.astype(np.uint8), cv2.MORPH_OPEN, _disc(5))
    count, labels, stats, centres = cv2.connectedComponentsWithStats(opened)
    if count < 2:
        return np.zeros(found.shape, np.bool_)
    height, width = found.shape
    off = np.hypot((centres[1:, 0] - width / 2) / width, (centres[1:, 1] - height / 2) / height)
    weight = stats[1:, cv2.CC_STAT_AREA] * np.exp(-8 * off**2)
    return filled(labels == 1 + int(weight.argmax()))


def filled(inside: Inside) -> Inside:
    """Return an area without holes."""
    outlines, _ = cv2.findContours(
        inside.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    drawn = np.zeros(inside.shape, np.uint8)
    cv2.drawContours(drawn, outlines, -1, 1, -1)
    return drawn > 0


def _cut(small: Pixels, rough: Inside, seen: Inside, prompt: Inside | None) -> Inside:
    """Move the border to where colours change, by a graph cut that starts from ``rough``."""
    area = int(rough.sum())
    if area < 12 or area > 0.95 * rough.size:
        return rough
    reach = max(2, round(0.16 * float(np.sqrt(area))))
    core = cv2.erode(rough.astype(np.uint8), _disc(2 * reach + 1)) > 0
    near = cv2.dilate(rough.astype(np.uint8), _disc(4 * reach + 1)) > 0
    labels = np.full(rough.shape, cv2.GC_BGD, np.uint8)
    labels[near] = cv2.GC_PR_BGD
    labels[rough] = cv2.GC_PR_FGD
    labels[core] = cv2.GC_FGD
    labels[~seen] = cv2.GC_BGD
    if prompt is not None:
        labels[~prompt] = cv2.GC_BGD
    if not np.isin(labels, (cv2.GC_BGD, cv2.GC_PR_BGD)).any():
        return rough
    cv2.setRNGSeed(0)
    cv2.grabCut(
        cv2.cvtColor(small, cv2.COLOR_RGB2BGR), labels, (0, 0, 1, 1), np.zeros((1, 65)),
        np.zeros((1, 65)), _ROUNDS, cv2.GC_INIT_WITH_MASK,
    )  # fmt: skip
    cut = central(np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)))
    return cut if cut.sum() > 0.3 * area else rough


def _disc(size: int) -> Pixels:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), np.uint8)
