"""Surfaces as files: safetensors, which hold numbers and nothing that runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InvalidInput
from core.rendering.surface import Surface

MESH_FILE, TEXTURE_FILE, MASK_FILE = "mesh.safetensors", "texture", "non_skin"
"""Names of the files of an asset of kind ``body``; the last two are images."""
BACKGROUND_FILE = "image"
"""Name of the file of an asset of kind ``background``."""

_ARRAYS: dict[str, tuple[type[np.generic], tuple[int | None, ...]]] = {
    "vertices": (np.float32, (None, 3)),
    "normals": (np.float32, (None, 3)),
    "triangles": (np.int32, (None, 3)),
    "corner_uv": (np.float32, (None, 3, 2)),
    "part_weights": (np.float32, (None, None)),
}
_NAMES = "part_names"


def dump_surface(surface: Surface) -> bytes:
    """Return the mesh of a surface, without texture and mask; the same bytes for the same mesh."""
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(getattr(surface, name)) for name in _ARRAYS}
    names = np.frombuffer(json.dumps(surface.parts).encode(), np.uint8)
    data: bytes = save(arrays | {_NAMES: names})
    return data


def parse_surface(data: bytes) -> Surface:
    """Read what :func:`dump_surface` wrote; InvalidInput ``mesh_damaged`` for anything else."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays: dict[str, Any] = load(data)
        names = json.loads(arrays.pop(_NAMES).tobytes())
        surface = Surface(**{name: arrays.pop(name) for name in _ARRAYS}, parts=tuple(names))
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(str(error)) from error
    if arrays:
        raise _damaged(f"{', '.join(arrays)} too")
    _check(surface)
    return surface


def load_surface(
    mesh: Path, texture: NDArray[np.uint8] | None = None, non_skin: NDArray[np.uint8] | None = None
) -> Surface:
    """Read a mesh and put decoded pixels to it; a mask's values above 127 are no skin."""
    plain = parse_surface(mesh.read_bytes())
    colours = texture if texture is None or texture.ndim == 3 else np.stack([texture] * 3, axis=-1)
    return Surface(
        vertices=plain.vertices,
        normals=plain.normals,
        triangles=plain.triangles,
        corner_uv=plain.corner_uv,
        part_weights=plain.part_weights,
        parts=plain.parts,
        texture=colours,
        non_skin=None if non_skin is None else _mask(non_skin),
    )


def _mask(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    brightest = pixels if pixels.ndim == 2 else pixels.max(axis=-1)
    return np.where(brightest > 127, np.uint8(255), np.uint8(0))


def _check(surface: Surface) -> None:
    for name, (kind, shape) in _ARRAYS.items():
        array = getattr(surface, name)
        fits = len(array.shape) == len(shape) and array.dtype == kind
        if not fits or any(n not in (None, m) for n, m in zip(shape, array.shape, strict=True)):
            raise _damaged(f"{name} is {array.dtype} {array.shape}")
        if kind is np.float32 and not np.isfinite(array).all():
            raise _damaged(f"{name} is not finite")
    count = len(surface.vertices)
    if not len(surface.triangles) or len(surface.corner_uv) != len(surface.triangles):
        raise _damaged("triangles and their corners are not as many")
    if surface.triangles.min() < 0 or surface.triangles.max() >= count:
        raise _damaged("a triangle names a vertex that is not there")
    if len(surface.normals) != count or surface.part_weights.shape != (count, len(surface.parts)):
        raise _damaged("normals or parts are not as many as vertices")
    if surface.corner_uv.min() < 0 or surface.corner_uv.max() > 1:
        raise _damaged("texture coordinates are outside of [0, 1]")
    if not all(isinstance(name, str) for name in surface.parts):
        raise _damaged("the names of parts are not texts")


def _damaged(what: str) -> InvalidInput:
    return InvalidInput(f"The stored mesh is damaged: {what}", code="mesh_damaged")
