"""Drawn radiographs: a bone on a soft background, with a nodule, a fracture or neither.

They stand for a greyscale modality with class names of its own; nothing in them is skin.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from core.synthesis.contract import Pixels
from core.synthesis.procedural_lesion import noise

Floats = NDArray[np.float32]


def draw_radiograph(
    label: str, subject: np.random.Generator, view: np.random.Generator, size: int
) -> tuple[Pixels, Pixels]:
    """Draw one image: grey pixels and the mask of the finding (255 inside, empty when none)."""
    bone, axis = _bone(subject, size)
    image = 0.18 + 0.06 * noise(subject, size, 3) + 0.5 * bone
    image += 0.05 * bone * noise(subject, size, size / 4, 2)
    finding = np.zeros((size, size), np.float32)
    if label == "nodule":
        finding = _nodule(subject, size)
        image = image + float(subject.uniform(0.08, 0.24)) * finding
    elif label == "fracture":
        finding = _fracture(subject, size, axis) * np.clip(bone * 1.5, 0, 1)
        image = image - float(subject.uniform(0.18, 0.45)) * finding
    exposure, contrast = view.normal(0, 0.04), view.normal(1.0, 0.08)
    image = 0.4 + contrast * (image - 0.4) + exposure
    blurred = cv2.GaussianBlur(image.astype(np.float32), (0, 0), float(view.uniform(0.4, 0.8)))
    grain = view.standard_normal(image.shape, np.float32) * float(view.uniform(0.01, 0.03))
    pixels = np.clip((blurred + grain) * 255.0 + 0.5, 0, 255).astype(np.uint8)
    return pixels, np.where(finding >= 0.4, 255, 0).astype(np.uint8)


def _bone(rng: np.random.Generator, size: int) -> tuple[Floats, tuple[float, float]]:
    """Return a shaft with bright cortex, 0..1, and its direction and offset."""
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    turn, offset = float(rng.uniform(-0.5, 0.5)), float(rng.uniform(-0.2, 0.2))
    across = np.abs(x * np.cos(turn) + y * np.sin(turn) - offset)
    along = -x * np.sin(turn) + y * np.cos(turn)
    half = float(rng.uniform(0.2, 0.3)) * (1 + 0.4 * along**2)
    body = 1 / (1 + np.exp(np.clip((across - half) * 40, -30, 30)))
    cortex = np.exp(-(((across - half * 0.88) / 0.05) ** 2))
    return np.asarray(np.clip(0.6 * body + 0.4 * cortex, 0, 1), np.float32), (turn, offset)


def _nodule(rng: np.random.Generator, size: int) -> Floats:
    """Return a soft, round opacity, 0..1."""
    drawn = np.zeros((size, size), np.float32)
    centre = tuple(int(v) for v in rng.uniform(0.2, 0.8, 2) * size)
    axes = tuple(max(2, round(float(v))) for v in rng.uniform(0.05, 0.11, 2) * size)
    cv2.ellipse(drawn, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1.0, -1, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(drawn, (0, 0), size * 0.015), np.float32)


def _fracture(rng: np.random.Generator, size: int, axis: tuple[float, float]) -> Floats:
    """Return a jagged dark line across the bone, 0..1."""
    turn, offset = axis
    level, slant = float(rng.uniform(-0.5, 0.5)), float(rng.uniform(-0.6, 0.6))
    across = np.linspace(-0.5, 0.5, 12)
    along = level + slant * across + rng.normal(0, 0.03, across.size)
    x = (across + offset) * np.cos(turn) - along * np.sin(turn)
    y = (across + offset) * np.sin(turn) + along * np.cos(turn)
    points = [np.round((np.stack([x, y], axis=1) + 1) / 2 * size * 16).astype(np.int32)]
    drawn = np.zeros((size, size), np.float32)
    cv2.polylines(drawn, points, False, 1.0, max(1, size // 64), cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(drawn, (0, 0), size / 128 * 0.7), np.float32)
