"""Casts rays at a surface: one through each pixel's centre, or any given ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import warp as wp
from numpy.typing import NDArray

from core.rendering.camera import Camera
from core.rendering.kernels.primary import Hits, primary
from core.rendering.kernels.rays import rays
from core.rendering.kernels.shapes import Eye, Shape
from core.rendering.runtime import array, device_name, typed_memory_errors
from core.rendering.surface import Surface

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
NOTHING = 255
"""Part of a pixel that shows no body."""


class Target:
    """A surface on a device, ready for rays; ``device`` is ``cpu`` or ``cuda``.

    ``part_of_vertex`` (V,) is the strongest part at each vertex, by number.
    """

    def __init__(
        self, surface: Surface, device: str = "cpu", materials: Bytes | None = None
    ) -> None:
        """``materials`` (H, W) says by numbers of ``non_skin.MATERIALS`` what is not skin."""
        self.surface = surface
        self.part_of_vertex = surface.part_weights.argmax(axis=1).astype(np.int32)
        self.device = device_name(device)
        with typed_memory_errors():
            self._points = array(surface.vertices, wp.vec3, self.device)
            self._corners = array(surface.triangles.reshape(-1), wp.int32, self.device)
            self.mesh = wp.Mesh(self._points, self._corners)
            self.shape = self._shape()
            nothing = np.zeros((1, 1), np.uint8)
            self.materials = array(
                nothing if materials is None else materials, wp.uint8, self.device
            )
            colours = surface.texture
            self.texture = array(
                np.zeros((0, 0, 3), np.uint8) if colours is None else colours,
                wp.uint8,
                self.device,
            )

    def _shape(self) -> Any:
        surface, shape = self.surface, Shape()
        masked = surface.non_skin is not None
        mask = surface.non_skin if masked else np.zeros((1, 1), np.uint8)
        shape.mesh, shape.points = self.mesh.id, self._points
        shape.triangles = array(surface.triangles, wp.vec3i, self.device)
        shape.normals = array(surface.normals, wp.vec3, self.device)
        shape.corner_uv = array(surface.corner_uv, wp.vec2, self.device)
        shape.weights = array(surface.part_weights, wp.float32, self.device)
        shape.strongest = array(self.part_of_vertex, wp.int32, self.device)
        shape.parts = len(surface.parts)
        shape.non_skin = array(mask, wp.uint8, self.device)
        shape.masked = int(masked)
        return shape

    def meet(self, origins: NDArray[Any], directions: NDArray[Any]) -> Met:
        """Cast rays (N, 3) and return what each meets first."""
        count = len(origins)
        outputs = [
            wp.zeros(count, dtype=kind, device=self.device) for kind in (int, float, wp.vec2)
        ]
        start, along = (
            array(np.ascontiguousarray(a, np.float32), wp.vec3, self.device)
            for a in (origins, directions)
        )
        wp.launch(
            rays, count, inputs=[self.mesh.id, start, along], outputs=outputs, device=self.device
        )
        code, distance, bary = (output.numpy() for output in outputs)
        behind = code <= -2
        return Met(np.where(behind, -2 - code, code), behind, distance, bary)


@dataclass(frozen=True, slots=True)
class Met:
    """What single rays met: face (-1: nothing), whether from behind, metres, barycentrics."""

    face: NDArray[np.int32]
    behind: NDArray[np.bool_]
    distance: Floats
    bary: Floats


@dataclass(frozen=True, slots=True)
class View:
    """What each pixel's centre shows, rows ``first`` to ``last`` of the image.

    face is -1 and part 255 where there is no body; depth is along the camera's axis, metres;
    position and normal (unit, interpolated) are in the world; bary are the weights of a face's
    first two corners; skin is 0 or 255. ``on_device`` are the same arrays for kernels.
    """

    first: int
    last: int
    face: NDArray[np.int32]
    bary: Floats
    depth: Floats
    position: Floats
    normal: Floats
    uv: Floats
    part: Bytes
    skin: Bytes
    on_device: Any = field(repr=False)

    @property
    def body(self) -> NDArray[np.bool_]:
        """Where there is a body."""
        return np.asarray(self.face >= 0)

    def rows(self, first: int, last: int) -> View:
        """Return some of the rows, off the device."""
        inner = slice(first - self.first, last - self.first)
        return View(first, last, **{n: getattr(self, n)[inner] for n in _KINDS}, on_device=None)

    @staticmethod
    def joined(parts: Sequence[View]) -> View:
        """Return tiles that follow each other as one view."""
        read = {n: np.concatenate([getattr(part, n) for part in parts]) for n in _KINDS}
        return View(parts[0].first, parts[-1].last, **read, on_device=None)


def eye(camera: Camera) -> Any:
    """Return a camera as kernels see it."""
    made = Eye()
    made.origin = wp.vec3(*camera.position)
    made.right, made.down, made.forward = (wp.vec3(*axis) for axis in camera.rotation)
    made.focal = camera.focal
    made.centre_x, made.centre_y = camera.width / 2, camera.height / 2
    made.width, made.height = camera.width, camera.height
    return made


_KINDS = {
    "face": wp.int32,
    "bary": wp.vec2,
    "depth": wp.float32,
    "position": wp.vec3,
    "normal": wp.vec3,
    "uv": wp.vec2,
    "part": wp.uint8,
    "skin": wp.uint8,
}


def cast(target: Target, camera: Camera, rows: tuple[int, int] | None = None) -> View:
    """Cast the centre ray of every pixel of ``rows`` (first, last), else of the whole image."""
    first, last = rows or (0, camera.height)
    shape = (last - first, camera.width)
    with typed_memory_errors():
        hits = Hits()
        for name, kind in _KINDS.items():
            setattr(hits, name, wp.zeros(shape, dtype=kind, device=target.device))
        for even in (True, False):
            inputs = [eye(camera), target.shape, first, even, hits]
            wp.launch(primary, shape, inputs=inputs, device=target.device)
        read = {name: getattr(hits, name).numpy() for name in _KINDS}
    return View(first, last, **read, on_device=hits)
