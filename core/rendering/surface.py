"""A body's surface as the renderer sees it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Surface:
    """A triangle mesh with what shading needs; metres, z up, facing -y."""

    vertices: NDArray[np.float32]
    """(V, 3)."""
    normals: NDArray[np.float32]
    """(V, 3), unit, outward."""
    triangles: NDArray[np.int32]
    """(F, 3), indices of vertices."""
    corner_uv: NDArray[np.float32]
    """(F, 3, 2), in [0, 1], v up."""
    part_weights: NDArray[np.float32]
    """(V, P), sums to 1: body parts, decided per pixel."""
    parts: tuple[str, ...]
    """Names of the P parts."""
    texture: NDArray[np.uint8] | None = None
    """(H, W, 3) sRGB colours; None: the skin model colours it."""
    non_skin: NDArray[np.uint8] | None = None
    """(H, W), 255 where there is no skin, in UV space, row 0 at the top."""
