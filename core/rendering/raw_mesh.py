"""A mesh as a file tells it, before anything is known of its units and its sense."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.ingest.rejects import Rejected

MAX_TRIANGLES = 4_000_000


@dataclass(frozen=True, slots=True)
class RawMesh:
    """Triangles over vertices, texture coordinates per corner with v up."""

    vertices: NDArray[np.float64]
    """(V, 3), in the units and axes of the file, in its order."""
    triangles: NDArray[np.int64]
    """(F, 3)."""
    corner_uv: NDArray[np.float64]
    """(F, 3, 2)."""
    textured: bool
    """The file says that a texture belongs to it."""
    texture: NDArray[np.uint8] | None = None
    """(H, W, 3) sRGB: the texture that came inside the file."""
    y_up: bool | None = None
    """What the format says of the axes; None: nothing."""


def no_uv() -> Rejected:
    return Rejected(
        "mesh_without_uv",
        "The mesh has no texture coordinates (UVs) at some or all faces; unwrap it, and export it "
        "with them",
    )


def too_many(triangles: int) -> Rejected:
    return Rejected(
        "mesh_too_large",
        f"The mesh has {triangles} triangles, the limit is {MAX_TRIANGLES}; simplify it",
    )
